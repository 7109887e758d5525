import numpy as np
import pytest

from qaclims_path.data.cards import load_card
from qaclims_path.data.fake import write_fake
from qaclims_path.data.listing import list_records
from qaclims_path.data.record import load_record
from qaclims_path.errors import BadFile, QaclimsError, UsageError
from qaclims_path.files.images import read_image, read_mask, write_image, write_mask
from qaclims_path.pipeline.datasets.check import check
from qaclims_path.pipeline.datasets.options import CutOptions
from qaclims_path.pipeline.datasets.tile_images import tile_images

BCSS = load_card("bcss")
NAME = "TCGA-A1-A0SK-DX1_xmin1_ymin2_MPP-0.2500"


@pytest.fixture
def region(tmp_path):
    """One region of 40 x 56 px, whose left half lies outside of what was annotated in its upper 16 rows."""
    rng = np.random.default_rng(0)
    codes = rng.integers(1, 5, (56, 40)).astype(np.uint8)
    codes[:16, :16] = 0
    root = tmp_path / "bcss"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    write_image(root / "images" / f"{NAME}.png", rng.integers(0, 256, (56, 40, 3)).astype(np.uint8))
    write_mask(root / "masks" / f"{NAME}.png", codes)
    return root


def joined(folder, read):
    """Lay the tiles of a folder beside each other, as their names say."""
    paths = sorted(folder.iterdir())
    canvas = np.zeros((64, 48, *read(paths[0]).shape[2:]), np.uint8)
    for path in paths:
        x, y = (int(part[1:]) for part in path.stem.split("_")[-2:])
        canvas[y : y + 16, x : x + 16] = read(path)
    return canvas


def scored(card, records):
    """Count the pixels of each class and of background."""
    truths = [load_record(card, record)[2] for record in records]
    return sum(np.bincount(truth.ravel(), minlength=256)[:5] for truth in truths).tolist()


def test_tiles_together_are_the_image_and_its_mask(region, tmp_path):
    report = tile_images(BCSS, region, tmp_path / "tiles", CutOptions(size=16))
    assert (report.tiles, report.images, report.empty) == ({"train": 11}, {"train": 1}, 1)
    tiles, image, mask = tmp_path / "tiles" / "train", *(region / name / f"{NAME}.png" for name in ("images", "masks"))
    assert (joined(tiles / "images", read_image)[:56, :40] == read_image(image))[16:].all()
    codes = joined(tiles / "masks", read_mask)
    assert (codes[16:56, :40] == read_mask(mask)[16:]).all()  # the classes in card order, from 1
    assert (codes[56:] == 255).all()
    assert (codes[:, 40:] == 255).all()


def test_tiles_are_a_data_set_with_labels_masks_and_patients(tmp_path):
    write_fake(BCSS, tmp_path / "bcss", images=4)
    report = tile_images(BCSS, tmp_path / "bcss", tmp_path / "tiles", CutOptions(size=16))
    card = load_card(tmp_path / "tiles" / "card.yaml")
    assert check(card, tmp_path / "tiles").passed
    assert (card.name, card.names, card.mpp, card.protocols) == ("bcss-tiles", BCSS.names, 0.25, BCSS.protocols)
    assert [card.split(name).supervision for name in ("train", "train-drawn", "test")] == ["labels", "masks", "masks"]
    assert card.split("train-drawn").supervised
    for split, drawn in (("train", "train-drawn"), ("test", "test")):
        whole, tiles = list_records(BCSS, tmp_path / "bcss", split), list_records(card, tmp_path / "tiles", drawn)
        assert len(tiles) == report.tiles[split] > len(whole) == report.images[split]
        assert {tile.patient for tile in tiles} == {image.patient for image in whole}
        assert scored(BCSS, whole) == scored(card, tiles)  # every scored pixel is in one tile
    labelled, masked = (list_records(card, tmp_path / "tiles", name) for name in ("train", "train-drawn"))
    assert [r.present for r in labelled] == [load_record(card, r)[1] for r in masked]
    assert all(record.mask is None for record in labelled)


def test_another_pixel_size_takes_the_class_at_each_centre(region, tmp_path):
    tile_images(BCSS, region, tmp_path / "tiles", CutOptions(size=16, mpp=0.5))
    codes = read_mask(region / "masks" / f"{NAME}.png")[1:33:2, 1:33:2]
    tile = read_mask(tmp_path / "tiles" / "train" / "masks" / f"{NAME}_x0_y0.png")
    assert (tile == np.where(codes == 0, 255, codes)).all()
    assert load_card(tmp_path / "tiles" / "card.yaml").mpp == 0.5


def test_numbered_glands_become_one_class(tmp_path):
    write_fake(load_card("crag"), tmp_path / "crag", images=1)
    tile_images(load_card("crag"), tmp_path / "crag", tmp_path / "tiles", CutOptions(size=16))
    card = load_card(tmp_path / "tiles" / "card.yaml")
    assert card.codes == {"0": "background", "1": "gland", "255": "ignore"}
    assert check(card, tmp_path / "tiles").passed


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("bcss-wsss", {}, r"'bcss-wsss' cannot be cut: the split 'train' has no masks.*slides tile"),
        ("voc2012", {}, "cannot be cut"),
        ("crag", {"mpp": 0.5}, "does not say how large its pixels are.*Leave it out"),
    ],
)
def test_what_cannot_be_cut_is_refused_and_leaves_nothing(tmp_path, name, options, message):
    write_fake(load_card(name), tmp_path / "data", images=1)
    with pytest.raises(UsageError, match=message):
        tile_images(load_card(name), tmp_path / "data", tmp_path / "tiles", CutOptions(**options))
    assert not (tmp_path / "tiles").exists()


def test_wrong_folders_and_masks_are_refused(region, tmp_path):
    with pytest.raises(UsageError, match="exists and is not empty"):
        tile_images(BCSS, region, region)
    with pytest.raises(QaclimsError, match=r"nothing does not exist\. Give the folder"):
        tile_images(BCSS, tmp_path / "nothing", tmp_path / "tiles")
    write_mask(region / "masks" / f"{NAME}.png", np.ones((8, 40), np.uint8))
    with pytest.raises(BadFile, match=r"is 40 x 8 pixels, .* 40 x 56"):
        tile_images(BCSS, region, tmp_path / "tiles", CutOptions(size=16))
    assert not (tmp_path / "tiles").exists()
