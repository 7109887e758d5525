"""Every architecture keeps its promises: sizes, weights, saving, speed without another result."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from qaclims_path.errors import BadFile, NotRegistered, UsageError
from qaclims_path.models.backbones import find_backbone
from qaclims_path.models.camnet import CamNet
from qaclims_path.models.segmenters import SEGMENTERS, known_segmenters
from qaclims_path.models.segmenters.model_card import model_card
from qaclims_path.models.segmenters.predicting import NetworkWithFeatures, Predictor, for_inference
from qaclims_path.models.segmenters.segmenter import Segmenter
from qaclims_path.models.segmenters.spec import SegmenterSpec, read_spec

CPU = torch.device("cpu")


def pictures(height, width, count=2):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)


def tensor(picture):
    return torch.from_numpy(picture).permute(0, 3, 1, 2).float() / 255


@pytest.mark.parametrize("name", [*known_segmenters()])
def test_architectures_take_any_size_learn_and_come_back_from_disk(name, make, tmp_path):
    segmenter = make(name)
    images = torch.rand(2, 3, 45, 70)
    logits = segmenter(images)
    assert logits.shape == (2, 3, 45, 70)
    every = segmenter.train().training_logits(images)
    assert all(each.shape == logits.shape for each in every)
    torch.stack(every).square().mean().backward()
    groups = segmenter.parameter_groups(0.1, 10)
    given = [parameter for group in groups for parameter in group["params"]]
    assert {id(parameter) for parameter in given} == {id(parameter) for parameter in segmenter.parameters()}
    assert len(given) == len(list(segmenter.parameters()))
    assert all(parameter.grad is not None for parameter in given)
    segmenter.eval().save_pretrained(tmp_path)
    again = Segmenter.from_pretrained(tmp_path, classes=["tumor", "stroma"])
    assert again.spec == segmenter.spec
    torch.testing.assert_close(again(images), segmenter(images))


def test_what_training_calls_is_compiled(make):
    segmenter, seen = make("unet"), []
    segmenter.compile(backend=lambda graph, _: seen.append(graph) or graph.forward)
    segmenter.train().training_logits(torch.rand(2, 3, 64, 64))
    assert seen


@pytest.mark.parametrize(("name", "whole"), [("deeplabv3plus", True), ("unet", True), ("deeplabv2", False)])
def test_a_network_made_fast_says_the_same(name, whole, make):
    segmenter = make(name)
    fast = for_inference(segmenter, CPU)
    assert isinstance(fast.network, NetworkWithFeatures) == whole
    for size in ((64, 64), (33, 90)):
        images = torch.rand(1, 3, *size)
        torch.testing.assert_close(fast(images), segmenter(images), rtol=1e-3, atol=1e-4)
    half = for_inference(segmenter, CPU, "bf16")(images)
    assert half.dtype == torch.float32
    assert (half - segmenter(images)).norm() < 0.1 * segmenter(images).norm()
    with pytest.raises(UsageError, match="bf16"):
        for_inference(segmenter, CPU, "fp16")


def test_scales_and_mirror_images_are_averaged(make):
    segmenter, picture = make(), pictures(64, 48)
    found = Predictor(segmenter, scales=(0.5, 1), flip=True)(picture)
    images, wanted = tensor(picture), torch.zeros(2, 3, 64, 48)
    small = torch.nn.functional.interpolate(images, (32, 24), mode="bilinear", antialias=True).clamp(0, 1)
    for view in (images, small):
        plain = segmenter(view).softmax(1)
        mirrored = segmenter(view.flip(-1)).softmax(1).flip(-1)
        wanted += torch.nn.functional.interpolate((plain + mirrored) / 2, (64, 48), mode="bilinear") / 2
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found.sum(1), torch.ones(2, 64, 48))
    with pytest.raises(UsageError, match="above 0"):
        Predictor(segmenter, scales=(0.0,))


def test_windows_are_for_larger_images_only(make):
    segmenter = make()
    small, large = pictures(64, 64, 1), pictures(64, 160, 1)
    torch.testing.assert_close(Predictor(segmenter, window=64)(small), Predictor(segmenter)(small))
    found = Predictor(segmenter, window=64)(large)
    assert found.shape == (1, 3, 64, 160)
    left = segmenter(tensor(large)[..., :64]).softmax(1)
    torch.testing.assert_close(found[..., :20], left[..., :20], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "encoder"), [("unet", "test_resnet"), ("segformer", "convnext_atto"), ("deeplabv2", "test_resnet")]
)
def test_an_encoder_begins_with_the_weights_of_a_run(name, encoder, make, tmp_path):
    maps = CamNet(encoder, ["tumor", "stroma"], stride=32)
    maps.save(tmp_path / "run" / "cam")
    own = {key.replace(".", "_"): value for key, value in maps.backbone.model.state_dict().items()}
    for weights in (tmp_path / "run", tmp_path / "file.safetensors"):
        save_file(maps.backbone.model.state_dict(), tmp_path / "file.safetensors")
        segmenter = make(name, encoder, weights=weights)
        for key, value in segmenter.network.encoder.state_dict().items():
            assert torch.equal(own[key.removeprefix("model.").replace(".", "_")], value), key


def test_weights_of_another_encoder_are_refused(make, tmp_path):
    save_file(CamNet("test_resnet", ["a"]).backbone.model.state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(BadFile, match="does not fit the backbone 'mobilenetv2_035'"):
        make("unet", "mobilenetv2_035", weights=tmp_path / "other.safetensors")


def test_what_cannot_be_built_is_said(make):
    with pytest.raises(NotRegistered, match="Did you mean 'unet'"):
        make("unett")
    with pytest.raises(UsageError, match="'unet' cannot be built on the encoder 'test_vit'"):
        make("unet", "test_vit")
    with pytest.raises(UsageError, match="decoder_chanels"):
        make("unet", settings={"decoder_chanels": (8, 8, 8, 8, 8)})
    with pytest.raises(UsageError, match=r"convolutional|stride"):
        make("deeplabv2", "test_vit")
    with pytest.raises(UsageError, match="at least two classes"):
        Segmenter(SegmenterSpec("unet", find_backbone("test_resnet"), make().spec.channels[:1]))


def test_another_package_may_bring_an_architecture(make):
    class OneLayer(torch.nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.encoder = torch.nn.Conv2d(3, 4, 1)
            self.head = torch.nn.Conv2d(4, channels, 3, stride=2, padding=1)

        def forward(self, pixels):
            return self.head(self.encoder(pixels))

    SEGMENTERS.add("one-layer")(lambda _, channels: OneLayer(channels))
    try:
        segmenter = make("one-layer")
        assert segmenter(torch.rand(1, 3, 33, 20)).shape == (1, 3, 33, 20)
        assert for_inference(segmenter, CPU)(torch.rand(1, 3, 33, 20)).shape == (1, 3, 33, 20)
    finally:
        del SEGMENTERS._entries["one-layer"]


def test_other_classes_are_refused(make, tmp_path):
    make().save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="trained for the classes tumor, stroma, not tumor, normal"):
        Segmenter.from_pretrained(tmp_path, classes=["tumor", "normal"])


@pytest.mark.parametrize("broken", ["missing", "text", "foreign", "newer", "lacking", "cut", "other", "nothing"])
def test_a_damaged_model_is_said(broken, make, tmp_path):
    make().save_pretrained(tmp_path)
    config, weights = tmp_path / "config.json", tmp_path / "model.safetensors"
    tree = json.loads(config.read_text())
    if broken == "missing":
        config.unlink()
    elif broken == "text":
        config.write_text("{")
    elif broken == "cut":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif broken == "other":
        save_file({"a": torch.zeros(1)}, weights)
    elif broken == "nothing":
        weights.unlink()
    else:
        change = {"foreign": {"library": "timm"}, "newer": {"schema": 99}, "lacking": {"channels": [{}]}}[broken]
        config.write_text(json.dumps({**tree, **change}))
    with pytest.raises(BadFile, match=r"Train one|again|Give a model|Update|Copy both|not exist"):
        Segmenter.from_pretrained(tmp_path)


def test_a_path_that_is_none(tmp_path):
    with pytest.raises(BadFile, match="does not exist"):
        Segmenter.from_pretrained(tmp_path / "nowhere")


def test_the_card_says_what_matters_and_stays_markdown(make, tmp_path):
    segmenter = make()
    score = {
        "split": "test",
        "protocol": "tissue",
        "gate": "none",
        "images": 3,
        "miou": 0.51234,
        "miou_interval": [0.4, 0.6],
        "mean_dice": None,
        "per_class": {"tumor": 0.5},
    }
    segmenter.spec = replace(segmenter.spec, about={**segmenter.spec.about, "scores": [score], "notes": ["a\nb"]})
    segmenter.save_pretrained(tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert text == model_card(segmenter.spec) == model_card(read_spec(tmp_path))
    assert text.startswith("---\nlicense: other\n")
    assert "Licence of the data: CC0 1.0" in text
    assert "| test | tissue | none | 3 | 0.5123 (0.4000 to 0.6000) | - | tumor 0.5000 |" in text
    assert "| stroma | Stroma \\| &lt;b> | 7 | #00ff00 |" in text
    assert "- a b\n" in text
    assert "Citation: not stated" in text
