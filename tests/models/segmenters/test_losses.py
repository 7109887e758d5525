"""Losses count known pixels by their weight, and nothing else; the fast way agrees with counting one by one."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.losses.dice import DiceLoss
from monai.losses.focal_loss import FocalLoss
from monai.losses.tversky import TverskyLoss
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from qaclims_path.engine.seeds import determinism
from qaclims_path.models.segmenters.losses import (
    IGNORE,
    LOSSES,
    balanced_weights,
    halves,
    losses,
    pixel_targets,
    reduced,
)


def pixel_weight(labels: Tensor, weight: Tensor, classes: Tensor | None) -> float:
    """Return the sum over the labelled pixels of pixel weight times class weight (`classes`, K)."""
    known = labels != IGNORE
    by_class = 1.0 if classes is None else classes[torch.where(known, labels, 0).long()]
    return float((weight * known * by_class).sum())


def scene(seed=0, classes=3):
    chance = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, classes, 6, 5, generator=chance)
    labels = torch.randint(0, classes + 1, (2, 6, 5), generator=chance)
    labels = torch.where(labels == classes, IGNORE, labels).to(torch.uint8)
    return logits, labels, torch.rand(2, 6, 5, generator=chance)


def one_hot(labels, classes=3):
    return F.one_hot(torch.where(labels == IGNORE, 0, labels).long(), classes).movedim(-1, 1).float()


def pixels_of(labels, weight, classes=None):
    return pixel_targets(labels, weight, pixel_weight(labels, weight, classes))


@given(seed=st.integers(0, 1000), by_class=st.booleans())
@settings(max_examples=20)
def test_cross_entropy_equals_a_loop_over_pixels(seed, by_class):
    logits, labels, weight = scene(seed)
    classes = torch.tensor([0.5, 1.0, 2.0]) if by_class else None
    top = bottom = 0.0
    for b in range(2):
        for y in range(6):
            for x in range(5):
                label = int(labels[b, y, x])
                if label == IGNORE:
                    continue
                share = float(weight[b, y, x]) * (float(classes[label]) if by_class else 1)
                top -= share * float(logits[b, :, y, x].log_softmax(0)[label])
                bottom += share
    found = losses(logits, pixels_of(labels, weight, classes), {"ce": 1.0}, classes)["ce"]
    assert float(found) == pytest.approx(top / max(bottom, 1), abs=1e-4)


def test_deterministic_cross_entropy_is_the_same():
    logits, labels, weight = scene()
    classes, pixels = torch.tensor([0.5, 1.0, 2.0]), pixels_of(labels, weight)
    usual = losses(logits, pixels, {"ce": 1.0}, classes)["ce"]
    with determinism(strict=True):
        torch.testing.assert_close(losses(logits, pixels, {"ce": 1.0}, classes)["ce"], usual)


@pytest.mark.parametrize("name", LOSSES)
def test_pixels_that_are_ignored_or_have_no_weight_change_nothing(name):
    logits, labels, weight = scene()
    weight = (weight > 0.3).float() * weight
    wild = torch.where(((labels == IGNORE) | (weight == 0))[:, None], 100 * torch.rand_like(logits), logits)
    other = torch.where(weight == 0, 0, labels)
    first = losses(logits, pixels_of(labels, weight), {name: 1.0})[name]
    second = losses(wild, pixels_of(other, weight), {name: 1.0})[name]
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize("name", LOSSES)
def test_right_predictions_cost_nothing_and_wrong_ones_have_a_gradient(name):
    _, labels, weight = scene()
    sure = 50 * torch.nn.functional.one_hot(torch.where(labels == IGNORE, 0, labels).long(), 3).movedim(-1, 1).float()
    assert float(losses(sure, pixels_of(labels, weight), {name: 1.0})[name]) == pytest.approx(0, abs=1e-3)
    wrong = (-sure).requires_grad_()
    loss = losses(wrong, pixels_of(labels, weight), {name: 1.0})[name]
    loss.backward()
    assert float(loss.detach()) > 0.3
    assert torch.isfinite(wrong.grad).all()


@pytest.mark.parametrize("name", LOSSES)
def test_without_labelled_pixels_the_loss_is_zero(name):
    logits, labels, weight = scene()
    logits.requires_grad_()
    loss = losses(logits, pixels_of(torch.full_like(labels, IGNORE), weight), {name: 1.0})[name]
    loss.backward()
    assert float(loss.detach()) == 0
    assert float(logits.grad.abs().sum()) == 0


@pytest.mark.parametrize("name", ["ce", "focal"])
def test_micro_batches_add_up_to_the_batch(name):
    """The engine averages micro-batches, and gives the mean weight of one."""
    logits, labels, weight = scene()
    whole = losses(logits, pixels_of(labels, weight), {name: 1.0})[name]
    mean = pixel_weight(labels, weight, None) / 2
    parts = [
        losses(logits[i, None], pixel_targets(labels[i, None], weight[i, None], mean), {name: 1.0})[name]
        for i in (0, 1)
    ]
    torch.testing.assert_close(sum(parts) / 2, whole)


@given(half=st.tuples(*[st.integers(0, 20)] * 2), new=st.tuples(*[st.integers(1, 40)] * 2))
def test_labels_are_reduced_as_pillow_does(half, new):
    """Of even sizes some centres lie between two pixels, and Pillow's rounding errors choose one."""
    old = tuple(2 * side + 1 for side in half)
    labels = np.random.default_rng(0).integers(0, 256, old, dtype=np.uint8)
    wanted = np.asarray(Image.fromarray(labels).resize(new[::-1], Image.Resampling.NEAREST))
    assert np.array_equal(reduced(torch.from_numpy(labels)[None, None], *new)[0, 0], wanted)


