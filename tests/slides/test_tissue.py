"""Tissue masks: the level that is read, masks from files, and notes on slides without tissue."""

import json

import numpy as np
import pytest
import shapely
from PIL import Image
from scipy.ndimage import gaussian_filter

from qaclims_path.data.phantoms.slide import paint_slide
from qaclims_path.errors import BadFile, ResolutionUnknown, UsageError
from qaclims_path.slides import tissue
from qaclims_path.slides.reader import open_slide
from qaclims_path.slides.tissue import TissueOptions, overview, tissue_mask


@pytest.fixture(scope="module")
def painted():
    rgb, truth = paint_slide(3, (1040, 800), 2.0)
    return rgb, truth < 4


@pytest.fixture
def slide(painted, write_tiff):
    rgb = painted[0]
    levels = [rgb, rgb.reshape(400, 2, 520, 2, 3).mean((1, 3)).astype(np.uint8)]
    levels.append(levels[1].reshape(200, 2, 260, 2, 3).mean((1, 3)).astype(np.uint8))
    with open_slide(write_tiff(levels, mpp=2.0)) as opened:
        yield opened


@pytest.mark.parametrize(("tile_um", "side"), [(12, 520), (24, 260), (10_000, 260), (6, 1040)])
def test_the_coarsest_level_with_three_pixels_a_tile_is_read(slide, tile_um, side):
    mask = tissue_mask(slide, tile_um=tile_um)
    assert mask.mask.shape[1] == side
    assert mask.scale == (1040 / side, 1040 / side)


def test_phantom_tissue_is_found(slide, painted):
    mask = tissue_mask(slide, tile_um=12)
    truth = painted[1].reshape(400, 2, 520, 2).mean((1, 3)) > 0.5
    assert (mask.mask == truth).mean() > 0.97  # thin walls of fat cells are tissue here and background there
    assert not mask.empty
    assert not mask.note


def test_a_large_level_is_read_in_bands_and_shrunk(slide, monkeypatch):
    monkeypatch.setattr(tissue, "MAX_LEVEL_SIDE", 100)
    monkeypatch.setattr(tissue, "SHRUNK_SIDE", 50)
    monkeypatch.setattr(tissue, "BAND_PIXELS", 5000)
    picture, step = overview(slide, 8.0)
    assert step == 8
    assert picture.shape == (100, 130, 3)
    assert (picture == slide.read_by_step(0, 0, (130, 100), (8.0, 8.0))).all()
    monkeypatch.setattr(tissue, "SHRUNK_SIDE", 208)
    assert overview(slide, 8.0)[1] == 5


def test_specks_and_holes_are_areas_not_pixels(slide):
    none = TissueOptions(specks=0, holes=0)
    sizes = [tissue_mask(slide, tile_um=um, options=none).mask.mean() for um in (6, 12)]
    filled = [tissue_mask(slide, tile_um=um).mask.mean() for um in (6, 12)]
    assert abs(filled[0] - filled[1]) < 0.02
    assert abs(filled[0] - filled[1]) < abs(sizes[0] - sizes[1])


def test_without_a_method_the_whole_slide_is_tissue(slide):
    mask = tissue_mask(slide, "none")
    assert mask.mask.all()
    assert mask.scale == (1040, 800)


def test_blurred_and_inked_tissue_is_left_out(painted, write_tiff):
    rgb = painted[0].copy()
    rgb[:, :400] = gaussian_filter(rgb[:, :400], (3, 3, 0))
    rgb[300:500, 700:740] = (15, 60, 190)
    with open_slide(write_tiff([rgb], mpp=2.0)) as slide:
        plain = tissue_mask(slide, tile_um=6).mask
        clean = tissue_mask(slide, tile_um=6, options=TissueOptions(pens=True, blur=True)).mask
    assert plain[300:500, 700:740].mean() > 0.95
    assert not clean[310:490, 705:735].any()
    assert clean[:, :370].mean() < 0.1 * plain[:, :370].mean()
    assert clean[:, 760:].mean() > 0.95 * plain[:, 760:].mean()


def test_blur_is_the_same_whatever_the_bands(slide, monkeypatch):
    options = TissueOptions(blur=True)
    whole = tissue_mask(slide, tile_um=12, options=options).mask
    monkeypatch.setattr(tissue, "BAND_PIXELS", 200_000)
    assert (tissue_mask(slide, tile_um=12, options=options).mask == whole).mean() > 0.999


def test_a_slide_of_glass_has_an_empty_mask_and_a_note(write_tiff):
    glass = np.random.default_rng(0).integers(240, 247, (256, 256, 3), np.uint8)
    with open_slide(write_tiff([glass])) as slide:
        mask = tissue_mask(slide)
    assert mask.empty
    assert mask.note.startswith("No tissue found on slide.tiff.")


def test_a_tissue_mask_needs_the_pixel_size(write_tiff):
    with open_slide(write_tiff([np.zeros((64, 64, 3), np.uint8)], mpp=None)) as slide, pytest.raises(ResolutionUnknown):
        tissue_mask(slide)


def test_a_threshold_that_no_pixel_can_pass_is_refused():
    with pytest.raises(UsageError, match="from 0 to 254"):
        TissueOptions(threshold=300)


@pytest.mark.parametrize("in_folder", [False, True])
def test_a_picture_of_any_size_is_a_mask(slide, tmp_path, in_folder):
    own = np.zeros((101, 131), np.uint8)
    own[:50] = 255
    folder = tmp_path / "masks"
    folder.mkdir()
    Image.fromarray(own).save(folder / "slide.png")
    mask = tissue_mask(slide, str(folder if in_folder else folder / "slide.png"))
    assert mask.mask.sum() == 50 * 131
    assert mask.scale == pytest.approx((1040 / 131, 800 / 101))


def test_regions_of_geojson_are_a_mask(slide, tmp_path):
    circle = shapely.Point(500, 400).buffer(300)
    path = tmp_path / "tissue.geojson"
    geometry = json.loads(shapely.to_geojson(circle))
    path.write_text(json.dumps({"type": "Feature", "geometry": geometry, "properties": {}}))
    mask = tissue_mask(slide, str(path), tile_um=24)
    assert mask.mask.sum() * mask.scale[0] * mask.scale[1] == pytest.approx(circle.area, rel=0.01)


def test_a_mask_that_marks_no_tissue_gets_a_note(slide, tmp_path):
    Image.fromarray(np.zeros((80, 104), np.uint8)).save(tmp_path / "m.png")
    assert tissue_mask(slide, str(tmp_path / "m.png")).note == "m.png marks no tissue on slide.tiff."


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("gone.png", "There is no tissue mask"), ("a.txt", "not a tissue mask"), ("wide.png", "not the aspect ratio"),
     ("empty", "holds no mask")],
)  # fmt: skip
def test_wrong_masks_are_refused(slide, tmp_path, name, sentence):
    (tmp_path / "a.txt").write_text("x")
    Image.fromarray(np.zeros((50, 200), np.uint8)).save(tmp_path / "wide.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadFile, match=sentence):
        tissue_mask(slide, str(tmp_path / name))
