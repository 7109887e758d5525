"""`read_tiles`: the tiles that `tile` writes, as arrays."""

import numpy as np
import pytest
from PIL import Image

from qaclims_path import read_tiles, tile
from qaclims_path.data.phantoms.slide import PhantomSpec
from qaclims_path.data.phantoms.write import write_slide
from qaclims_path.errors import QaclimsError, UsageError
from qaclims_path.files.tables import read_csv


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slides")
    write_slide(folder, "s0", PhantomSpec(0, 640, 512, mpp=0.5, patient="P0"))
    return folder / "s0.tiff"


def test_tiles_in_memory_are_those_that_are_written(slide, tmp_path):
    how = {"mpp": 1.0, "size": 64, "overlap": 0.25, "min_tissue": 0.6}
    tile(slide, tmp_path, write="png", options=how)
    rows = list(read_csv(tmp_path / "manifest.csv"))
    found = list(read_tiles(slide, **how))
    assert len(found) == len(rows) > 10
    for each, row in zip(found, rows, strict=True):
        assert (each.x, each.y) == (int(row["x_px_level0"]), int(row["y_px_level0"]))
        assert each.tissue >= 0.6 - 1e-6
        assert np.array_equal(each.pixels, np.asarray(Image.open(tmp_path / "tiles" / "s0" / f"{each.x}_{each.y}.png")))


def test_nothing_is_read_before_it_is_asked_for(slide):
    x, y, tissue, pixels = next(read_tiles(slide, magnification=20, size=100, tissue="none"))
    assert (x, y, tissue) == (0, 0, 1.0)
    assert pixels.shape == (100, 100, 3)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "mpp|pixel size"),
        ({"mpp": 0.5, "min_tissue": 2}, "min_tissue|tissue"),
        ({"mpp": 0.5, "size": 0}, "size"),
        ({"mpp": 0.5, "tissue": "missing.png"}, "missing.png"),
        ({"mpp": 0.5, "backend": "paper"}, "paper"),
    ],
)
def test_wrong_options_are_refused(slide, options, told):
    with pytest.raises(QaclimsError, match=told):
        list(read_tiles(slide, **options))


def test_a_missing_slide_and_an_unknown_option_are_refused(tmp_path):
    with pytest.raises(QaclimsError, match=r"none\.svs"):
        list(read_tiles(tmp_path / "none.svs", mpp=0.5))
    with pytest.raises(UsageError, match="no option 'labels'"):
        read_tiles("none.svs", mpp=0.5, labels="here")
