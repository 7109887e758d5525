"""WideResNet-38 and DeepLabV1 against the networks that papers after SEAM use (`resnet38.npz`)."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from qaclims_path.compute.refiners.crf import refine_probabilities
from qaclims_path.engine.network import training_mode
from qaclims_path.engine.optim import build_optimizer, rate_factor, set_rates
from qaclims_path.engine.settings import TrainOptions
from qaclims_path.models.backbones import find_backbone
from qaclims_path.models.segmenters.crf import find_crf
from qaclims_path.models.segmenters.deeplabv1 import DeepLabV1
from qaclims_path.models.segmenters.predicting import Predictor, scaled
from qaclims_path.models.segmenters.segmenter import Segmenter
from qaclims_path.models.segmenters.spec import Channel, SegmenterSpec
from qaclims_path.models.wideresnet import Block

TOLERANCE, MOVED = 1e-4, 1e-3
CLASSES = 21
SCALES = 0.5, 0.75, 1.0, 1.25, 1.5, 1.75


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


def test_the_dense_crf_is_as_released(released, rule):
    settings = find_crf("wideresnet38")
    assert settings == find_crf(",".join(f"{number:g}" for number in released["crf_settings"]))
    found = refine_probabilities(released["crf_image_rgb"], released["crf_probabilities"], settings)
    assert rule.relative(torch.from_numpy(found), released["crf_published"]) < TOLERANCE
    probabilities = torch.from_numpy(released["ms_mean_logits"]).softmax(0).numpy()
    seen = refine_probabilities(released["ms_image_seen_by_crf"], probabilities, settings)
    assert rule.relative(torch.from_numpy(seen[:, ::2, ::2]), released["ms_crf"]) < TOLERANCE
    ours = refine_probabilities(released["ms_pixels"], probabilities, settings)  # without its levels that are one lower
    assert (ours.argmax(0) == released["ms_label_crf"]).mean() > 0.99


def test_images_are_scaled_as_released(released, rule):
    pixels = rule.normalised(released["ms_pixels"][None])
    for scale, array in ((0.5, "ms_input_050"), (1.75, "ms_input_175")):
        assert rule.relative(scaled(pixels, scale, cubic=True)[0], released[array]) < TOLERANCE


@pytest.mark.slow
def test_the_average_over_scales_and_mirror_images_is_as_released(net, released, rule):
    channels = tuple(Channel(str(code), str(code), (code, 0, 0), code) for code in range(CLASSES))
    segmenter = Segmenter(SegmenterSpec("deeplabv1", find_backbone("wideresnet38"), channels)).eval()
    segmenter.network = net
    found = Predictor(segmenter, scales=SCALES, flip=True, average="logits")(released["ms_pixels"][None])[0]
    wanted = torch.from_numpy(released["ms_mean_logits"]).softmax(0).numpy()
    assert rule.relative(found, wanted) < TOLERANCE
    assert (found.argmax(0).numpy() == released["ms_label"]).mean() > 0.999
    refined = refine_probabilities(released["ms_pixels"], found.numpy(), find_crf("wideresnet38"))
    assert (refined.argmax(0) == released["ms_label_crf"]).mean() > 0.99
