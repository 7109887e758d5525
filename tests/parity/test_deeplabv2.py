"""DeepLabV2 and its losses against deeplab-pytorch and CLIMS (`deeplabv2.npz`, `balanced_ce.npz`)."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from qaclims_path.compute.refiners.crf import refine_probabilities, wrapped_picture
from qaclims_path.engine.distributed import launch
from qaclims_path.engine.network import training_mode
from qaclims_path.engine.optim import build_optimizer, rate_factor
from qaclims_path.engine.precision import Precision
from qaclims_path.engine.settings import RunSettings, TrainOptions
from qaclims_path.engine.stepper import Stepper
from qaclims_path.engine.task import StepInfo
from qaclims_path.models.backbones import BackboneSpec, find_backbone
from qaclims_path.models.cafferesnet import CaffeResNet
from qaclims_path.models.segmenters.crf import find_crf
from qaclims_path.models.segmenters.losses import halves, losses, pixel_targets, reduced
from qaclims_path.models.segmenters.segmenter import Segmenter
from qaclims_path.models.segmenters.spec import Channel, SegmenterSpec
from qaclims_path.pipeline.segmenter.options import SegLossOptions
from qaclims_path.pipeline.segmenter.task import SegTask

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


@pytest.mark.parametrize(
    ("name", "array"), [("deeplabv2-published", "crf_published"), ("deeplabv2", "crf_plain_image")]
)
def test_the_dense_crf_is_as_released(name, array, released, rule):
    """The picture seen as released is blue green red; a plain one is red green blue here, which moves the lattice."""
    logits = torch.from_numpy(released["crf_logits"])[None]
    enlarged = torch.nn.functional.interpolate(logits, (56, 72), mode="bilinear", align_corners=False)
    probabilities = enlarged.softmax(1)[0].numpy()
    assert rule.relative(torch.from_numpy(probabilities), released["crf_probabilities"]) < TOLERANCE
    found = refine_probabilities(released["crf_image_rgb"], probabilities, find_crf(name))
    assert (found.argmax(0) == released[array].argmax(0)).mean() > 0.99
    if name == "deeplabv2-published":
        assert rule.relative(torch.from_numpy(found), released[array]) < TOLERANCE
        assert (wrapped_picture(released["crf_image_rgb"]) == released["crf_image_seen"]).all()
        assert (found.argmax(0) == released["crf_plain_image"].argmax(0)).mean() < 0.8


def test_the_dense_crf_has_the_released_numbers(released):
    numbers = "10,1,3,67,3,4"
    assert [float(each) for each in numbers.split(",")] == released["crf_settings"].tolist()
    assert find_crf(numbers) == find_crf("deeplabv2")


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


@pytest.fixture
def ours(segmenter):
    """The same network with background as the last channel."""
    made = copy.deepcopy(segmenter)
    for convolution in made.network.pyramid:
        for parameter in (convolution.weight, convolution.bias):
            parameter.data = parameter.data.roll(-1, 0)
    return made


def batch_of(released, *, mirrored=False):
    """A batch as the loader makes it, with background as the last label."""
    labels = torch.from_numpy(released["labels"])
    labels = torch.where(labels == 255, 255, (labels - 1) % len(CHANNELS)).byte()
    planes = torch.stack([labels, torch.full_like(labels, 255)], dim=1)
    images = torch.from_numpy(released["a_pixels"]).movedim(-1, 1) / 255
    given = {"image": images, "planes": planes}
    given = {name: value.flip(-1) for name, value in given.items()} if mirrored else given
    return {**given, "pixels": torch.bincount(labels.flatten().long(), minlength=256).float(), "id": ["0", "1"]}


def task_of(segmenter, kind):
    weights = "halves" if kind == "balanced" else "none"
    return SegTask(segmenter, SegLossOptions(terms={"ce": 1.0}, class_weights=weights, size="logits"), None, 10.0)


def test_labels_are_reduced_as_released(released):
    planes = torch.from_numpy(released["labels"])[:, None]
    for number in range(4):
        wanted = released[f"labels_{number}"]
        assert np.array_equal(reduced(planes, *wanted.shape[1:])[:, 0], wanted)


@torch.no_grad()
def test_logits_of_training_have_their_own_sizes_as_released(segmenter, released, rule):
    images = torch.from_numpy(released["a_pixels"]).movedim(-1, 1) / 255
    for number, logits in enumerate(segmenter.training_logits(images, enlarged=False)):
        assert rule.relative(logits, released[f"a_train_{number}"]) < TOLERANCE


@torch.no_grad()
@pytest.mark.parametrize("kind", ["plain", "balanced"])
def test_losses_of_all_scales_are_added_as_released(kind, ours, released):
    found = task_of(ours, kind).step(batch_of(released), StepInfo(0, 1, 0))
    assert float(found["loss"]) == pytest.approx(released[f"{kind}_loss_per_output"].sum(), rel=TOLERANCE)


@pytest.mark.parametrize("kind", ["plain", "balanced"])
def test_two_iterations_of_two_batches_are_as_released(kind, ours, released):
    options = TrainOptions(
        batch=4, accumulate=2, lr=2.5e-4, momentum=0.9, weight_decay=5e-4, schedule="poly", stair=10, batchnorm="frozen"
    )
    training_mode(ours, options)
    processes, task = launch(RunSettings(accelerator="cpu", devices=1)), task_of(ours, kind)
    optimizer = build_optimizer(task, options)
    stepper = Stepper(task, optimizer, Precision("fp32", processes.device), options, processes, 20_000, micro_batch=2)
    losses = []
    for step in range(2):
        result = stepper.backward([batch_of(released), batch_of(released, mirrored=True)], step, 0)
        stepper.update(step, result.norm)
        losses.append(result.loss)
    assert losses == pytest.approx(released[f"{kind}_iteration_losses"].tolist(), rel=TOLERANCE)
    stem, *_, last = ours.network.encoder.children()
    norm = ours.network.encoder.layer2.block1.reduce.bn
    pyramid = ours.network.pyramid
    found = {
        "stem_weight_4": stem.conv1.conv.weight[:4],
        "layer5_increase_weight_16": last.block1.increase.conv.weight[:16, :16, 0, 0],
        "aspp_c0_weight_16": pyramid[0].weight.roll(1, 0)[:, :16],
        "aspp_c3_bias": pyramid[3].bias.roll(1, 0),
        "layer2_reduce_bn_weight": norm.weight,
        "layer2_reduce_bn_mean": norm.running_mean,
    }
    for name, value in found.items():
        before, after = released[f"{name}_before"], released[f"{kind}_{name}_after2"]
        change = after - before
        assert np.abs((value.detach().numpy() - before) - change).max() <= 1e-3 * np.abs(change).max() + 2e-7, name
