"""`refine_maps`: the maps of an image in memory give the labels that `make_masks` writes for stored ones."""

import numpy as np
import pytest
from PIL import Image

from qaclims_path import refine_maps
from qaclims_path.data.cards import load_card
from qaclims_path.data.phantoms.slide import paint_slide
from qaclims_path.data.split import open_split
from qaclims_path.errors import UsageError
from qaclims_path.files.images import read_mask
from qaclims_path.files.maps import ImageMaps, MapReader, MapWriter
from qaclims_path.pipeline.masks.make import make_masks
from qaclims_path.pipeline.masks.options import MaskOptions

BCSS = load_card("bcss-wsss")
MAPS = np.random.default_rng(0).random((2, 6, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def pixels():
    return paint_slide(1, (32, 24))[0]


@pytest.fixture
def maps(bcss, tmp_path):
    """Maps of a made-up split, stored."""
    writer = MapWriter(tmp_path / "maps", BCSS.names, {"gate": "oracle", "dataset": BCSS.name, "split": "train"})
    images = []
    for row, record in enumerate(open_split(BCSS, bcss, "train").records):
        height, width = record.image.pixels().shape[:2]
        shape = (len(record.present), (height - 1) // 4 + 1, (width - 1) // 4 + 1)
        values = np.random.default_rng(row).random(shape).astype(np.float16)
        images.append(ImageMaps(record.id, record.present, (height, width), values))
    writer.write(0, images)
    writer.finish(1)
    return tmp_path / "maps"


@pytest.mark.parametrize("refiner", ["none", "par", "crf"])
def test_maps_in_memory_become_the_labels_of_stored_ones(bcss, maps, tmp_path, refiner):
    split, reader = open_split(BCSS, bcss, "train"), MapReader(maps)
    made = make_masks(tmp_path, split, MaskOptions(refiner=refiner), maps=maps, out=tmp_path / "masks")
    for record in split.records:
        pixels, stored = record.image.pixels(), reader[record.id]
        labels, confidence = refine_maps(pixels, stored.maps, refiner=refiner)
        codes = read_mask(tmp_path / "masks" / "labels" / f"{record.id}.png")
        assert np.array_equal(np.array(stored.classes)[labels], BCSS.decode(codes, record.id))
        written = read_mask(tmp_path / "masks" / "confidence" / f"{record.id}.png")
        assert np.array_equal((255 * confidence).round().astype(np.uint8), written)
    assert made.images == len(split.records) > 1


def test_a_threshold_gives_background_and_a_picture_gives_the_same_as_its_array(pixels):
    labels, confidence = refine_maps(pixels, MAPS, threshold=0.6)
    assert labels.shape == confidence.shape == (24, 32)
    assert (labels.dtype, confidence.dtype) == (np.uint8, np.float32)
    assert set(np.unique(labels)) == {0, 1, 255}
    assert np.array_equal(refine_maps(Image.fromarray(pixels), MAPS, threshold=0.6)[0], labels)
    assert 255 not in refine_maps(pixels, MAPS)[0]


@pytest.mark.parametrize(
    ("maps", "options", "told"),
    [
        (MAPS[0], {}, r"the shape \(6, 8\)"),
        (MAPS[:0], {}, r"the shape \(0, 6, 8\)"),
        (np.zeros((2, 25, 8)), {}, "not larger than the image of 24 x 32 pixels"),
        (MAPS * np.nan, {}, "outside of 0 to 1"),
        (MAPS * 3, {}, "outside of 0 to 1"),
        (MAPS, {"refiner": "irn"}, "no refiner irn"),
        (MAPS, {"threshold": "cross-fitted"}, "no cross-fitted threshold"),
        (MAPS, {"band": (0.1, 0.3)}, "no background"),
        (MAPS, {"refiner": "blur"}, "blur"),
        (MAPS, {"batch": 3}, "no option 'batch'"),
    ],
)
def test_wrong_maps_and_options_are_refused(pixels, maps, options, told):
    with pytest.raises(UsageError, match=told):
        refine_maps(pixels, maps, **options)
