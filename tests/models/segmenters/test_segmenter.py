"""Every architecture: image sizes, training, saving, initial weights, and inference with the same result."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from qaclims_path.errors import BadFile, NotRegistered, UsageError
from qaclims_path.models.backbones import find_backbone
from qaclims_path.models.camnet import CamNet
from qaclims_path.models.segmenters import SEGMENTERS
from qaclims_path.models.segmenters.model_card import model_card
from qaclims_path.models.segmenters.predicting import NetworkWithFeatures, Predictor, for_inference
from qaclims_path.models.segmenters.segmenter import Segmenter
from qaclims_path.models.segmenters.spec import SegmenterSpec, read_spec

CPU = torch.device("cpu")


def pictures(height, width, count=2):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)


def tensor(picture):
    return torch.from_numpy(picture).permute(0, 3, 1, 2).float() / 255


@pytest.mark.parametrize("name", [*SEGMENTERS])
def test_every_architecture_trains_all_its_parameters_on_any_size(name, make):
    segmenter = make(name)
    images = torch.rand(2, 3, 45, 70)
    assert segmenter(images).shape == (2, 3, 45, 70)
    logits = segmenter.train().training_logits(images)
    assert all(each.shape == (2, 3, 45, 70) for each in logits)
    torch.stack(logits).square().mean().backward()
    groups = segmenter.parameter_groups(0.1, 10)
    grouped = [parameter for group in groups for parameter in group["params"]]
    assert {id(parameter) for parameter in grouped} == {id(parameter) for parameter in segmenter.parameters()}
    assert len(grouped) == len(list(segmenter.parameters()))
    assert all(parameter.grad is not None for parameter in grouped)


@torch.no_grad()
@pytest.mark.parametrize(("name", "size"), [("deeplabv1", (44, 68)), ("deeplabv2", (6, 9))])
def test_copies_of_an_image_have_logits_of_their_own_size_and_the_maximum_is_the_prediction(name, size, make):
    segmenter, images = make(name, settings={"scales": [0.5, 2]}), torch.rand(2, 3, 44, 68)
    full, half, double, most = segmenter.training_logits(images, enlarged=False)
    assert [tuple(each.shape[-2:]) for each in (full, half, most)] == [size, (-(-size[0] // 2), -(-size[1] // 2)), size]
    assert double.shape[-1] > full.shape[-1]
    torch.testing.assert_close(segmenter.training_logits(images)[-1], segmenter(images))
    for scale, copy in ((0.5, half), (2, double)):
        small = torch.nn.functional.interpolate(segmenter.prepared(images), scale_factor=scale, mode="bilinear")
        torch.testing.assert_close(segmenter.network._logits(small), copy)
    assert bool((most >= full).all())


@torch.no_grad()
def test_new_weights_of_deeplab_are_drawn_as_released(make):
    first, _, _, second, _, _, _, last = make("deeplabv1", settings={"width": 64}).network.head
    stds = {layer: (2 / (layer.out_channels * layer.kernel_size[0] ** 2)) ** 0.5 for layer in (first, second, last)}
    assert all(float(layer.weight.std()) == pytest.approx(std, rel=0.15) for layer, std in stds.items())
    assert all(float(each.weight.std()) == pytest.approx(0.01, rel=0.1) for each in make("deeplabv2").network.pyramid)


@pytest.mark.parametrize("name", [*SEGMENTERS])
def test_a_loaded_segmenter_gives_the_same_logits(name, make, tmp_path):
    segmenter, images = make(name), torch.rand(2, 3, 45, 70)
    segmenter.save_pretrained(tmp_path)
    again = Segmenter.from_pretrained(tmp_path, classes=["tumor", "stroma"])
    assert again.spec == segmenter.spec
    torch.testing.assert_close(again(images), segmenter(images))


def test_the_network_that_training_calls_is_compiled(make):
    segmenter, compiled = make("unet"), []
    segmenter.compile(backend=lambda graph, _: compiled.append(graph) or graph.forward)
    segmenter.train().training_logits(torch.rand(2, 3, 64, 64))
    assert compiled


@pytest.mark.parametrize(("name", "fused"), [("deeplabv3plus", True), ("unet", True), ("deeplabv2", False)])
def test_a_segmenter_for_inference_computes_the_same(name, fused, make):
    segmenter = make(name)
    fast = for_inference(segmenter, CPU)
    assert isinstance(fast.network, NetworkWithFeatures) == fused
    for size in ((64, 64), (33, 90)):
        images = torch.rand(1, 3, *size)
        torch.testing.assert_close(fast(images), segmenter(images), rtol=1e-3, atol=1e-4)


def test_bf16_logits_are_close_to_fp32(make):
    segmenter, images = make("deeplabv3plus"), torch.rand(1, 3, 33, 90)
    logits = for_inference(segmenter, CPU, "bf16")(images)
    assert logits.dtype == torch.float32
    assert (logits - segmenter(images)).norm() < 0.1 * segmenter(images).norm()


def test_fp16_on_a_cpu_is_refused(make):
    with pytest.raises(UsageError, match="bf16"):
        for_inference(make(), CPU, "fp16")


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


def test_logits_are_averaged_before_the_softmax(make):
    segmenter, picture = make(), pictures(64, 48)
    found = Predictor(segmenter, scales=(1, 1.5), flip=True, average="logits")(picture)
    images, mean = tensor(picture), torch.zeros(2, 3, 64, 48)
    for view in (images, torch.nn.functional.interpolate(images, (96, 72), mode="bicubic", align_corners=False)):
        both = (segmenter(view) + segmenter(view.flip(-1)).flip(-1)) / 2
        mean += torch.nn.functional.interpolate(both, (64, 48), mode="bilinear", align_corners=True) / 2
    torch.testing.assert_close(found, mean.softmax(1), rtol=1e-3, atol=1e-4)
    alone = Predictor(segmenter, average="logits")(picture)
    torch.testing.assert_close(alone, Predictor(segmenter)(picture), rtol=1e-3, atol=1e-4)


def test_scales_must_be_positive(make):
    with pytest.raises(UsageError, match="above 0"):
        Predictor(make(), scales=(0.0,))


def test_only_larger_images_use_a_sliding_window(make):
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
def test_an_encoder_starts_with_the_weights_of_a_run(name, encoder, make, tmp_path):
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


@pytest.mark.parametrize(
    ("name", "encoder", "settings", "error", "message"),
    [
        ("unett", "test_resnet", {}, NotRegistered, "Did you mean 'unet'"),
        ("unet", "test_vit", {}, UsageError, "'unet' cannot be built on the encoder 'test_vit'"),
        ("unet", "test_resnet", {"decoder_chanels": (8, 8, 8, 8, 8)}, UsageError, "decoder_chanels"),
        ("deeplabv2", "test_vit", {}, UsageError, r"convolutional|stride"),
        ("deeplabv1", "test_vit", {}, UsageError, r"convolutional|stride"),
        ("unet", "test_resnet", {"scales": [0.5]}, UsageError, "cannot be built .*'scales'"),
        ("deeplabv2", "test_resnet", {"scales": [0.5, 0]}, UsageError, r"\[0.5, 0\], but should list factors between"),
        ("deeplabv1", "test_resnet", {"scales": 0.5}, UsageError, "is 0.5, but should list factors"),
        ("deeplabv2", "test_resnet", {"scales": "half"}, UsageError, "is 'half', but should list factors"),
    ],
)
def test_impossible_architectures_are_refused(name, encoder, settings, error, message, make):
    with pytest.raises(error, match=message):
        make(name, encoder, settings=settings)


def test_a_single_class_is_refused(make):
    with pytest.raises(UsageError, match="at least two classes"):
        Segmenter(SegmenterSpec("unet", find_backbone("test_resnet"), make().spec.channels[:1]))


def test_another_package_can_add_an_architecture(make):
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


def change_settings(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def shorten(path):
    path.write_bytes(path.read_bytes()[:1000])


DAMAGES = {
    "no settings": (lambda folder: (folder / "config.json").unlink(), "Train one"),
    "no JSON": (lambda folder: (folder / "config.json").write_text("{"), "Copy it again"),
    "of another library": (lambda folder: change_settings(folder, library="timm"), "Give a model"),
    "newer": (lambda folder: change_settings(folder, schema=99), "Update"),
    "channels without keys": (lambda folder: change_settings(folder, channels=[{}]), "is damaged"),
    "cut weights": (lambda folder: shorten(folder / "model.safetensors"), "Copy or write it again"),
    "other weights": (lambda folder: save_file({"a": torch.zeros(1)}, folder / "model.safetensors"), "Copy both"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "do not exist"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_segmenter_is_refused(damage, make, tmp_path):
    make().save_pretrained(tmp_path)
    apply, message = DAMAGES[damage]
    apply(tmp_path)
    with pytest.raises(BadFile, match=message):
        Segmenter.from_pretrained(tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(BadFile, match="does not exist"):
        Segmenter.from_pretrained(tmp_path / "nowhere")


def test_the_model_card_has_scores_and_licence_in_valid_markdown(make, tmp_path):
    segmenter = make()
    score = {
        "split": "test",
        "protocol": "tissue",
        "gate": "none",
        "crf": "deeplabv2",
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
    assert "| test | tissue | none | deeplabv2 | 3 | 0.5123 (0.4000 to 0.6000) | - | tumor 0.5000 |" in text
    assert "| stroma | Stroma \\| &lt;b> | 7 | #00ff00 |" in text
    assert "- a b\n" in text
    assert "Citation: not stated" in text
