"""Losses of a training step: at the size of the image, and at the size of each output."""

import pytest
import torch
from torch.nn import functional as F

from qaclims_path.engine.task import StepInfo
from qaclims_path.models.backbones import find_backbone
from qaclims_path.models.segmenters.segmenter import Segmenter
from qaclims_path.models.segmenters.spec import BACKGROUND, Channel, SegmenterSpec
from qaclims_path.pipeline.segmenter.options import SegLossOptions
from qaclims_path.pipeline.segmenter.task import SegTask

CHANNELS = tuple(Channel(name, name, (0, 0, code), code) for code, name in enumerate(["one", "two", BACKGROUND]))


def segmenter_of(architecture, **settings):
    torch.manual_seed(0)
    return Segmenter(SegmenterSpec(architecture, find_backbone("test_resnet"), CHANNELS, settings)).eval()


@pytest.fixture
def batch():
    """Two images of 40 pixels with ignored pixels and confidence."""
    chance = torch.Generator().manual_seed(1)
    labels = torch.tensor([0, 1, 2, 2, 255])[torch.randint(0, 5, (2, 40, 40), generator=chance)].byte()
    confidence = torch.randint(0, 256, labels.shape, generator=chance).byte()
    weight = (confidence / 255).double().flatten()
    pixels = torch.bincount(labels.flatten().long(), weight, minlength=256).float()
    images = torch.rand(2, 3, 40, 40, generator=chance)
    return {"image": images, "planes": torch.stack([labels, confidence], dim=1), "pixels": pixels}


def loss_of(segmenter, batch, weights=None, **options):
    task = SegTask(segmenter, SegLossOptions(terms={"ce": 1.0}, **options), weights, 10.0)
    with torch.no_grad():
        return task.step(batch, StepInfo(0, 1, 0, task.counts(batch)))


@pytest.mark.parametrize("kind", ["none", "halves", "weights"])
def test_both_sizes_are_the_same_for_a_network_with_logits_of_full_size(kind, batch):
    """U-Net pads 40 pixels to 64, and what it pads is ignored."""
    segmenter, given = segmenter_of("unet"), {"class_weights": kind} if kind != "weights" else {}
    weights = torch.tensor([0.5, 2.0, 1.0]) if kind == "weights" else None
    image, logits = (loss_of(segmenter, batch, weights, size=size, **given) for size in ("image", "logits"))
    assert image.keys() == logits.keys()
    assert all(float(image[name]) == pytest.approx(float(logits[name]), rel=1e-5) for name in image)


@pytest.mark.parametrize("kind", ["none", "halves"])
def test_the_losses_of_all_outputs_are_added_each_at_its_own_size(kind, batch):
    segmenter = segmenter_of("deeplabv2", scales=[0.5])
    found = float(loss_of(segmenter, batch, class_weights=kind, size="logits")["loss"])
    total = 0.0
    with torch.no_grad():
        outputs = segmenter.training_logits(batch["image"], enlarged=False)
    for output in outputs:
        planes = F.interpolate(batch["planes"].float(), output.shape[-2:], mode="nearest-exact")
        labels, weight = planes[:, 0].long(), planes[:, 1] / 255
        each = F.cross_entropy(output, labels, ignore_index=255, reduction="none") * weight
        parts = [labels == 2, labels < 2] if kind == "halves" else [labels < 3]
        means = [float(each[part].sum() / weight[part].sum()) for part in parts]
        total += sum(means) / len(means)
    assert found == pytest.approx(total, rel=1e-5)


def test_a_batch_of_unknown_pixels_has_no_loss(batch):
    batch["planes"][:, 0] = 255
    for size in ("image", "logits"):
        found = loss_of(segmenter_of("deeplabv2"), {**batch, "pixels": torch.zeros(256)}, size=size)
        assert float(found["loss"]) == 0


def test_trust_in_the_network_rises_and_stays(batch):
    """Hard bootstrapping at full share costs the same at any later step; at the first step it is the plain loss."""
    segmenter, forgive = segmenter_of("unet"), {"own": 0.5, "ramp": 0.5}
    task = SegTask(segmenter, SegLossOptions(terms={"ce": 1.0}, forgive=forgive), None, 10.0)
    with torch.no_grad():
        counts = task.counts(batch)
        found = [float(task.step(batch, StepInfo(step, 8, 0, counts))["ce"]) for step in (0, 2, 4, 6)]
    plain = float(loss_of(segmenter, batch)["ce"])
    assert found[0] == plain
    assert found[0] > found[1] > found[2] == found[3]
    assert found[1] == pytest.approx((found[0] + found[2]) / 2, rel=1e-5)


@pytest.mark.parametrize("size", ["image", "logits"])
def test_forgiveness_that_is_off_changes_no_bit(size, batch):
    found = [loss_of(segmenter_of("deeplabv2"), batch, size=size, **more) for more in ({}, {"forgive": {"ramp": 0.1}})]
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
