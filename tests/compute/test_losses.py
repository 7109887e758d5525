"""Losses against the numbers of the published code, against slow twins, and against finite differences."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from qaclims_path.compute import losses

PARITY = Path(__file__).parents[1] / "parity"


def parity(name: str) -> dict[str, Tensor]:
    with np.load(PARITY / name, allow_pickle=False) as arrays:
        return {key: torch.from_numpy(np.array(arrays[key])) for key in arrays.files}


def close(value: Tensor, reference: Tensor) -> None:
    torch.testing.assert_close(value, reference.to(value.dtype), rtol=1e-5, atol=1e-5)


def test_contrasts_are_as_published() -> None:
    p = parity("qaclims_contrastive.npz")
    temperature = float(p["temperature"])
    regions = [p[f"{kind}_region"].clone().requires_grad_() for kind in ("fg", "bg")]
    foreground, background = (F.normalize(region, dim=-1) for region in regions)
    owner = torch.arange(len(regions[0])).repeat_interleave(p["bg_offsets"].diff())
    frc = losses.foreground_contrast(
        (foreground * p["fg_text"]).sum(-1), (foreground[owner] * p["bg_text"]).sum(-1), owner, temperature
    )
    brc = losses.background_contrast(
        (background[owner] * p["bg_text"]).sum(-1), (background * p["fg_text"]).sum(-1), owner, temperature
    )
    (frc.sum() + brc.sum()).backward()
    close(frc, p["frc"])
    close(brc, p["brc"])
    close(regions[0].grad, p["grad_fg_region"])
    close(regions[1].grad, p["grad_bg_region"])


def test_clims_losses_are_as_published() -> None:
    p = parity("clims_losses.npz")
    fg, bg, region = (p[name].clone().requires_grad_() for name in ("sim_fg", "sim_bg", "region"))
    otm = losses.object_text_matching(fg).mean()
    btm = losses.background_text_matching(bg).mean()
    cosines = F.normalize(region, dim=-1) @ p["background_text"].T
    cbs = losses.cooccurring_background(cosines, float(p["cbs_threshold"])).sum()
    (otm + btm + cbs).backward()
    for value, name in ((otm, "otm"), (btm, "btm"), (cbs, "cbs")):
        close(value, p[name])
    close(fg.grad, p["grad_sim_fg"])
    close(bg.grad, p["grad_sim_bg"])
    close(region.grad, p["grad_region"])


def slow_contrasts(own: Tensor, other: list[Tensor], temperature: float) -> tuple[list[Tensor], list[Tensor]]:
    """The formulas as they are written in the paper, one pair after another."""
    foreground, background = [], []
    for mine, theirs in zip(own, other, strict=True):
        if not len(theirs):
            foreground.append(mine * 0)
            background.append(mine * 0)
            continue
        e, es = (mine / temperature).exp(), (theirs / temperature).exp()
        foreground.append(-torch.log(e / (e + es.sum())))
        background.append(-torch.log(es.mean() / (es.mean() + e)))
    return foreground, background


@pytest.mark.parametrize("temperature", [0.07, 0.7])
def test_contrasts_equal_the_slow_twin(temperature: float) -> None:
    lengths = [3, 0, 1, 7, 0]
    own = torch.rand(5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    other = torch.rand(sum(lengths), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    owner = torch.arange(5).repeat_interleave(torch.tensor(lengths))
    slow_fg, slow_bg = slow_contrasts(own, list(other.split(lengths)), temperature)
    close(losses.foreground_contrast(own, other, owner, temperature), torch.stack(slow_fg))
    close(losses.background_contrast(other, own, owner, temperature), torch.stack(slow_bg))


def test_a_pair_without_texts_gets_no_gradient_and_no_nan() -> None:
    own = torch.tensor([0.2, 0.4], requires_grad=True)
    other = torch.tensor([0.1], requires_grad=True)
    owner = torch.tensor([1])
    total = losses.foreground_contrast(own, other, owner, 0.1) + losses.background_contrast(other, own, owner, 0.1)
    total.sum().backward()
    assert total[0] == 0
    assert own.grad[0] == 0
    assert own.grad.isfinite().all()


def test_the_loss_without_any_text_is_zero() -> None:
    none, own = torch.zeros(0), torch.tensor([0.2])
    assert losses.foreground_contrast(own, none, torch.zeros(0, dtype=torch.long), 0.7).tolist() == [0]
    assert losses.background_contrast(none, own, torch.zeros(0, dtype=torch.long), 0.7).tolist() == [0]


def test_contrasts_stay_finite_in_bf16_at_a_tiny_temperature() -> None:
    own = torch.tensor([-1.0, 1.0], dtype=torch.bfloat16, requires_grad=True)
    other = torch.tensor([1.0, -1.0], dtype=torch.bfloat16, requires_grad=True)
    owner = torch.tensor([0, 1])
    loss = losses.foreground_contrast(own, other, owner, 0.005)
    loss.sum().backward()
    assert loss.isfinite().all()
    assert loss[0] > 300
    assert own.grad.isfinite().all()


@pytest.mark.parametrize(
    "function",
    [
        losses.object_text_matching,
        losses.background_text_matching,
        lambda x: losses.cooccurring_background(x.reshape(2, 2), 0.3),
        lambda x: losses.area_floor(x.reshape(1, 2, 1, 2), torch.ones(1, 2, dtype=torch.bool), 0.9),
        lambda x: losses.foreground_contrast(x[:2], x[2:], torch.tensor([0, 1]), 0.5),
        lambda x: losses.background_contrast(x[2:], x[:2], torch.tensor([1, 1]), 0.5),
    ],
)
def test_gradients_are_those_of_finite_differences(function) -> None:
    x = torch.tensor([0.21, 0.45, 0.62, 0.83], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(function, (x,))


def test_area_floor_applies_only_to_present_classes() -> None:
    maps = torch.zeros(1, 3, 2, 2)
    maps[0, 0] = 0.5
    present = torch.tensor([[True, True, False]])
    ((above, lost, absent),) = losses.area_floor(maps, present, 0.1).tolist()
    assert above == 0
    assert lost > 10
    assert absent == 0


def test_minus_infinity_is_no_text() -> None:
    """Its loss is that without the text, and so is its gradient."""
    own = torch.tensor([0.2, 0.4], requires_grad=True)
    other, owner = torch.tensor([0.3, 0.1, 0.5, 0.7], requires_grad=True), torch.tensor([0, 0, 0, 1])
    masked = other.masked_fill(torch.tensor([False, True, False, True]), -torch.inf)
    for contrast in (
        lambda values, owners: losses.foreground_contrast(own, values, owners, 0.1),
        lambda values, owners: losses.background_contrast(values, own, owners, 0.1),
    ):
        found, expected = contrast(masked, owner), contrast(other[[0, 2]], owner[[0, 2]])
        torch.testing.assert_close(found, expected)
        gradients = [torch.autograd.grad(loss.sum(), [own, other], retain_graph=True) for loss in (found, expected)]
        torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("logit", [-3.0, -10.0])
def test_the_gradient_of_the_area_floor_does_not_vanish_for_dark_maps(logit: float) -> None:
    logits = torch.full((1, 1, 4, 4), logit, requires_grad=True)
    losses.area_floor(logits.sigmoid(), torch.tensor([[True]]), 0.2).sum().backward()
    assert logits.grad is not None
    assert float(logits.grad.sum()) == pytest.approx(-1, abs=0.06)


def test_extreme_cosines_give_finite_losses() -> None:
    values = torch.tensor([-1.0, 0.0, 1.0])
    for loss in (losses.object_text_matching(values), losses.background_text_matching(values)):
        assert loss.isfinite().all()
    assert losses.cooccurring_background(values[None], 0.2).isfinite().all()


def test_an_undecided_score_is_drawn_to_one_half_from_either_side() -> None:
    scores = torch.tensor([[0.0, 2.0, -2.0, 60000.0]], requires_grad=True)
    found = losses.undecided(scores)
    half = torch.full_like(scores, 0.5)
    torch.testing.assert_close(found, F.binary_cross_entropy_with_logits(scores, half, reduction="none"))
    found.sum().backward()
    assert scores.grad is not None
    torch.testing.assert_close(scores.grad, scores.detach().sigmoid() - 0.5)


def test_undecided_scores_in_half_precision_give_finite_losses() -> None:
    assert losses.undecided(torch.tensor([[60000.0, -60000.0]], dtype=torch.bfloat16)).isfinite().all()
