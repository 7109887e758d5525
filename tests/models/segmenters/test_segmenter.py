import json

import pytest
import timm
import torch
from safetensors.torch import save_file

from qaclims_path.errors import BadFile, NotRegistered, UsageError
from qaclims_path.models.segmenters import known_segmenters
from qaclims_path.models.segmenters.segmenter import Segmenter

CLASSES = ["tumor", "stroma", "background"]


@pytest.mark.parametrize("name", sorted(known_segmenters()))
def test_every_architecture_keeps_the_contract(name, tmp_path):
    torch.manual_seed(0)
    net = Segmenter(name, "test_resnet", CLASSES, about={"data": "phantom"})
    images = torch.rand(2, 3, 70, 50)
    logits = net.train()(images)
    assert logits.shape == (2, 3, 70, 50)
    torch.nn.functional.cross_entropy(logits, torch.zeros(2, 70, 50, dtype=torch.long)).backward()
    assert any(float(parameter.grad.abs().sum()) > 0 for parameter in net.network.encoder.parameters())
    net.save_pretrained(tmp_path / "seg")
    again = Segmenter.from_pretrained(tmp_path / "seg", classes=CLASSES)
    assert again.about == {"data": "phantom"}
    assert torch.equal(net.eval()(images), again(images))
    assert str(tmp_path) not in (tmp_path / "seg" / "segmenter.json").read_text()


def test_several_scales_give_the_highest_logit():
    net = Segmenter("deeplabv2", "test_resnet", CLASSES, scales=(0.5, 0.75), rates=(1, 2)).eval()
    images = torch.rand(1, 3, 64, 96)
    outputs = net.outputs(images)
    assert len(outputs) == 3
    torch.testing.assert_close(net(images), torch.stack(outputs).amax(0))


@pytest.mark.parametrize("name", ["unet", "deeplabv2"])
@pytest.mark.parametrize("encoder", ["test_resnet", "test_convnext"])
def test_encoder_weights_fit_whatever_the_decoder_calls_them(name, encoder, tmp_path):
    model = timm.create_model(encoder, num_classes=0)
    state = {
        key: torch.rand_like(value) if value.is_floating_point() else value for key, value in model.state_dict().items()
    }
    save_file(state, tmp_path / "w.safetensors")
    net = Segmenter(name, encoder, CLASSES, weights=tmp_path / "w.safetensors")
    inner = getattr(net.network.encoder, "model", net.network.encoder).state_dict()
    flat = {key.replace(".", "_"): value for key, value in state.items()}
    assert inner
    assert all(torch.equal(value, flat[key.replace(".", "_")]) for key, value in inner.items())
    with pytest.raises(BadFile, match="does not fit the encoder"):
        Segmenter(name, "resnet10t", CLASSES, weights=tmp_path / "w.safetensors")


def test_wrong_use_is_a_sentence(tmp_path):
    with pytest.raises(NotRegistered, match="Did you mean 'unet'"):
        Segmenter("unett", "test_resnet", CLASSES)
    with pytest.raises(UsageError, match="cannot be built with the encoder 'resnet5O'"):
        Segmenter("unet", "resnet5O", CLASSES)
    with pytest.raises(UsageError, match="at least two classes"):
        Segmenter("unet", "test_resnet", ["tumor"])
    net = Segmenter("unet", "test_resnet", CLASSES)
    net.save_pretrained(tmp_path)
    with pytest.raises(
        UsageError, match="was trained for the classes tumor, stroma, background, not gland, background"
    ):
        Segmenter.from_pretrained(tmp_path, classes=["gland", "background"])
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(BadFile, match="does not belong to"):
        Segmenter.from_pretrained(tmp_path)
    settings = json.loads((tmp_path / "segmenter.json").read_text())
    for broken, sentence in ({**settings, "schema": 9}, "has schema 9"), ({}, "lacks one of"):
        (tmp_path / "segmenter.json").write_text(json.dumps(broken))
        with pytest.raises(BadFile, match=sentence):
            Segmenter.from_pretrained(tmp_path)
    (tmp_path / "segmenter.json").unlink()
    with pytest.raises(BadFile, match=r"holds no segmenter\.json"):
        Segmenter.from_pretrained(tmp_path)
