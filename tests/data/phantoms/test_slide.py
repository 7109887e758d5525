"""Painted slides: repeatable, without seams, with every class in fair shares."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, label

from qaclims_path.data.phantoms.layout import BACKGROUND, STROMA
from qaclims_path.data.phantoms.regions import CLASS_NAMES
from qaclims_path.data.phantoms.slide import BLOCK, PhantomSlide, PhantomSpec, paint_slide
from qaclims_path.data.phantoms.stain import FAMILIES, family_of, stain_of
from qaclims_path.errors import UsageError

SPEC = PhantomSpec(seed=3, width=2400, height=2000)


@pytest.fixture(scope="module")
def whole():
    return PhantomSlide(SPEC).read(0, 0, SPEC.width, SPEC.height)


def test_equal_seeds_give_equal_pixels_and_other_seeds_others():
    one, again, other = (paint_slide(seed, (300, 200)) for seed in (1, 1, 2))
    assert one[0].shape == (200, 300, 3)
    assert one[1].shape == (200, 300)
    assert np.array_equal(one[0], again[0])
    assert np.array_equal(one[1], again[1])
    assert not np.array_equal(one[0], other[0])


@pytest.mark.parametrize(
    ("x", "y", "w", "h"), [(0, 0, 1, 1), (700, 500, 224, 224), (333, 177, 1000, 700), (2399, 0, 1, 9)]
)
def test_any_region_has_the_pixels_of_the_whole(whole, x, y, w, h):
    rgb, truth = PhantomSlide(SPEC).read(x, y, w, h)
    assert np.array_equal(rgb, whole[0][y : y + h, x : x + w])
    assert np.array_equal(truth, whole[1][y : y + h, x : x + w])


def test_blocks_leave_no_seam(whole):
    """Neighbouring columns differ no more across the edge of a block than elsewhere."""
    steps = np.abs(np.diff(whole[0].astype(np.int16), axis=1)).mean((0, 2))
    assert steps[BLOCK[0] - 1] < 1.3 * np.median(steps)


def test_a_slide_holds_every_class_in_fair_shares(whole):
    shares = np.bincount(whole[1].ravel(), minlength=5) / whole[1].size
    assert len(shares) == 5
    assert (shares > 0.03).all()


def test_glass_is_white_and_tissue_is_not(whole):
    rgb, truth = whole
    brightness = rgb.mean(2)
    assert np.median(brightness[truth == BACKGROUND]) > 230
    assert all(np.median(brightness[truth == code]) < 220 for code in range(BACKGROUND))


def nucleus_area(mpp, code):
    """Median area in um2 of the dark blobs of a class."""
    side = int(1200 / mpp)
    rgb, truth = PhantomSlide(PhantomSpec(3, side, side, mpp)).read(side // 4, side // 4, side // 2, side // 2)
    red = rgb[..., 0].astype(float)
    dark = (red < 0.72 * np.median(red[truth == code])) & binary_erosion(truth == code, iterations=int(6 / mpp))
    areas = np.bincount(label(dark)[0].ravel())[1:] * mpp**2
    return np.median(areas[areas > 4])


def test_nuclei_keep_their_size_in_micrometres():
    fine, coarse = nucleus_area(0.25, STROMA), nucleus_area(0.5, STROMA)
    assert fine == pytest.approx(coarse, rel=0.25)
    assert 10 < fine < 60


def test_patients_differ_in_stain_and_a_patient_keeps_it():
    one, again, other = stain_of("FK-0001"), stain_of("FK-0001"), stain_of("FK-0002")
    assert np.array_equal(one.dyes, again.dyes)
    assert not np.allclose(one.dyes, other.dyes, atol=0.01)


def test_stain_families_can_be_asked_for():
    colors = []
    for name in FAMILIES:
        rgb, truth = PhantomSlide(PhantomSpec(3, 2400, 2000, stain=name)).read(800, 800, 300, 300)
        colors.append(rgb[truth != BACKGROUND].mean(0))
        assert family_of("anyone", name) == name
    gaps = [np.abs(a - b).max() for i, a in enumerate(colors) for b in colors[:i]]
    assert min(gaps) > 3


def test_an_unknown_stain_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="Did you mean 'classic'"):
        stain_of("FK-0001", "clasic")


@pytest.mark.parametrize(
    ("size", "mpp", "sentence"), [((0, 10), 0.5, "sides are 1 to"), ((10, 10), 20.0, r"0\.1 to 8")]
)
def test_impossible_slides_are_refused(size, mpp, sentence):
    with pytest.raises(UsageError, match=sentence):
        PhantomSpec(1, *size, mpp=mpp)


def test_quick_codes_agree_with_painted_truth(whole):
    quick = PhantomSlide(SPEC).codes(0, 0, SPEC.width, SPEC.height)
    step = int(4.0 / SPEC.mpp)
    rows, columns = SPEC.height // step, SPEC.width // step
    painted = whole[1][::step, ::step]
    assert (quick[:rows, :columns] == painted[:rows, :columns]).mean() > 0.95


def test_details_tell_what_the_codes_do_not():
    slide = PhantomSlide(PhantomSpec(3, 2048, 2048))
    assert slide.details(0, 0, 64, 64) == {"glass": 1.0, "fat": 0.0, "lumen": 0.0, "fold": 0.0}
    whole = slide.details(0, 0, 2048, 2048)
    codes = slide.codes(0, 0, 2048, 2048)
    white = whole["glass"] + whole["fat"] + whole["lumen"]
    assert white == pytest.approx((codes == BACKGROUND).mean(), abs=1e-6)
    assert min(whole.values()) > 0


@pytest.mark.parametrize("absent", ["tumor", "stroma", "lymphocyte", "necrosis"])
def test_a_class_can_be_left_out_of_a_slide(absent):
    whole = PhantomSlide(replace(SPEC, without=(absent,)))
    truth = whole.read(700, 500, 900, 900)[1]
    assert (truth != CLASS_NAMES.index(absent)).all()
    codes = np.bincount(whole.codes(0, 0, SPEC.width, SPEC.height).ravel(), minlength=5)
    assert [name for name, count in zip(CLASS_NAMES, codes, strict=True) if not count] == [absent]


def test_only_classes_of_the_painter_can_be_left_out():
    with pytest.raises(UsageError, match=r"no class 'tumour'\. Did you mean 'tumor'"):
        replace(SPEC, without=("tumour",))
