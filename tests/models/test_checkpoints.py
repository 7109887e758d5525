"""Checkpoints of torch as sources of weights, and the released classifier among them."""

import re
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from qaclims_path.errors import BadFile, UsageError
from qaclims_path.models.camnet import CamNet
from qaclims_path.models.checkpoints import read_checkpoint
from qaclims_path.models.released import check_released, split_released

CLASSES = ["cat", "dog", "horse"]


def as_released(net: CamNet) -> dict[str, torch.Tensor]:
    """Return the weights of a network under all names that the released one gives them."""
    stem = nn.ModuleDict({"stage1": nn.Sequential(net.backbone.model.conv1)}).state_dict()
    backbone = {f"resnet50.{key}": value for key, value in net.backbone.model.state_dict().items()}
    head = net.head.weight.detach()
    return {**backbone, **stem, "backbone.0.0.weight": head, "classifier.weight": head, "newly_added.0.weight": head}


@pytest.fixture(scope="module")
def net() -> CamNet:
    torch.manual_seed(0)
    return CamNet("test_resnet", CLASSES)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("nested", [None, "model", "state_dict"])
def test_tensors_are_read_by_name(legacy, nested, tmp_path):
    state = {"module.a": torch.rand(3), "module.b": torch.rand(2, 2)}
    saved = {nested: state, "epoch": 3, "optimizer": {"lr": 0.1}} if nested else state
    torch.save(saved, tmp_path / "net.pth", _use_new_zipfile_serialization=not legacy)
    found = read_checkpoint(tmp_path / "net.pth")
    assert found.keys() == {"a", "b"}
    assert torch.equal(found["b"], state["module.b"])


def test_a_released_classifier_gives_backbone_and_head(net, tmp_path):
    torch.save(as_released(net), tmp_path / "res50_cam.pth")
    loaded = CamNet("test_resnet", CLASSES, weights=tmp_path / "res50_cam.pth")
    assert loaded.notes == []
    for name, value in net.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    check_released(tmp_path / "res50_cam.pth", 3)


def test_the_head_of_other_classes_is_not_loaded(net, tmp_path):
    torch.save(as_released(net), tmp_path / "res50_cam.pth")
    loaded = CamNet("test_resnet", ["tumor"], weights=tmp_path / "res50_cam.pth")
    assert loaded.notes == [
        f"The classifier of {tmp_path / 'res50_cam.pth'} was not loaded, because it is for other classes."
    ]


def test_weights_of_another_origin_are_a_backbone_alone(net, tmp_path):
    state = net.backbone.model.state_dict()
    assert split_released(state)[1] is None
    torch.save(state, tmp_path / "other.pth")
    assert CamNet("test_resnet", CLASSES, weights=tmp_path / "other.pth").notes == []
    with pytest.raises(BadFile, match=r"other\.pth is not a classifier as CLIMS saves it: it needs .* cam\.network\.w"):
        check_released(tmp_path / "other.pth", 3)


def test_a_released_classifier_of_other_classes_is_no_start(net, tmp_path):
    torch.save(as_released(net), tmp_path / "coco.pth")
    with pytest.raises(BadFile, match=r"coco\.pth classifies 3 classes, but the data set has 20"):
        check_released(tmp_path / "coco.pth", 20)


def test_a_released_classifier_of_another_backbone_is_refused(net, tmp_path):
    torch.save(as_released(net), tmp_path / "small.pth")
    with pytest.raises(BadFile, match="does not fit the backbone 'resnet18'"):
        CamNet("resnet18", CLASSES, weights=tmp_path / "small.pth")


class _Runs:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


DAMAGED = "cannot be read as weights. It is damaged, or holds objects that could run code and are refused"
WRONG = {
    "a list": ([torch.zeros(2)], "holds a list, not named weights"),
    "nothing": ({}, "holds a dict, not named weights"),
    "a number": ({"a": torch.zeros(2), "lr": 0.1}, "holds more than tensors: 'lr' is a float"),
    "a module": (nn.Conv2d(1, 1, 1), DAMAGED),
}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", WRONG)
def test_other_contents_are_refused(name, legacy, tmp_path):
    content, sentence = WRONG[name]
    torch.save(content, tmp_path / "net.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(BadFile, match=re.escape(sentence)):
        read_checkpoint(tmp_path / "net.pth")


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_pickle_never_runs(legacy, tmp_path):
    saved = {"a": torch.zeros(2), "b": _Runs(tmp_path / "ran")}
    torch.save(saved, tmp_path / "bad.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(BadFile, match="objects that could run code"):
        read_checkpoint(tmp_path / "bad.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_file_cut_short_is_refused(net, legacy, share, tmp_path):
    path = tmp_path / "net.pth"
    torch.save(as_released(net), path, _use_new_zipfile_serialization=not legacy)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(BadFile, match=re.escape(DAMAGED)):
        read_checkpoint(path)


def test_an_archive_that_expands_is_refused(tmp_path):
    torch.save({"a": torch.zeros(100_000)}, tmp_path / "net.pth")
    with zipfile.ZipFile(tmp_path / "net.pth") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(BadFile, match=r"bomb\.pth claims to hold \d+ bytes, more than the file has"):
        read_checkpoint(tmp_path / "bomb.pth")


@pytest.mark.parametrize(("name", "sentence"), [("no.pth", "no.pth do not exist"), ("old.bin", "old.bin is not a")])
def test_missing_and_foreign_files_are_refused(name, sentence):
    with pytest.raises((BadFile, UsageError), match=sentence):
        CamNet("test_resnet", CLASSES, weights=name)
