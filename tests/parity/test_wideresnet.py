"""WideResNet-38 and DeepLabV1 against the networks that papers after SEAM use (`resnet38.npz`)."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from qaclims_path.engine.network import training_mode
from qaclims_path.engine.optim import build_optimizer, rate_factor, set_rates
from qaclims_path.engine.settings import TrainOptions
from qaclims_path.models.backbones import find_backbone
from qaclims_path.models.segmenters.deeplabv1 import DeepLabV1
from qaclims_path.models.segmenters.segmenter import Segmenter
from qaclims_path.models.wideresnet import Block

TOLERANCE, MOVED = 1e-4, 1e-3
CLASSES = 21


def units(net: DeepLabV1) -> list[list[nn.Module]]:
    """Parts of the network in the order of the rule, where a norm stands before its convolution."""
    stem, *blocks, last = net.encoder.children()
    found: list[list[nn.Module]] = [[stem]]
    for block in blocks:
        found += [[block.bn_branch2a, block.conv_branch2a], [block.bn_branch2b1, block.conv_branch2b1]]
        if not isinstance(block, Block):
            found.append([block.bn_branch2b2, block.conv_branch2b2])
        if block.conv_branch1 is not None:
            found.append([block.conv_branch1])
    head = net.head
    return [*found, [last], [head[0], head[1]], [head[3], head[4]], [head[7]]]


@pytest.fixture(scope="module")
def released(arrays):
    return arrays("resnet38")


@pytest.fixture(scope="module")
def net(released, rule):
    """The network with weights by rule, in evaluation."""
    network = DeepLabV1(find_backbone("wideresnet38"), CLASSES).eval()
    assert rule.fill(units(network), int(released["seed"])) == released["n_units"]
    network.head[7].weight.data *= 10
    return network


@torch.no_grad()
def test_every_block_is_as_released(net, released, rule):
    values, seen = rule.normalised(released["pixels"]), {}
    for name, layer in net.encoder.named_children():
        if name in ("b5", "b6"):
            seen[{"b5": "conv4", "b6": "conv5"}[name]] = torch.relu(layer.bn_branch2a(values))
        values = seen[name] = layer(values)
    seen["conv6"] = torch.relu(seen.pop("bn7"))
    assert list(seen) == [*released["stage_names"][:13], "conv4", "b5", "b5_1", "b5_2", "conv5", "b6", "b7", "conv6"]
    for name, shape, stats in zip(
        released["stage_names"], released["stage_shapes"], released["stage_stats"], strict=True
    ):
        found = seen[name]
        assert tuple(found.shape) == tuple(shape)
        measured = [found.mean(), found.std(correction=0), found.min(), found.max()]
        assert np.abs(np.array(measured) - stats).max() < TOLERANCE * np.abs(stats).max(), name
    assert rule.relative(seen["conv4"][:, ::32], released["conv4_slice"]) < TOLERANCE
    assert rule.relative(seen["conv5"][:, ::64], released["conv5_slice"]) < TOLERANCE
    assert rule.relative(seen["conv6"], released["conv6"]) < TOLERANCE


@torch.no_grad()
def test_logits_are_as_released(net, released, rule):
    pixels = rule.normalised(released["pixels"])
    features = net.encoder.forward_features(pixels)
    assert rule.relative(net.head(features), released["head_logits_low"]) < TOLERANCE
    assert rule.relative(net(pixels), released["head_logits"]) < TOLERANCE


@torch.no_grad()
def test_norms_of_a_fresh_network_move_as_released(net, released, rule):
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net.train()
    for module in net.modules():
        if isinstance(module, (nn.Dropout, nn.Dropout2d)):
            module.eval()
    logits = net(rule.normalised(released["train_pixels"]))[..., ::4, ::4]
    found = {
        "train_logits": logits,
        "train_bn7_mean_64": net.encoder.bn7.running_mean[:64],
        "train_bn7_var_64": net.encoder.bn7.running_var[:64],
        "train_bn_fov_mean_64": net.head[1].running_mean[:64],
        "train_b2_bn_mean": net.encoder.b2.bn_branch2a.running_mean,
    }
    errors = {name: rule.relative(value, released[name]) for name, value in found.items()}
    net.load_state_dict(before)
    net.eval()
    assert max(errors.values()) < MOVED, errors


def test_groups_and_rates_are_as_released(net, released):
    """Scales of norms are in no group; the released group of biases of the backbone is empty."""
    options = TrainOptions(lr=0.001, weight_decay=5e-4, schedule="poly", power=0.9, beyond=1, batchnorm="moving")
    training_mode(net, options)
    groups = SimpleNamespace(parameter_groups=lambda lr: Segmenter.parameter_groups(SimpleNamespace(network=net), lr))
    optimizer = build_optimizer(groups, options)
    counted = [[len(group["params"]), sum(map(torch.numel, group["params"]))] for group in optimizer.param_groups]
    factors = [group["lr"] / 0.001 for group in optimizer.param_groups]
    decays = [group["weight_decay"] for group in optimizer.param_groups]
    rates = []
    for iteration in released["schedule_iterations"]:
        set_rates(optimizer, rate_factor(options, int(iteration), 20_000))
        rates.append([group["lr"] for group in optimizer.param_groups])
    net.eval().requires_grad_()
    kept = [0, 2, 3]
    assert counted == released["group_counts"][kept].tolist()
    assert factors == pytest.approx(released["group_lr_factor"][kept].tolist(), rel=1e-9)
    assert decays == released["group_weight_decay"][kept].tolist()
    assert np.allclose(rates, released["schedule_rates"][:, kept], rtol=1e-9, atol=0)