@given(total=st.integers(0, 50), background=st.integers(0, 50))
def test_halves_on_a_device_are_those_of_numbers(total, background):
    total = max(total, background)
    found = halves(torch.tensor(float(total)), torch.tensor(float(background)), 4)
    torch.testing.assert_close(found, halves(total, background, 4))
    sums = float(found[0] * (total - background) + found[-1] * background)
    assert sums == pytest.approx(1.0 if total else 0.0)


def test_balanced_weights_have_mean_one_over_all_pixels():
    counts = torch.tensor([9000.0, 1000.0, 0.0])
    weights = balanced_weights(counts)
    assert float((weights * counts).sum() / counts.sum()) == pytest.approx(1)
    assert float(weights[1] / weights[0]) == pytest.approx(math.sqrt(9))
    assert float(weights[2]) == 0


def test_class_weights_of_the_focal_loss_act_as_those_of_monai():
    logits, labels, _ = scene()
    labels, classes = torch.where(labels == IGNORE, 0, labels), torch.tensor([0.5, 1.0, 2.0])
    pixels = pixels_of(labels, torch.ones(labels.shape), classes)
    wanted = FocalLoss(use_softmax=True, weight=classes, reduction="none")(logits, one_hot(labels)).sum() / pixels.total
    torch.testing.assert_close(losses(logits, pixels, {"focal": 1.0}, classes)["focal"], wanted)


def test_class_weights_of_the_dice_loss_act_as_those_of_monai():
    logits, labels, _ = scene()
    labels, classes = torch.where(labels == IGNORE, 0, labels), torch.tensor([0.5, 1.0, 2.0])
    pixels = pixels_of(labels, torch.ones(labels.shape), classes)
    wanted = DiceLoss(softmax=True, squared_pred=True, batch=True, weight=classes)(logits, one_hot(labels))
    torch.testing.assert_close(losses(logits, pixels, {"dice": 1.0}, classes)["dice"], wanted)


def test_tversky_equals_that_of_the_known_pixels_alone():
    logits, labels, weight = scene(seed=3)
    known = (labels != IGNORE) & (weight > 0)
    shown = [values.movedim(1, -1)[known].T[None] for values in (logits.softmax(1), one_hot(labels))]
    wanted = TverskyLoss(alpha=0.3, beta=0.7, batch=True)(*shown)
    torch.testing.assert_close(losses(logits, pixels_of(labels, weight), {"tversky": 1.0})["tversky"], wanted)


