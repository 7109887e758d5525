"""The MONAI transforms on an annotated phantom slide, from a path to labelled, normalised tiles."""

import numpy as np
import pytest
from monai.transforms import Compose

from qaclims_path.compute.stain import MACENKO_TARGET, fit_macenko
from qaclims_path.data.phantoms.slide import PhantomSlide, PhantomSpec
from qaclims_path.data.phantoms.write import write_slide
from qaclims_path.errors import BadFile, NotRegistered, QaclimsError
from qaclims_path.slides.dataset import SlideTileDataset
from qaclims_path.slides.grid import make_grid
from qaclims_path.slides.reader import open_slide
from qaclims_path.slides.stain import fit_slide, load_fit, save_fit
from qaclims_path.slides.transforms import (
    LoadSlided,
    NormalizeStaind,
    ReadTilesd,
    RegionLabelsd,
    TileGridd,
    TissueMaskd,
)

SPEC = PhantomSpec(seed=1, width=1536, height=1536, mpp=0.5)
CLASSES = ["tumor", "stroma", "lymphocyte", "necrosis"]


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    return write_slide(tmp_path_factory.mktemp("phantom"), "one", SPEC)


@pytest.fixture(scope="module")
def names(phantom):
    from qaclims_path.files.geojson import classifications, read_geojson

    return list(classifications(read_geojson(phantom.regions)))


def pipeline(names, *, stain=True):
    steps = [LoadSlided("slide"), TissueMaskd("slide"), TileGridd("slide", mpp=0.5, size=224), ReadTilesd("slide")]
    steps += [NormalizeStaind("slide")] if stain else []
    return Compose([*steps, RegionLabelsd("slide", names, present_from=0.1)])


def test_from_path_to_labelled_tiles(phantom, names):
    item = pipeline(names)({"slide": str(phantom.slide), "regions": phantom.regions})
    tiles = item["tiles"]
    assert len(tiles) == len(item["grid"]) > 10
    assert not item["tissue"].empty
    read = list(tiles)
    assert [tile.shape for tile in read] == [(224, 224, 3)] * len(tiles)
    dataset = SlideTileDataset([tiles])
    assert all((dataset[i]["image"].numpy() == tile.transpose(2, 0, 1)).all() for i, tile in enumerate(read))
    again = fit_macenko(np.concatenate([tile.reshape(-1, 3)[::7] for tile in read]))
    assert again.strength == pytest.approx(MACENKO_TARGET.strength, rel=0.15)
    item["slide"].close()


def test_labels_agree_with_the_truth_of_the_phantom(phantom, names):
    tiles = pipeline(names, stain=False)({"slide": str(phantom.slide), "regions": phantom.regions})["tiles"]
    painted = PhantomSlide(SPEC)
    agree = []
    for number, (x, y) in enumerate(zip(tiles.grid.x, tiles.grid.y, strict=True)):
        _, codes = painted.read(int(x), int(y), 224, 224)
        shares = np.bincount(codes.ravel(), minlength=5) / codes.size
        for code, name in enumerate(CLASSES):
            column = next((c for c, n in enumerate(names) if n.lower() == name), None)
            if column is not None and not 0.03 < shares[code] < 0.2:  # near the limit, smoothed outlines may differ
                agree.append(tiles.present[number, column] == (shares[code] >= 0.1))
    assert len(agree) > 20
    assert np.mean(agree) > 0.97


def test_a_region_of_interest_and_a_pixel_size_come_from_the_item(phantom, tmp_path):
    roi = tmp_path / "roi.geojson"
    ring = "[[0,0],[500,0],[500,1536],[0,1536],[0,0]]"
    roi.write_text(f'{{"type":"Feature","geometry":{{"type":"Polygon","coordinates":[{ring}]}},"properties":{{}}}}')
    steps = Compose([LoadSlided("slide"), TileGridd("slide", mpp=0.5, size=100)])
    item = steps({"slide": str(phantom.slide), "roi": roi, "mpp": 0.25})
    assert item["grid"].width0 == 200
    assert item["grid"].x.max() <= 400
    item["slide"].close()


def test_fits_are_seeded_and_saved(phantom, tmp_path):
    with open_slide(phantom.slide) as slide:
        grid = make_grid(slide.info, size=224, mpp=0.5)
        fits = {method: fit_slide(slide, grid, method, seed=3, tiles=6) for method in ("macenko", "reinhard")}
        for method, fit in fits.items():
            assert fit_slide(slide, grid, method, seed=3, tiles=6) == fit
            assert fit_slide(slide, grid, method, seed=4, tiles=6) != fit
            save_fit(tmp_path / "fit.json", fit)
            assert load_fit(tmp_path / "fit.json") == fit


def test_an_unknown_stain_method_is_refused_with_the_nearest(phantom):
    with open_slide(phantom.slide) as slide, pytest.raises(NotRegistered, match="Did you mean 'macenko'"):
        fit_slide(slide, make_grid(slide.info, size=224, mpp=0.5), "macenk")


def test_a_grid_without_tiles_cannot_be_fitted(phantom):
    with open_slide(phantom.slide) as slide, pytest.raises(QaclimsError, match="no tiles on tissue"):
        fit_slide(slide, make_grid(slide.info, size=5000, mpp=0.5), "macenko")


def test_glass_cannot_be_fitted(write_tiff):
    with open_slide(write_tiff([np.full((256, 256, 3), 243, np.uint8)])) as slide:
        grid = make_grid(slide.info, size=64, mpp=0.5)
        with pytest.raises(QaclimsError, match=r"stain of slide\.tiff cannot be fitted: only 0 of"):
            fit_slide(slide, grid)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"method": "macenko"}', '{"method": "macenko", "stains": [[1]]}'])
def test_a_damaged_fit_is_refused(tmp_path, text):
    (tmp_path / "fit.json").write_text(text)
    with pytest.raises(BadFile, match="not a saved stain fit"):
        load_fit(tmp_path / "fit.json")
