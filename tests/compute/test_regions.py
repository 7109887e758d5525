"""Region views: pinned masks, slow twins, gradients in every mode."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from qaclims_path.compute.regions import (
    adaptive_mask,
    compose,
    crop,
    crop_boxes,
    make_backdrop,
    pixel_weights,
    region_views,
)

PARITY = Path(__file__).resolve().parents[1] / "parity" / "adaptive_threshold.npz"
MODES = ["soft", "hard", "published", "mask-prompt", "crop"]


def case(pairs: int = 5, side: int = 32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(pairs)
    prepared = torch.randn(3, 3, side, side, generator=generator)
    maps = torch.rand(pairs, 7, 9, generator=generator)
    return prepared, maps, torch.randint(0, 3, (pairs,), generator=generator)


def test_the_adaptive_mask_is_the_published_one_exactly() -> None:
    with np.load(PARITY, allow_pickle=False) as stored:
        ours = adaptive_mask(torch.from_numpy(stored["cam"]), float(stored["alpha"]))
        assert (ours.numpy() == stored["mask"]).all()


def test_the_published_views_are_the_products_of_the_original_code() -> None:
    """img * cam * mask and img * (1 - cam) * (1 - mask), maps enlarged with aligned corners, one pair at a time."""
    prepared, maps, owner = case()
    inside, masks = region_views(prepared, maps, owner, mode="published")
    outside, other = region_views(prepared, maps, owner, mode="published", outside=True)
    for p, image in enumerate(owner.tolist()):
        cam = F.interpolate(maps[p][None, None], (32, 32), mode="bilinear", align_corners=True)[0, 0]
        mask = torch.where(cam >= 0.1 * cam.max(), torch.ones_like(cam), torch.zeros_like(cam))
        torch.testing.assert_close(inside[p], prepared[image] * cam * mask)
        torch.testing.assert_close(outside[p], prepared[image] * (1 - cam) * (1 - mask))
        assert (masks[p] == mask).all()
        assert (other[p] == 1 - mask).all()


def test_soft_is_the_map_times_the_image() -> None:
    prepared, maps, owner = case()
    views, _ = region_views(prepared, maps, owner)
    enlarged = F.interpolate(maps[:, None], (32, 32), mode="bilinear", align_corners=False)
    torch.testing.assert_close(views, prepared[owner] * enlarged)
    background, _ = region_views(prepared, maps, owner, outside=True)
    torch.testing.assert_close(views + background, prepared[owner])


def test_hard_weights_are_zero_or_one() -> None:
    prepared, maps, owner = case()
    views, masks = region_views(prepared, maps, owner, mode="hard")
    torch.testing.assert_close(views, prepared[owner] * masks[:, None])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("outside", [False, True])
def test_gradients_reach_the_maps(mode: str, outside: bool) -> None:
    prepared, maps, owner = case()
    maps.requires_grad_()
    views, _ = region_views(prepared, maps, owner, mode=mode, outside=outside)
    (views * torch.randn_like(views)).sum().backward()
    assert maps.grad is not None
    assert all(gradient.abs().sum() > 0 for gradient in maps.grad) or (mode == "published" and outside)


@pytest.mark.parametrize("mode", ["soft", "published"])
def test_gradients_are_those_of_finite_differences(mode: str) -> None:
    generator = torch.Generator().manual_seed(0)
    prepared = torch.randn(1, 3, 4, 4, generator=generator, dtype=torch.float64)
    maps = torch.rand(1, 2, 3, generator=generator, dtype=torch.float64, requires_grad=True)

    def view(values: torch.Tensor) -> torch.Tensor:
        return region_views(prepared, values, torch.tensor([0]), mode=mode, alpha=-1)[0]  # no pixel at the threshold

    assert torch.autograd.gradcheck(view, maps)


@pytest.mark.parametrize("fill", ["mean", "white", "blur"])
def test_a_filling_covers_the_rest_of_the_view(fill: str) -> None:
    prepared, _, owner = case()
    white = torch.tensor([1.0, 2.0, 3.0])
    weights = torch.zeros(5, 32, 32)
    weights[:, :, 16:] = 1
    views = compose(prepared, weights, owner, backdrop=make_backdrop(prepared, fill, white))
    torch.testing.assert_close(views[..., 16:], prepared[owner][..., 16:])
    behind = views[..., :16]
    if fill == "mean":
        expected = prepared.mean((2, 3))[owner][..., None, None].expand_as(behind)
        torch.testing.assert_close(behind, expected)
    elif fill == "white":
        torch.testing.assert_close(behind, white.view(1, 3, 1, 1).expand_as(behind))
    else:
        assert 0 < behind.var() < 0.5 * prepared.var()


def test_white_has_to_be_passed() -> None:
    with pytest.raises(ValueError, match="what white is"):
        make_backdrop(torch.zeros(1, 3, 8, 8), "white")


@settings(max_examples=60)
@given(st.integers(0, 31), st.integers(0, 31), st.integers(1, 32), st.integers(1, 32))
def test_a_crop_box_holds_the_region_and_stays_inside(x: int, y: int, width: int, height: int) -> None:
    mask = torch.zeros(1, 32, 32)
    mask[:, y : y + height, x : x + width] = 1
    (cx, cy, half), *_ = crop_boxes(mask).tolist()
    rows, columns = (mask[0].amax(axis).nonzero()[:, 0] for axis in (1, 0))
    for centre, used in ((cx, columns), (cy, rows)):
        assert -1 - 1e-6 <= centre - half <= int(used.min()) / 16 - 1 + 1e-5
        assert int(used.max() + 1) / 16 - 1 - 1e-5 <= centre + half <= 1 + 1e-6
    assert half >= 0.125


def test_an_empty_mask_is_not_cropped() -> None:
    assert crop_boxes(torch.zeros(1, 16, 16)).tolist() == [[0, 0, 1]]


def test_a_crop_enlarges_the_box() -> None:
    views = torch.arange(16.0).view(1, 1, 4, 4).repeat_interleave(2, 2).repeat_interleave(2, 3)
    quarter = crop(views, torch.tensor([[-0.5, 0.5, 0.5]]))
    assert quarter[0, 0, 1, 1] == 8
    assert quarter[0, 0, -1, -2] == 13
    torch.testing.assert_close(crop(views, torch.tensor([[0.0, 0.0, 1.0]])), views)


def test_an_all_zero_map_is_completely_inside_as_published() -> None:
    weights, mask = pixel_weights(torch.zeros(1, 4, 4), 8, "published")
    assert mask.min() == 1
    assert weights.max() == 0


@settings(max_examples=30)
@given(st.integers(0, 2**31))
def test_a_crop_equals_grid_sample_and_its_gradient(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    masks = (torch.rand(4, 12, 12, generator=generator) > 0.97).float()
    boxes = crop_boxes(masks)
    views = torch.randn(4, 3, 12, 12, generator=generator, requires_grad=True)
    affine = torch.zeros(4, 2, 3)
    affine[:, 0, 0] = affine[:, 1, 1] = boxes[:, 2]
    affine[:, :, 2] = boxes[:, :2]
    grid = F.affine_grid(affine, [4, 3, 12, 12], align_corners=False)
    slow = F.grid_sample(views, grid, padding_mode="border", align_corners=False)
    found, outer = crop(views, boxes), torch.randn(4, 3, 12, 12, generator=generator)
    torch.testing.assert_close(found, slow, atol=1e-5, rtol=0)
    gradients = [torch.autograd.grad(each, views, outer)[0] for each in (found, slow)]
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", MODES)
def test_both_sides_are_the_foregrounds_and_then_the_backgrounds(mode: str) -> None:
    prepared, maps, owner = case()
    both = region_views(prepared, maps, owner, mode=mode, outside="both")
    sides = [region_views(prepared, maps, owner, mode=mode, outside=outside) for outside in (False, True)]
    for found, expected in zip(both, zip(*sides, strict=True), strict=True):
        assert torch.equal(found, torch.cat(expected))
