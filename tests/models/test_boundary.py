import json

import pytest
import torch

from qaclims_path.errors import BadFile, UsageError
from qaclims_path.models.backbones import find_backbone
from qaclims_path.models.boundary import SETTINGS, WEIGHTS, BoundaryNet


@pytest.fixture(scope="module")
def net() -> BoundaryNet:
    torch.manual_seed(0)
    return BoundaryNet(find_backbone("test_resnet"))


@pytest.mark.parametrize("size", [(64, 64), (75, 101), (33, 48)])
def test_boundaries_have_a_value_for_every_fourth_pixel(net, size):
    found = net.edges(torch.rand(2, 3, *size))
    assert found.shape == (2, (size[0] - 1) // 4 + 1, (size[1] - 1) // 4 + 1)
    assert 0 <= found.min() <= found.max() <= 1


def test_mirrored_images_have_mirrored_boundaries(net):
    images = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(net.edges(images.flip(-1)), net.edges(images).flip(-1))


def test_only_the_branch_is_trained(net):
    net.train()
    assert not net.backbone.training
    net(torch.rand(2, 3, 64, 64)).sum().backward()
    assert all(p.grad is None for p in net.backbone.parameters())
    (group,) = net.parameter_groups(0.1)
    assert all(p.grad is not None for p in group["params"])
    net.zero_grad()
    net.eval()


def test_a_loaded_network_gives_the_same_boundaries(net, tmp_path):
    net.save(tmp_path)
    again = BoundaryNet.load(tmp_path)
    images = torch.rand(1, 3, 40, 40)
    assert torch.equal(again.edges(images), net.edges(images))


def test_a_loaded_undilated_network_is_undilated(tmp_path):
    torch.manual_seed(0)
    narrow = BoundaryNet(find_backbone("test_resnet"), dilated=False)
    narrow.save(tmp_path)
    images = torch.rand(1, 3, 64, 64)
    assert torch.equal(BoundaryNet.load(tmp_path).edges(images), narrow.edges(images))


def test_a_folder_without_a_network_says_how_to_train_one(tmp_path):
    with pytest.raises(BadFile, match="qaclims train boundary"):
        BoundaryNet.load(tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda settings: {**settings, "schema": 9}, "schema 9"),
        (lambda _: {}, "cannot be read"),
        (
            lambda settings: {**settings, "backbone": {**settings["backbone"], "architecture": "resnet18"}},
            f"{WEIGHTS} does not belong",
        ),
    ],
    ids=["schema", "empty", "architecture"],
)
def test_damaged_settings_are_refused(damage, message, net, tmp_path):
    net.save(tmp_path)
    path = tmp_path / SETTINGS
    path.write_text(json.dumps(damage(json.loads(path.read_text()))))
    with pytest.raises(BadFile, match=message):
        BoundaryNet.load(tmp_path)


def test_a_backbone_without_fine_features_is_refused():
    with pytest.raises(UsageError, match="too coarse"):
        BoundaryNet(find_backbone("test_vit"))
