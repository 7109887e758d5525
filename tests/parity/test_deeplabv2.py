"""DeepLabV2 and its losses against deeplab-pytorch and CLIMS (`deeplabv2.npz`, `balanced_ce.npz`)."""

import numpy as np
import pytest
import torch
from torch import nn

from qaclims_path.engine.optim import rate_factor
from qaclims_path.engine.settings import TrainOptions
from qaclims_path.models.backbones import BackboneSpec, find_backbone
from qaclims_path.models.cafferesnet import CaffeResNet
from qaclims_path.models.segmenters.losses import halves, losses, pixel_targets
from qaclims_path.models.segmenters.segmenter import Segmenter
from qaclims_path.models.segmenters.spec import Channel, SegmenterSpec

TOLERANCE = 1e-4
CHANNELS = tuple(Channel(str(code), str(code), (code, 0, 0), code) for code in range(21))


def units(segmenter: Segmenter) -> list[list[nn.Module]]:
    """Parts of the network in the order of the rule."""
    stem, *stages = segmenter.network.encoder.children()
    found: list[list[nn.Module]] = [list(stem.conv1)]
    for stage in stages:
        for block in stage:
            found += [list(block.reduce), list(block.conv3x3), list(block.increase), list(block.shortcut)]
    return [*found, *([convolution] for convolution in segmenter.network.pyramid)]


@pytest.fixture(scope="module")
def released(arrays):
    return arrays("deeplabv2")


@pytest.fixture(scope="module")
def segmenter(released, rule):
    """A segmenter with one block per stage and weights by rule, in evaluation."""
    encoder = BackboneSpec("resnet101_caffe", "resnet101_caffe", {"blocks": (1, 1, 1, 1)})
    made = Segmenter(SegmenterSpec("deeplabv2", encoder, CHANNELS)).eval()
    assert rule.fill(units(made), int(released["seed"])) == released["n_units"]
    made.network.encoder.layer1.conv1.conv.weight.data /= 64
    return made


def pixels_of(segmenter, released, name):
    return segmenter.prepared(torch.from_numpy(released[f"{name}_pixels"]).movedim(-1, 1) / 255)


@torch.no_grad()
def test_stages_are_as_released(segmenter, released, rule):
    values, seen = pixels_of(segmenter, released, "a").flip(1), []
    for layer in segmenter.network.encoder.children():
        seen.append(values := layer(values))
    assert [tuple(each.shape) for each in seen] == [tuple(shape) for shape in released["a_stage_shapes"]]
    for found, stats in zip(seen, released["a_stage_stats"], strict=True):
        measured = [found.mean(), found.std(correction=0), found.min(), found.max()]
        assert np.abs(np.array(measured) - stats).max() < TOLERANCE * np.abs(stats).max()
    assert rule.relative(seen[-1][:, ::128], released["a_layer5_slice"]) < TOLERANCE


@torch.no_grad()
@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_the_maximum_over_scales_is_as_released(name, segmenter, released, rule):
    assert rule.relative(segmenter.network(pixels_of(segmenter, released, name)), released[f"{name}_test"]) < TOLERANCE


@torch.no_grad()
def test_logits_of_the_full_size_are_as_released(segmenter, released, rule):
    first = segmenter.network.training_logits(pixels_of(segmenter, released, "a"))[0]
    assert rule.relative(first, released["a_base"]) < TOLERANCE


def test_groups_of_parameters_are_as_released(released):
    network = Segmenter(SegmenterSpec("deeplabv2", find_backbone("resnet101_caffe"), CHANNELS))
    encoder, head, biases = network.parameter_groups(2.5e-4)
    convolutions = [each for each in encoder["params"] if each.ndim == 4]
    counted = [[len(group), sum(map(torch.numel, group))] for group in (convolutions, head["params"], biases["params"])]
    assert counted == released["group_counts_resnet101"][:, 1:].tolist()
    assert [group["lr"] / 2.5e-4 for group in (encoder, head, biases)] == released["group_lr_factor"].tolist()
    assert biases["weight_decay"] == 0
    assert isinstance(network.network.encoder, CaffeResNet)


@pytest.mark.parametrize("steps", [100, 20_000, 30_000])
def test_rates_fall_in_stairs_as_released(steps, released):
    options = TrainOptions(lr=2.5e-4, schedule="poly", power=0.9, stair=10)
    iterations = released.get(f"schedule_{steps}_iterations", np.arange(1, 102))
    rates = [options.lr * rate_factor(options, int(iteration) - 1, steps) for iteration in iterations]
    assert rates == pytest.approx(released[f"schedule_{steps}"].tolist(), rel=1e-9, abs=1e-15)


def balanced(logits, labels):
    """The loss with weights of halves; the released background is channel 0, ours the last."""
    logits = logits.roll(-1, 1)
    labels = torch.where(labels == 255, 255, (labels - 1) % logits.shape[1])
    known = labels != 255
    background = float((labels == logits.shape[1] - 1).sum())
    weights = halves(float(known.sum()), background, logits.shape[1])
    return losses(logits, pixel_targets(labels, known.float(), 1.0), {"ce": 1.0}, weights)["ce"]


def test_the_balanced_loss_and_its_gradient_are_as_released(arrays, rule):
    given = arrays("balanced_ce")
    logits = torch.from_numpy(given["logits"]).requires_grad_()
    loss = balanced(logits, torch.from_numpy(given["labels"]))
    assert float(loss.detach()) == pytest.approx(float(given["loss"]), rel=TOLERANCE)
    loss.backward()
    assert rule.relative(logits.grad, given["gradient"]) < TOLERANCE
    alone = balanced(logits.detach(), torch.from_numpy(given["labels_one_image_background"]))
    assert float(alone) == pytest.approx(float(given["loss_one_image_background"]), rel=TOLERANCE)


@pytest.mark.parametrize("lacking", ["foreground", "background"])
def test_a_batch_with_one_kind_of_pixels_has_their_mean_where_the_released_loss_is_no_number(lacking, arrays):
    given = arrays("balanced_ce")
    logits, labels = (torch.from_numpy(given[name]) for name in ("logits", f"labels_no_{lacking}"))
    assert np.isnan(given[f"loss_no_{lacking}"])
    mean = torch.nn.functional.cross_entropy(logits, labels, ignore_index=255)
    assert float(balanced(logits, labels)) == pytest.approx(float(mean), rel=TOLERANCE)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["plain", "balanced"])
def test_losses_of_each_scale_are_as_released(kind, segmenter, released):
    """The released labels are reduced for each output; ours are compared with enlarged logits in training."""
    outputs = segmenter.network.training_logits(pixels_of(segmenter, released, "a"))
    full = [outputs[0], outputs[-1]]
    for logits, number in zip(full, (0, 3), strict=True):
        labels = torch.from_numpy(released[f"labels_{number}"])
        plain = torch.nn.functional.cross_entropy(logits, labels, ignore_index=255)
        found = plain if kind == "plain" else balanced(logits, labels)
        assert float(found) == pytest.approx(float(released[f"{kind}_loss_per_output"][number]), rel=TOLERANCE)
