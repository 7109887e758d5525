"""Methods against plain re-expressions of the published code, and the properties that all of them have."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from qaclims_path.errors import BadConfig, NotRegistered
from qaclims_path.models.methods import METHODS, build_method
from qaclims_path.models.methods.contrasts import shares
from qaclims_path.models.methods.method import UNKNOWN, MapBatch, PairBatch, sum_over_pairs
from qaclims_path.models.methods.qa_clims_path import QaClimsPath
from qaclims_path.types import PairTexts

LABELS = torch.tensor([0, 2, 1, 0, 2])
PRESENT = torch.tensor([[1, 0, 1], [1, 0, 1], [0, 1, 0], [1, 0, 0], [0, 1, 1]], dtype=torch.bool)


def unit(rows: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(rows, 8, generator=torch.Generator().manual_seed(seed)), dim=-1)


def texts_of(labels: Tensor) -> PairTexts:
    """Texts with two answers about each class, and 0, 1, 2, 0, 1, ... about its surroundings."""
    around = [i % 3 for i in range(len(labels))]
    return PairTexts(
        features=unit(12, 7),
        label=labels,
        foreground=torch.arange(2 * len(labels)) % 9,
        foreground_owner=torch.arange(len(labels)).repeat_interleave(2),
        background=torch.arange(sum(around)) + 4,
        background_owner=torch.arange(len(labels)).repeat_interleave(torch.tensor(around, dtype=torch.int64)),
    )


def part_of(texts: PairTexts, rows: slice) -> PairTexts:
    """Texts of some of the pairs."""
    chosen = torch.arange(len(texts.label))[rows].tolist()
    lists = {}
    for kind in ("foreground", "background"):
        values, owner = getattr(texts, kind), getattr(texts, f"{kind}_owner")
        taken = [(int(value), chosen.index(p)) for value, p in zip(values, owner.tolist(), strict=True) if p in chosen]
        lists[kind], lists[f"{kind}_owner"] = torch.tensor(taken, dtype=torch.int64).reshape(-1, 2).unbind(1)
    return PairTexts(texts.features, texts.label[rows], **lists)


def pairs_of(**changes) -> PairBatch:
    pairs = PairBatch(
        foreground=unit(5, 1),
        background=unit(5, 2),
        label=LABELS,
        present=PRESENT,
        texts=texts_of(LABELS),
        images=4.0,
        total=5.0,
        classes=texts_of(torch.arange(3)),
        words=unit(4, 3),
    )
    return replace(pairs, **changes)


def batch_of(logits: Tensor, method, present: Tensor) -> MapBatch:
    activations = method.activations(logits, present)
    return MapBatch(activations, logits.mean((-2, -1)), present, len(present), float(present.sum()))


def test_qa_clims_with_plain_sums_equals_the_published_loop() -> None:
    method = build_method("qa-clims", {"reference_batch": None}, "a test")
    pairs = pairs_of()
    t, frc, brc = pairs.texts, torch.tensor(0.0), torch.tensor(0.0)
    for p in range(5):
        answers = t.features[t.foreground[t.foreground_owner == p]]
        own = 0.5 * t.features[t.label[p]] + 0.5 * answers.mean(0)
        around = t.features[t.background[t.background_owner == p]]
        if not len(around):
            continue
        f_own, f_around = (pairs.foreground[p] @ own / 0.7).exp(), (around @ pairs.foreground[p] / 0.7).exp()
        b_own, b_around = (pairs.background[p] @ own / 0.7).exp(), (around @ pairs.background[p] / 0.7).exp()
        frc = frc - torch.log(f_own / (f_own + f_around.sum()))
        brc = brc - torch.log(b_around.mean() / (b_around.mean() + b_own))
    losses = method.pair_losses(pairs)
    torch.testing.assert_close(losses["foreground"], 10 * frc)
    torch.testing.assert_close(losses["background"], 8 * brc)


def test_clims_with_plain_sums_equals_the_published_loop() -> None:
    method = build_method("clims", {"reference_batch": None, "word_threshold": 0.1}, "a test")
    pairs = pairs_of()
    otm = btm = cbs = 0.0
    for p in range(5):
        name = pairs.texts.features[LABELS[p]]
        otm -= math.log(min(max(float(pairs.foreground[p] @ name), 1e-4), 0.9999)) / 5
        btm -= math.log(1 - min(max(float(pairs.background[p] @ name), 1e-4), 0.9999)) / 5
        near = [float(pairs.foreground[p] @ word) for word in pairs.words]
        cbs -= sum(math.log(1 - cosine) for cosine in near if cosine > 0.1)
    losses = method.pair_losses(pairs)
    for name, expected in (("object_text", 10 * otm), ("background_text", 24 * btm), ("background_words", cbs)):
        assert losses[name].item() == pytest.approx(expected, rel=1e-5)


def test_sums_are_scaled_to_the_reference_batch() -> None:
    method = build_method("qa-clims", {"reference_batch": 4}, "a test")
    once = method.pair_losses(pairs_of(images=4.0))
    twice = method.pair_losses(pairs_of(images=8.0))
    assert once["foreground"].item() == pytest.approx(2 * twice["foreground"].item())


@pytest.mark.parametrize("pieces", [1, 2, 4, 8])
def test_the_published_sums_keep_their_weight_in_any_number_of_pieces(pieces: int) -> None:
    """Two processes of four images average the sums of each; any split of the eight images gives the same."""
    values = torch.rand(8, generator=torch.Generator().manual_seed(0))
    released = (values[:4].sum() + values[4:].sum()) / 2
    parts = [sum_over_pairs(part, 8 / pieces, 4) for part in values.chunk(pieces)]
    torch.testing.assert_close(torch.stack(parts).mean(), released)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_losses_of_the_parts_of_a_batch_add_up(name: str) -> None:
    method = build_method(name, {}, "a test")
    pairs = pairs_of()
    expected = method.pair_losses(pairs)
    parts = []
    for rows in (slice(0, 2), slice(2, 5)):
        values = {key: getattr(pairs, key)[rows] for key in ("foreground", "background", "label", "present")}
        parts.append(method.pair_losses(replace(pairs, **values, texts=part_of(pairs.texts, rows))))
    for key, value in expected.items():
        torch.testing.assert_close(sum(part[key] for part in parts), value)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_images_without_classes_have_finite_losses_and_gradients(name: str) -> None:
    method = build_method(name, {}, "a test")
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    losses = method.map_losses(batch_of(logits, method, torch.zeros(2, 3, dtype=torch.bool)))
    sum(losses.values()).backward()
    assert all(value.isfinite() for value in losses.values())
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("name", sorted(METHODS))
def test_an_unknown_class_is_neither_trained_as_present_nor_as_absent(name: str) -> None:
    weights = (key for key in ("floor", "area", "classification") if hasattr(METHODS[name], key))
    method = build_method(name, dict.fromkeys(weights, 1.0), "a test")
    if name == "qa-clims-path":
        method = replace(method, competition="none")  # otherwise it takes pixels from the others, as it should
    present = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 0, 1]], dtype=torch.bool)
    known = torch.tensor([[1, 0, 1], [1, 1, 1], [0, 0, 0], [1, 1, 1]], dtype=torch.bool)
    logits = (torch.randn(4, 3, 4, 4) * known[..., None, None]).requires_grad_()  # scores of 0 are one half
    batch = replace(batch_of(logits, method, present | ~known), present=present, known=known, labels=float(known.sum()))
    sum(method.map_losses(batch).values()).backward()
    touched = logits.grad.abs().sum((-2, -1)) > 0
    assert torch.equal(touched, known)


def test_the_classification_loss_is_a_mean_over_known_labels_and_one_over_unknown_ones() -> None:
    method = build_method("cam", {}, "a test")
    logits = torch.randn(2, 3, 1, 1)
    present = torch.tensor([[1, 0, 0], [0, 1, 0]], dtype=torch.bool)
    known = torch.tensor([[1, 0, 1], [0, 1, 0]], dtype=torch.bool)
    batch = replace(batch_of(logits, method, present), known=known, labels=3.0)
    p = logits[:, :, 0, 0].sigmoid()
    slow = -(p[0, 0].log() + (1 - p[0, 2]).log() + p[1, 1].log()) / 3
    half = -sum((q.log() + (1 - q).log()) / 2 for q in (p[0, 1], p[1, 0], p[1, 2])) / 3
    torch.testing.assert_close(method.map_losses(batch)["classification"], slow + UNKNOWN * half)


@pytest.mark.parametrize("known", [True, False])
def test_labels_that_are_all_known_or_all_unknown_give_finite_losses(known: bool) -> None:
    method = build_method("cam", {}, "a test")
    logits, present = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, dtype=torch.bool)
    batch = replace(batch_of(logits, method, present), known=torch.full((2, 3), known), labels=6.0 * known)
    found = method.map_losses(batch)["classification"]
    assert found.item() == pytest.approx(math.log(2) * (1 if known else UNKNOWN))


@pytest.mark.parametrize("name", sorted(METHODS))
def test_losses_without_pairs_are_zero(name: str) -> None:
    method = build_method(name, {}, "a test")
    none = {key: getattr(pairs_of(), key)[:0] for key in ("foreground", "background", "label", "present")}
    losses = method.pair_losses(pairs_of(**none, texts=part_of(texts_of(LABELS), slice(0, 0)), total=0.0))
    assert all(value.item() == 0 for value in losses.values())


def test_language_weights_rise_along_the_ramp() -> None:
    method = QaClimsPath(ramp=(0.2, 0.4))
    assert [round(method.language(p), 2) for p in (0, 0.2, 0.3, 0.4, 1)] == [0, 0, 0.5, 1, 1]
    assert [method.needs_judge(p) for p in (0.1, 0.3)] == [False, True]
    assert QaClimsPath(ramp=(0.0, 0.0)).needs_judge(0.0)
    assert not QaClimsPath(foreground=0, background=0).needs_judge(1.0)


@pytest.mark.parametrize("rest", [False, True])
def test_present_classes_share_every_pixel(rest: bool) -> None:
    logits = torch.randn(3, 3, 2, 2)
    present = torch.tensor([[1, 1, 0], [0, 1, 0], [0, 0, 0]], dtype=torch.bool)
    maps = shares(logits, present, rest=rest)
    assert maps[~present].abs().max() == 0
    total = maps.sum(1)
    assert torch.all(total[:2] < 1) if rest else torch.allclose(total[:2], torch.ones(2, 2, 2))
    if rest:
        torch.testing.assert_close(maps[1, 1], logits[1, 1].sigmoid())


def test_each_setting_of_the_tissue_method_changes_its_loss() -> None:
    pairs = pairs_of()
    plain = QaClimsPath(negatives=("answers",), beside=("answers",), sharpness=0)
    before = plain.pair_losses(pairs)
    for change, name in (
        ({"negatives": ("answers", "classes")}, "foreground"),
        ({"negatives": ("answers", "words")}, "foreground"),
        ({"beside": ("answers", "present")}, "background"),
        ({"sharpness": 20.0}, "foreground"),
        ({"temperature": 0.5}, "foreground"),
    ):
        after = replace(plain, **change).pair_losses(pairs)
        assert after[name].item() != pytest.approx(before[name].item()), change


def test_a_background_is_compared_only_with_present_classes() -> None:
    """If the class is alone in its image, no text remains that the background should match."""
    alone = F.one_hot(LABELS, 3).bool()
    losses = QaClimsPath(beside=("present",)).pair_losses(pairs_of(present=alone))
    assert losses["background"].item() == 0


def test_wrong_settings_are_named() -> None:
    with pytest.raises(BadConfig, match="Did you mean 'temperature'"):
        build_method("qa-clims", {"temprature": 0.1}, "recipe.yaml, losses")
    with pytest.raises(BadConfig, match="greater than 0"):
        build_method("qa-clims", {"temperature": 0}, "recipe.yaml, losses")


def test_an_unknown_method_is_named_with_a_suggestion() -> None:
    with pytest.raises(NotRegistered, match="Did you mean 'clims'"):
        build_method("climz", {}, "recipe.yaml")


def test_every_loss_has_a_gradient() -> None:
    foreground, background = (unit(5, seed).requires_grad_() for seed in (1, 2))
    for name in METHODS:
        losses = build_method(name, {}, "a test").pair_losses(pairs_of(foreground=foreground, background=background))
        if losses:
            gradients = torch.autograd.grad(sum(losses.values()), [foreground, background])
            assert all(gradient.isfinite().all() and gradient.abs().sum() > 0 for gradient in gradients), name
