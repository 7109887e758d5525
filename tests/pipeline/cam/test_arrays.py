"""`load_mapper`: an image in memory gets the maps that `make_maps` stores for its file."""

import numpy as np
import pytest
import torch
from PIL import Image

from qaclims_path import load_mapper
from qaclims_path.data.cards import load_card
from qaclims_path.data.split import open_split
from qaclims_path.errors import QaclimsError, UsageError
from qaclims_path.files.maps import MapReader
from qaclims_path.models.camnet import CamNet
from qaclims_path.pipeline.cam.map_options import MapOptions
from qaclims_path.pipeline.cam.maps import make_cams

CARD = load_card("bcss-wsss")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("runs") / "run"
    CamNet("test_resnet", CARD.names).save(folder / "cam")
    return folder


@pytest.mark.parametrize("classes", ["present", "all"])
@pytest.mark.parametrize("kind", ["array", "picture"])
def test_an_image_in_memory_is_mapped_as_its_file_is(run, bcss, tmp_path, classes, kind):
    split = open_split(CARD, bcss, "train")
    make_cams(run, split, MapOptions(classes=classes, scales=(1.0, 0.5), precision="fp32"), out=tmp_path / "maps")
    reader, mapper = MapReader(tmp_path / "maps"), load_mapper(run, scales=(1.0, 0.5), precision="fp32")
    assert mapper.classes == CARD.names
    for record in split.records:
        pixels, stored = record.image.pixels(), reader[record.id]
        names = [CARD.names[label] for label in stored.classes]
        image = pixels if kind == "array" else Image.fromarray(pixels)
        found = mapper(image, names if classes == "present" else None)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, stored.maps, atol=2e-3)


def test_maps_follow_the_order_of_the_names_and_none_are_none(run):
    mapper, image = load_mapper(run, scales=[1.0]), np.full((50, 70, 3), 128, np.uint8)
    image[:, 30:] = 30, 90, 200
    one, other = mapper(image, ["tumor", "stroma"]), mapper(image, ["stroma", "tumor"])
    assert one.shape == (2, 13, 18)
    assert np.array_equal(one, other[::-1])
    assert mapper(image, []).shape == (0, 13, 18)


@pytest.mark.parametrize(
    ("image", "classes", "told"),
    [
        (np.zeros((8, 8, 3)), None, r"array of float64 .* should be bytes"),
        (np.zeros((8, 8), np.uint8), None, r"of shape \(8, 8\)"),
        (np.zeros((8, 8, 3), np.uint8), ["tumour"], "no class 'tumour'.*tumor"),
        (Image.new("I;16", (8, 8)), None, "8 bits per channel"),
    ],
)
def test_other_images_and_classes_are_refused(run, image, classes, told):
    mapper = load_mapper(run, scales=[1.0])
    with pytest.raises(QaclimsError, match=told):
        mapper(image, classes)


def test_wrong_scales_and_folders_are_refused(run, tmp_path):
    with pytest.raises(UsageError, match="at least one number above 0"):
        load_mapper(run, scales=[])
    with pytest.raises(QaclimsError, match=str(tmp_path)):
        load_mapper(tmp_path)
