"""Painted slides on disk: pyramids that other readers open, truth and regions that agree with the picture."""

import json

import numpy as np
import openslide
import pytest
import shapely
import tifffile
import tiffslide
from PIL import Image, ImageDraw
from shapely.geometry import shape

from qaclims_path.data.phantoms.painted import is_painted
from qaclims_path.data.phantoms.regions import CLASS_COLORS, CLASS_NAMES, annotations
from qaclims_path.data.phantoms.slide import PhantomSlide, PhantomSpec
from qaclims_path.data.phantoms.write import levels, write_slide
from qaclims_path.files.images import read_mask

SPEC = PhantomSpec(seed=4, width=1900, height=1500, mpp=0.5, patient="FK-0009")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_slide(tmp_path_factory.mktemp("slide"), "one", SPEC)


@pytest.fixture(scope="module")
def painted():
    return PhantomSlide(SPEC).read(0, 0, SPEC.width, SPEC.height)


def test_equal_seeds_give_equal_bytes_and_leave_no_other_file(files, tmp_path):
    again = write_slide(tmp_path, "one", SPEC)
    for one, other in ((files.slide, again.slide), (files.truth, again.truth), (files.regions, again.regions)):
        assert one.read_bytes() == other.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.geojson", "one.tiff", "one_truth.tiff"]


def test_painted_slides_are_known_by_their_tag(files, tmp_path):
    other = tmp_path / "other.tiff"
    tifffile.imwrite(other, np.zeros((32, 32, 3), np.uint8), software="another program")
    (tmp_path / "damaged.tiff").write_bytes(files.slide.read_bytes()[:50])
    assert is_painted(files.slide)
    assert not any(map(is_painted, (other, files.regions, tmp_path / "damaged.tiff", tmp_path / "none.tiff")))


@pytest.mark.parametrize("open_slide", [openslide.OpenSlide, tiffslide.TiffSlide])
def test_readers_open_it_with_pixel_size(files, painted, open_slide):
    with open_slide(str(files.slide)) as slide:
        vendor = "openslide" if open_slide is openslide.OpenSlide else "tiffslide"
        assert float(slide.properties[f"{vendor}.mpp-x"]) == pytest.approx(0.5)
        assert float(slide.properties[f"{vendor}.mpp-y"]) == pytest.approx(0.5)
        assert tuple(slide.level_dimensions) == ((1900, 1500), (475, 375), (118, 93))
        region = np.asarray(slide.read_region((600, 500), 0, (400, 300)).convert("RGB"))
        coarse = np.asarray(slide.read_region((0, 0), 1, (475, 375)).convert("RGB"))
    assert np.abs(region.astype(int) - painted[0][500:800, 600:1000]).mean() < 6
    mean = painted[0][:1500, :1900].reshape(375, 4, 475, 4, 3).mean((1, 3))
    assert np.abs(coarse - mean).mean() < 6


def test_truth_has_the_geometry_of_the_slide(files, painted):
    assert np.array_equal(read_mask(files.truth), painted[1])
    with tifffile.TiffFile(files.truth) as truth, tifffile.TiffFile(files.slide) as slide:
        assert [page.shape for page in truth.pages] == [page.shape[:2] for page in slide.pages]
        assert truth.pages[0].tags["XResolution"].value == slide.pages[0].tags["XResolution"].value
        assert truth.pages[0].is_tiled
        assert [page.subfiletype for page in truth.pages] == [0, 1, 1]
        assert (truth.pages[0].colormap[:, :5].T // 257).tolist() == [list(color) for color in CLASS_COLORS]
        assert np.array_equal(truth.pages[1].asarray(), painted[1][2::4, 2::4])


def test_pyramids_fit_the_slide():
    assert levels(PhantomSpec(1, 4096, 4096)) == [1, 4, 16]
    assert levels(PhantomSpec(1, 60, 4096)) == [1]


@pytest.mark.parametrize(("width", "height"), [(40, 30), (257, 513), (256, 256)])
def test_odd_sizes_are_written_and_read_back(tmp_path, width, height):
    spec = PhantomSpec(1, width, height)
    files = write_slide(tmp_path, "odd", spec)
    with openslide.OpenSlide(str(files.slide)) as slide:
        assert slide.dimensions == (width, height)
    assert read_mask(files.truth).shape == (height, width)
    assert json.loads(files.regions.read_text())["type"] == "FeatureCollection"


def test_regions_are_valid_and_agree_with_truth(files, painted):
    features = json.loads(files.regions.read_text())["features"]
    canvas = Image.new("L", (SPEC.width, SPEC.height), 4)
    for feature in features:
        polygon = shape(feature["geometry"])
        assert polygon.is_valid
        assert shapely.box(0, 0, SPEC.width, SPEC.height).covers(polygon)
        assert feature["properties"]["objectType"] == "annotation"
        kind = feature["properties"]["classification"]
        code = CLASS_NAMES.index(kind["name"])
        assert tuple(kind["color"]) == CLASS_COLORS[code]
        stencil = Image.new("1", canvas.size)
        pen = ImageDraw.Draw(stencil)
        for number, ring in enumerate(feature["geometry"]["coordinates"]):
            pen.polygon([tuple(point) for point in ring], fill=number == 0)
        canvas.paste(code, mask=stencil)
    assert len({feature["id"] for feature in features}) == len(features)
    assert (np.asarray(canvas) == painted[1]).mean() > 0.95


def test_regions_keep_holes():
    codes = np.full((40, 40), 4, np.uint8)
    codes[5:35, 5:35] = 0
    codes[15:25, 15:25] = 3
    features = annotations(codes, 8, (320, 320))["features"]
    tumor, dead = (shape(feature["geometry"]) for feature in features)
    assert len(tumor.interiors) == 1
    assert tumor.area == (30 * 30 - 10 * 10) * 64
    assert dead.within(shapely.Polygon(tumor.exterior))
