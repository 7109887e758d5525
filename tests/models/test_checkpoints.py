"""Checkpoints of torch as sources of weights, and the released classifier among them."""

import pickle
import re
import resource
import struct
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


COUNT, CLAIMED = 1000, 2**28  # values of the tensor, and those that a changed file claims: a gibibyte
PICKLED, CLAIM = (pickle.dumps(number, 2)[2:-1] for number in (COUNT, CLAIMED))


def with_claims(data: bytes, parts: set[str]) -> bytes:
    """Change the size of the storage, which a pickle says first, or the shape of the tensor."""
    before, between, after = data.split(PICKLED)
    storage, shape = (CLAIM if name in parts else PICKLED for name in ("storage", "shape"))
    return before + storage + between + shape + after


def grown(path: Path) -> float:
    """Read a file that is refused; return by how many megabytes the peak of memory has grown."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadFile, match=re.escape(f"{path} c") + ".*(copy it again|Download it again|Save the network)"):
        read_checkpoint(path)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


@pytest.mark.parametrize(
    "parts", [{"storage"}, {"shape"}, {"count"}, {"storage", "shape"}, {"storage", "shape", "count"}]
)
def test_an_old_file_of_impossible_size_is_refused_and_takes_no_memory(parts, tmp_path):
    path = tmp_path / "net.pth"
    torch.save({"a": torch.ones(COUNT)}, path, _use_new_zipfile_serialization=False)
    head, values = with_claims(path.read_bytes(), parts).split(struct.pack("<q", COUNT))
    path.write_bytes(head + struct.pack("<q", CLAIMED if "count" in parts else COUNT) + values)
    assert grown(path) < 200


def test_an_archive_whose_directory_claims_an_impossible_size_is_refused(tmp_path):
    path = tmp_path / "net.pth"
    torch.save({"a": torch.ones(COUNT)}, path)
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"net/data/0") - 46  # of the directory, which follows the members
    data[entry + 20 : entry + 28] = struct.pack("<II", CLAIMED, CLAIMED)
    path.write_bytes(data)
    assert grown(path) < 200


@pytest.mark.parametrize("parts", [{"storage"}, {"shape"}, {"storage", "shape"}])
def test_an_archive_whose_pickle_claims_an_impossible_size_is_refused(parts, tmp_path):
    torch.save({"a": torch.ones(COUNT)}, tmp_path / "net.pth")
    path = tmp_path / "claims.pth"
    with zipfile.ZipFile(tmp_path / "net.pth") as archive, zipfile.ZipFile(path, "w") as changed:
        for name in archive.namelist():
            data = archive.read(name)
            changed.writestr(name, with_claims(data, parts) if PICKLED in data else data)
    assert grown(path) < 200


@pytest.mark.parametrize("legacy", [False, True])
def test_a_tensor_that_repeats_one_number_is_refused(legacy, tmp_path):
    saved = {"good": torch.ones(3, 4).t(), "spread": torch.ones(1).expand(CLAIMED)}
    torch.save(saved, tmp_path / "net.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(BadFile, match=r"net\.pth claims .* 'spread' has the shape \(268435456,\)"):
        read_checkpoint(tmp_path / "net.pth")
    assert grown(tmp_path / "net.pth") < 200


@pytest.mark.parametrize(("name", "sentence"), [("no.pth", "no.pth do not exist"), ("old.bin", "old.bin is not a")])
def test_missing_and_foreign_files_are_refused(name, sentence):
    with pytest.raises((BadFile, UsageError), match=sentence):
        CamNet("test_resnet", CLASSES, weights=name)