def image_by_image(logits, labels, weight, classes, easy, own):
    """Return the loss that forgives wrong labels, pixel after pixel."""
    top = bottom = 0.0
    for image, found, sure in zip(logits, labels.tolist(), weight.tolist(), strict=True):
        shares = {}
        for y, x in np.ndindex(6, 5):
            if found[y][x] != IGNORE and sure[y][x] > 0:
                shares[y, x] = float(image[:, y, x].softmax(0)[found[y][x]])  # e to the power of minus the loss
        several = len({found[y][x] for y, x in shares}) > 1
        for (y, x), share in shares.items():
            label, logs = found[y][x], image[:, y, x].log_softmax(0)
            target = F.one_hot(torch.tensor([label, int(logs.argmax())]), 3).float()
            loss = -float(((1 - own) * target[0] + own * target[1]) @ logs)
            counts = sure[y][x] * float(classes[label])
            top += loss * counts * (share / (sum(shares.values()) / len(shares)) if easy and several else 1)
            bottom += counts
    return top / max(bottom, 1)


@given(seed=st.integers(0, 1000), easy=st.booleans(), own=st.sampled_from([0.0, 0.2]), half=st.booleans())
@settings(max_examples=20, deadline=None)
def test_forgiving_losses_equal_a_loop_over_pixels(seed, easy, own, half):
    logits, labels, weight = scene(seed)
    weight = torch.where(weight < 0.2, 0, weight)
    if seed % 3 == 0:
        labels[0] = torch.where(labels[0] == IGNORE, IGNORE, 1)
    logits = logits.bfloat16() if half else logits
    classes = torch.tensor([0.5, 1.0, 2.0])
    found = losses(logits, pixels_of(labels, weight, classes), {"ce": 1.0}, classes, easy=easy, own=own)["ce"]
    wanted = image_by_image(logits.float(), labels, weight, classes, easy, own)
    assert float(found) == pytest.approx(wanted, abs=1e-4)


FORGIVING = [{"easy": True}, {"own": 0.2}, {"easy": True, "own": 0.2}]


@pytest.mark.parametrize("given", FORGIVING)
def test_forgiving_losses_of_a_batch_without_labelled_pixels_are_zero(given):
    logits, labels, weight = scene()
    logits.requires_grad_()
    loss = losses(logits, pixels_of(torch.full_like(labels, IGNORE), weight), {"ce": 1.0}, **given)["ce"]
    loss.backward()
    assert float(loss.detach()) == 0
    assert float(logits.grad.abs().sum()) == 0


@pytest.mark.parametrize("given", FORGIVING)
def test_a_wrong_label_pulls_less_and_ignored_pixels_not_at_all(given):
    """Of 30 pixels one is labelled 1 against the network; the released OEEM gives its weight no gradient either."""
    logits = torch.zeros(1, 3, 6, 5)
    logits[:, 0], logits[0, 2, 3:] = 4.0, 9.0
    labels = torch.zeros(1, 6, 5, dtype=torch.uint8)
    labels[0, 0, 0], labels[0, 1, 1], labels[0, 3:] = 1, IGNORE, 2
    pulls = []
    for options in ({}, given):
        own = logits.clone().requires_grad_()
        losses(own, pixels_of(labels, torch.ones(labels.shape)), {"ce": 1.0}, **options)["ce"].backward()
        pulls.append(own.grad)
    assert float(pulls[1][0, 1, 0, 0].abs()) < 0.85 * float(pulls[0][0, 1, 0, 0].abs())
    assert float(pulls[1][..., 1, 1].abs().sum()) == 0


def test_deterministic_forgiving_losses_are_the_same():
    logits, labels, weight = scene()
    usual, strict = (_with_determinism(logits, pixels_of(labels, weight), strict=strict) for strict in (False, True))
    torch.testing.assert_close(strict, usual)


def _with_determinism(logits, pixels, *, strict):
    with determinism(strict=strict):
        return losses(logits, pixels, {"ce": 1.0}, easy=True, own=0.2)["ce"]
