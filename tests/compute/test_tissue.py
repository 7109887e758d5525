"""Tissue, ink and blur on images with known truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from qaclims_path.compute.tissue import (
    THRESHOLDS,
    blur_mask,
    chroma,
    glass_of,
    ink_mask,
    otsu,
    sharpness,
    tissue_mask_of,
)

EOSIN, NUCLEUS, GLASS = (225, 150, 190), (90, 60, 140), (244, 243, 245)


def picture(*boxes, size=200, noise=3):
    """Glass with boxes (top, bottom, left, right, colour) on it, and camera noise."""
    image = np.full((size, size, 3), GLASS, float)
    for top, bottom, left, right, colour in boxes:
        image[top:bottom, left:right] = colour
    return np.clip(image + np.random.default_rng(0).normal(0, noise, image.shape), 0, 255).astype(np.uint8)


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(2, 256))
def test_otsu_equals_scikit_image(seed, values):
    from skimage.filters import threshold_otsu

    rng = np.random.default_rng(seed)
    image = rng.integers(0, values, (30, 30)).astype(np.uint8)
    image[:10] //= 3
    counts = np.bincount(image.ravel(), minlength=256)
    theirs = threshold_otsu(image)
    spread = [_between(counts, t) for t in (otsu(counts), theirs)]
    assert spread[0] == pytest.approx(spread[1], rel=1e-9)


def _between(counts, threshold):
    low, high = counts[: threshold + 1], counts[threshold + 1 :]
    if not low.sum() or not high.sum():
        return 0.0
    a = (low * np.arange(len(low))).sum() / low.sum()
    b = (high * np.arange(threshold + 1, 256)).sum() / high.sum()
    return float(low.sum()) * float(high.sum()) * (a - b) ** 2


def test_chroma_equals_its_definition():
    image = np.random.default_rng(1).integers(0, 256, (37, 41, 3), np.uint8)
    values, counts = chroma(image)
    assert (values == image.max(-1) - image.min(-1)).all()
    assert (counts == np.bincount(values.ravel(), minlength=256)).all()


def test_chroma_of_a_view():
    image = np.random.default_rng(1).integers(0, 256, (37, 41, 3), np.uint8)
    assert (chroma(image[::2, ::3])[0] == chroma(image[::2, ::3].copy())[0]).all()


def test_tissue_is_found_with_holes_filled_and_specks_dropped():
    image = picture(
        (50, 150, 40, 160, EOSIN), (80, 90, 80, 90, GLASS), (5, 9, 5, 9, NUCLEUS), (60, 100, 120, 150, NUCLEUS)
    )
    truth = np.zeros((200, 200), bool)
    truth[50:150, 40:160] = True
    assert (tissue_mask_of(image, specks=50, holes=200) == truth).mean() > 0.999
    plain = tissue_mask_of(image)
    assert plain[5:9, 5:9].all()
    assert not plain[80:90, 80:90].any()


def test_an_empty_slide_has_no_tissue():
    assert not tissue_mask_of(picture(), specks=5).any()


def test_a_full_slide_is_all_tissue():
    assert tissue_mask_of(picture((0, 200, 0, 200, EOSIN), (0, 200, 0, 80, NUCLEUS))).mean() > 0.99


def test_the_threshold_can_be_set():
    image = picture((0, 200, 0, 100, (240, 225, 235)), noise=0)
    assert not tissue_mask_of(image, threshold=40).any()
    assert tissue_mask_of(image, threshold=10)[:, :100].all()
    assert THRESHOLDS[0] < 15


@pytest.mark.parametrize("ink", [(20, 60, 190), (10, 120, 110), (15, 140, 60), (25, 22, 28)])
def test_ink_is_separated_from_tissue(ink):
    image = picture((50, 150, 0, 90, EOSIN), (60, 100, 20, 50, NUCLEUS), (20, 180, 120, 150, ink))
    found = ink_mask(image, specks=30)
    assert found[20:180, 120:150].mean() > 0.95
    assert not found[:, :100].any()
    wide = ink_mask(image, specks=30, reach=3)
    assert wide[100, 152]
    assert not wide[100, 160]


def test_phantom_tissue_of_every_stain_has_no_ink():
    from qaclims_path.data.phantoms.slide import paint_slide
    from qaclims_path.data.phantoms.stain import FAMILIES

    for family in FAMILIES:
        image, _ = paint_slide(3, (512, 512), 1.0, "FK-0007", family)
        assert ink_mask(image, specks=100).mean() < 0.002, family


def test_blur_is_found_and_flat_glass_is_not_blur():
    from qaclims_path.data.phantoms.slide import paint_slide

    sharp, truth = paint_slide(3, (400, 400), 2.0)
    soft = gaussian_filter(sharp, (2.5, 2.5, 0))
    tissue = truth < 4
    assert blur_mask(sharp)[tissue].mean() < 0.02
    assert blur_mask(soft)[tissue].mean() > 0.9
    assert np.isinf(sharpness(np.full((50, 50, 3), 240, np.uint8), 16)).all()


def test_glass_is_bright_grey_and_larger_than_a_speck():
    pixels = np.full((40, 40, 3), (200, 120, 170), np.uint8)
    pixels[:, :15] = 240
    pixels[30:33, 30:33] = 240
    glass = glass_of(pixels)
    assert glass[:, :15].all()
    assert not glass[:, 15:].any()
