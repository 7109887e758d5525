"""Views of a region under a class map: the part of an image that a judge sees for one class.

A map belongs to one (image, class) pair. Gradients reach the maps in every mode. `outside` gives the background of the
same map; only in the soft mode is it the view of `1 - map`.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Mode = Literal["soft", "hard", "published", "mask-prompt", "crop"]
Fill = Literal["zero", "mean", "white", "blur"]

ALPHA = 0.1  # share of a map's own maximum, as published (foreground adaptive threshold)
BLUR_CELLS = 14  # cells of colour along the side of a blurred backdrop
LEAST_CROP = 0.125  # share of the side; smaller boxes would be enlarged too far


def enlarge(maps: Tensor, side: int, *, corners: bool = False) -> Tensor:
    """Enlarge P h w to P side side, bilinear; `corners` aligns the outer pixel centres, as the published code does."""
    if maps.shape[-2:] == (side, side):
        return maps
    return F.interpolate(maps[:, None], (side, side), mode="bilinear", align_corners=corners)[:, 0]


def adaptive_mask(maps: Tensor, alpha: float = ALPHA) -> Tensor:
    """Return 1 where a map reaches a share of its own maximum, else 0; no gradient.

    Args:
        maps: P h w, not negative.
        alpha: Share of the maximum.

    Examples:
        >>> adaptive_mask(torch.tensor([[[0.04, 0.06, 0.5]]])).tolist()
        [[[0.0, 1.0, 1.0]]]
    """
    maps = maps.detach()
    return (maps >= alpha * maps.amax((-2, -1), keepdim=True)).to(maps.dtype)


def pixel_weights(
    maps: Tensor, side: int, mode: Mode = "soft", *, outside: bool = False, alpha: float = ALPHA
) -> tuple[Tensor, Tensor]:
    """Return the weight of every pixel of a view, and the mask of the region.

    The weights of `soft`, `mask-prompt` and `crop` are the map; of `hard` the adaptive mask, with the map's gradient;
    of `published` their product.

    Args:
        maps: P h w in 0..1.
        side: Side of the view in pixels.
        mode: Kind of view.
        outside: Return the background of the class instead.
        alpha: Share of the adaptive mask.

    Returns:
        Weights and mask, both P side side in 0..1; the mask is binary and carries no gradient.
    """
    shown = enlarge(maps, side, corners=mode in ("published", "mask-prompt"))
    mask = adaptive_mask(shown, alpha)
    if outside:
        shown, mask = 1 - shown, 1 - mask
    if mode == "hard":
        return mask + (shown - shown.detach()), mask
    return (shown * mask if mode == "published" else shown), mask


def compose(prepared: Tensor, weights: Tensor, owner: Tensor, *, backdrop: Tensor | None = None) -> Tensor:
    """Blend each region's pixels with a backdrop.

    Args:
        prepared: B 3 S S pixels, normalised for the judge.
        weights: P S S in 0..1.
        owner: P, the image of each region.
        backdrop: B or 1, 3, S S or 1 1, from `make_backdrop`; None is zero, the judge's mean colour.

    Returns:
        P 3 S S.
    """
    pixels = prepared[owner]
    share = weights[:, None].to(pixels.dtype)
    if backdrop is None:
        return pixels * share
    behind = backdrop[owner] if len(backdrop) > 1 else backdrop
    return torch.lerp(behind.to(pixels.dtype).expand_as(pixels), pixels, share)


def make_backdrop(prepared: Tensor, fill: Fill, white: Tensor | None = None) -> Tensor | None:
    """Make the pixels outside of regions, once per image.

    Args:
        prepared: B 3 S S.
        fill: `zero` in normalised space (published), `mean` colour of the image, `white` glass, or the image in `blur`.
        white: 3, normalised white; needed for `white` only.

    Returns:
        None for zero, else B 3 1 1 (mean), 1 3 1 1 (white) or B 3 S S (blur).
    """
    if fill == "zero":
        return None
    if fill == "mean":
        return prepared.mean((2, 3), keepdim=True)
    if fill == "blur":
        coarse = F.interpolate(prepared, (BLUR_CELLS, BLUR_CELLS), mode="area")
        return F.interpolate(coarse, prepared.shape[-2:], mode="bilinear", align_corners=False)
    if white is None:
        raise ValueError("the filling 'white' needs to know what white is in normalised space")
    return white.view(1, 3, 1, 1)


def crop_boxes(masks: Tensor) -> Tensor:
    """Return squares around the pixels of P S S binary masks: P 3, centre x, centre y and half the side, in -1..1.

    A square is at least `LEAST_CROP` wide and lies inside the image; an empty mask gets the complete image.
    """
    side = masks.shape[-1]
    low_x, high_x = _extent(masks.amax(-2) > 0)
    low_y, high_y = _extent(masks.amax(-1) > 0)
    half = torch.maximum(high_x - low_x, high_y - low_y).clamp(min=LEAST_CROP * side) / side
    centre_x, centre_y = ((low + high) / side - 1 for low, high in ((low_x, high_x), (low_y, high_y)))
    centre_x, centre_y = (torch.minimum(torch.maximum(c, half - 1), 1 - half) for c in (centre_x, centre_y))
    return torch.stack([centre_x, centre_y, half], dim=1)


def crop(views: Tensor, boxes: Tensor) -> Tensor:
    """Enlarge the square P 3 of `crop_boxes` of each view P 3 S S to the size of the view, bilinear.

    The square has the axes of the view, so two small matrices do what `grid_sample` does; their backward pass is
    deterministic on a GPU, and the one of `grid_sample` is not.
    """
    x, y, half = boxes.to(views.dtype).unbind(1)
    height, width = views.shape[-2:]
    with torch.autocast(views.device.type, enabled=False):
        rows, columns = _resampling(y, half, height), _resampling(x, half, width)
        return rows[:, None] @ views @ columns[:, None].mT


def region_views(
    prepared: Tensor,
    maps: Tensor,
    owner: Tensor,
    *,
    mode: Mode = "soft",
    outside: bool | Literal["both"] = False,
    backdrop: Tensor | None = None,
    alpha: float = ALPHA,
) -> tuple[Tensor, Tensor]:
    """Make the views of P regions for a judge.

    Args:
        prepared: B 3 S S pixels, normalised for the judge.
        maps: P h w in 0..1.
        owner: P, the image of each map.
        mode: Kind of view.
        outside: View the background of each map instead; `both` views all foregrounds and then all backgrounds.
        backdrop: Result of `make_backdrop`.
        alpha: Share of the adaptive mask.

    Returns:
        Views P 3 S S (2P for both), and binary masks P S S for a mask-prompted judge.
    """
    sides = (False, True) if outside == "both" else (outside,)
    seen = [pixel_weights(maps, prepared.shape[-1], mode, outside=side, alpha=alpha) for side in sides]
    weights, masks = (torch.cat(of_sides) for of_sides in zip(*seen, strict=True))
    views = compose(prepared, weights, owner.repeat(len(sides)), backdrop=backdrop)
    return (crop(views, crop_boxes(masks)) if mode == "crop" else views), masks


def _resampling(centre: Tensor, half: Tensor, side: int) -> Tensor:
    """P S S, weights of the pixels along a side in each of the enlarged ones; pixels outside repeat the outermost."""
    pixel = torch.arange(side, device=centre.device, dtype=centre.dtype)
    spread = (2 * pixel + 1) / side - 1
    at = ((centre[:, None] + half[:, None] * spread + 1) * side - 1) / 2
    return (1 - (at.clamp(0, side - 1)[:, :, None] - pixel).abs()).clamp(min=0)


def _extent(used: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first index and the one after the last True of P S; 0 and S without any."""
    length = used.shape[1]
    first = used.float().argmax(1)
    last = length - used.flip(1).float().argmax(1)
    empty = ~used.any(1)
    return first.masked_fill(empty, 0).float(), last.masked_fill(empty, length).float()
