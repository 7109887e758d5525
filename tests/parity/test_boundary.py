"""The boundary network and its loss against those of CLIMS (`irn_edge.npz`)."""

import numpy as np
import pytest
import torch
from torch import nn

from qaclims_path.compute.refiners.affinity import boundary_loss, pairs_of
from qaclims_path.compute.refiners.walk import affinities, paths
from qaclims_path.models.backbones import find_backbone
from qaclims_path.models.boundary import BoundaryNet, reduced

TOLERANCE, RADIUS = 1e-4, 10


def units(net: BoundaryNet) -> list[list[nn.Module]]:
    """Parts of the edge branch and its backbone in the order of the rule; displacement branches are not built."""
    model = net.backbone.model
    found: list[list[nn.Module]] = [[model.conv1, model.bn1]]
    for stage in (model.layer1, model.layer2, model.layer3, model.layer4):
        for block in stage:
            found += [[block.conv1, block.bn1], [block.conv2, block.bn2], [block.conv3, block.bn3]]
            found += [] if block.downsample is None else [list(block.downsample)]
    return [*found, *map(list, net.reduce), [net.decide]]


@pytest.fixture(scope="module")
def released(arrays):
    return arrays("irn_edge")


@pytest.fixture(scope="module")
def net(released, rule):
    network = BoundaryNet(find_backbone("resnet50.tv_in1k"), stride=16, dilated=False)
    assert rule.fill(units(network), int(released["seed"])) == 59
    return network.eval()


@torch.no_grad()
@pytest.mark.parametrize("picture", ["a", "b"])
def test_boundaries_are_as_released(picture, net, released, rule):
    pixels = torch.from_numpy(released[f"{picture}_pixels"]).movedim(-1, 0)[None] / 255
    logits = net(torch.cat([pixels, pixels.flip(-1)]))
    assert rule.relative(logits[:, None], released[f"{picture}_edge_logits"]) < TOLERANCE
    assert rule.relative(net.edges(pixels), released[f"{picture}_edge"]) < TOLERANCE


def test_labels_are_reduced_as_released(released):
    full = torch.from_numpy(released["loss_labels_full"])
    assert np.array_equal(reduced(full).numpy(), released["loss_labels"])


def test_affinities_are_as_released(released, rule):
    edges = torch.from_numpy(released["loss_edge"])
    order = {path[0]: number for number, path in enumerate(paths(RADIUS))}
    inside = affinities(edges, RADIUS)[:1, :, :15, 9:23].flatten(2)
    wanted = released["loss_affinity"]
    found = inside[:, [order[tuple(offset)] for offset in released["loss_search_dst"].tolist()]]
    assert rule.relative(found, wanted) < TOLERANCE


def test_the_loss_and_its_gradient_are_as_released(released, rule):
    edges = torch.from_numpy(released["loss_edge"]).requires_grad_()
    pairs = pairs_of(torch.from_numpy(released["loss_labels"]), 0, RADIUS, inside=True)
    losses = boundary_loss(edges, pairs, RADIUS)
    assert [int(kind.sum()) for kind in pairs] == released["loss_counts"].tolist()
    for name, wanted in (("background", "bg_positive"), ("foreground", "fg_positive"), ("different", "negative")):
        assert float(losses[name].detach()) == pytest.approx(float(released[f"loss_{wanted}"]), rel=TOLERANCE)
    losses["loss"].backward()
    assert rule.relative(edges.grad, released["loss_edge_gradient"]) < TOLERANCE
