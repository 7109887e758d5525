"""Check of one split: listed in spite of mistakes, then every image and mask is opened."""

import json
import os
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qaclims_path.data.cards import load_card
from qaclims_path.data.fake import write_fake
from qaclims_path.files.images import write_mask
from qaclims_path.pipeline.datasets.check import check

CARDS = Path(__file__).resolve().parents[2] / "cards"
OFFLINE = Path(__file__).resolve().parents[3] / "scripts" / "reproduce" / "cards"


def png_header(path, width, height):
    """A PNG that promises a size and holds next to nothing."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


@pytest.mark.parametrize("lost", ["img", "mask"])
def test_missing_images_or_masks_of_a_split_are_a_problem(root, card, lost, checked):
    shutil.rmtree(root / "val" / lost)
    found = checked(card, root)
    assert found.kinds == {"missing": 1}
    assert f"'val/{lost}'" in found.sentences[0]
    assert f"'validation/{lost}'" in found.sentences[0]


def test_an_empty_folder_is_a_problem(root, card, train_images, checked):
    for image in train_images:
        image.unlink()
    found = checked(card, root)
    assert "missing" in found.kinds
    assert "holds no images" in found.sentences[0]
    assert found.report.splits[0].state == "unlisted"


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (truncate, "damaged|cannot be opened"),
        (lambda path: path.write_text("not a picture"), "not a picture"),
        (lambda path: path.write_bytes(b""), "not a picture"),
        (lambda path: Image.fromarray(np.zeros((64, 64), np.uint16)).save(path), "8 bits per channel"),
        (lambda path: png_header(path, 60_000, 60_000), "pixels"),
        (lambda path: (path.unlink(), path.symlink_to(path.name)), "cannot be opened"),
    ],
)
def test_unreadable_images_are_problems(root, card, damage, said, train_images, checked):
    image = train_images[0]
    damage(image)
    found = checked(card, root)
    assert found.kinds == {"unreadable": 1}
    (sentence,) = found.sentences
    assert image.name in sentence
    assert any(part in sentence for part in said.split("|"))
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("pixels", "kind", "said"),
    [
        (np.zeros((64, 64, 3), np.uint8), "unreadable", "RGB picture"),
        (np.zeros((64, 64), np.uint16), "unreadable", "8-bit class code"),
        (np.zeros((64, 60), np.uint8), "size", "64 x 64 pixels, but its mask"),
        (np.full((64, 64), 9, np.uint8), "code", "holds the code 9"),
    ],
)
def test_wrong_masks_are_problems(root, card, pixels, kind, said, masks, checked):
    mask = masks[0]
    Image.fromarray(pixels).save(mask)
    found = checked(card, root)
    assert found.kinds == {kind: 1}
    assert said in found.sentences[0]
    assert mask.name in found.sentences[0]


def test_a_truncated_mask_is_a_problem(root, card, masks, checked):
    truncate(masks[0])
    assert checked(card, root).kinds == {"unreadable": 1}


@pytest.mark.parametrize("bits", ["", "[11]", "[11x1]", "[11111]"])
def test_names_without_labels_are_problems(root, card, bits, train_images, checked):
    image = train_images[0]
    image.rename(image.with_name(f"{image.name.split('[')[0]}{bits}.png"))
    found = checked(card, root)
    assert found.kinds == {"labels": 1}
    assert f"{bits}.png" in found.sentences[0]
    assert found.report.opened == 12


@pytest.fixture
def tabled(tmp_path):
    """A card whose split val has masks and a table of labels, and a folder of it."""
    path = tmp_path / "mine.yaml"
    path.write_text(
        "extends: folder\nname: mine\nsplits:\n  val: {labels_from: table, labels: [val/labels.csv]}\n",
        encoding="utf-8",
    )
    card, root = load_card(path), tmp_path / "data"
    write_fake(card, root, images=3)
    return card, root


def test_labels_that_agree_with_masks_pass(tabled):
    assert check(*tabled).passed


def take_first_label_away(root):
    """Label the first image with nothing, and return the names of the images."""
    table = root / "val" / "labels.csv"
    header, first, *rest = table.read_text().splitlines()
    assert first.endswith(",1")
    table.write_text("\n".join([header, f"{first[:-1]}0", *rest]) + "\n")
    return [line.split(",")[0] for line in (first, *rest)]


def test_labels_that_contradict_masks_are_problems(tabled, checked):
    card, root = tabled
    take_first_label_away(root)
    found = checked(card, root)
    assert found.kinds == {"contradiction": 1}
    assert "is labelled nothing, but its mask" in found.sentences[0]
    assert "shows foreground" in found.sentences[0]


def test_contradictions_are_found_beside_masks_of_the_wrong_size(tabled, checked):
    card, root = tabled
    second = take_first_label_away(root)[1]
    write_mask(root / "val" / "masks" / second, np.zeros((1, 1), np.uint8))
    assert "contradiction" in checked(card, root).kinds


def test_quick_reads_headers_only(root, card, train_images, masks, checked):
    truncate(train_images[0])
    write_mask(masks[0], np.full((64, 64), 77, np.uint8))
    assert check(card, root, quick=True).passed
    write_mask(masks[1], np.zeros((10, 10), np.uint8))
    train_images[1].write_text("no picture")
    assert checked(card, root, quick=True).kinds == {"size": 1, "unreadable": 1}


def test_a_circular_link_is_reported(root, card, checked):
    shutil.rmtree(root / "val" / "mask")
    (root / "val" / "mask").symlink_to("mask")
    found = checked(card, root)
    assert set(found.kinds) == {"missing"}
    assert "val/mask" in found.sentences[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="everything is readable to root")
def test_a_folder_without_permission_is_reported(root, card, checked):
    (root / "val" / "mask").chmod(0)
    try:
        found = checked(card, root)
    finally:
        (root / "val" / "mask").chmod(0o755)
    assert "cannot be" in found.sentences[0]


def test_masks_beside_their_images_are_not_listed_as_images(tmp_path, checked):
    card = load_card("glas")
    root = tmp_path / "glas"
    write_fake(card, root, images=3)
    assert check(card, root).passed
    mask = next(root.rglob("train_*_anno.bmp"))
    mask.unlink()
    found = checked(card, root)
    assert set(found.kinds) == {"masks"}
    assert found.report.splits[0].images == 3


@pytest.fixture
def coco(tmp_path):
    """The card of a small COCO, and a folder of it."""
    card = load_card(CARDS / "coco-tiny.yaml")
    write_fake(card, tmp_path / "coco", images=2)
    return card, tmp_path / "coco"


def test_missing_annotations_are_a_problem(coco, checked):
    card, root = coco
    (root / "annotations" / "instances_val2017.json").unlink()
    found = checked(card, root)
    assert found.kinds == {"missing": 1}
    assert "'annotations/instances_val2017.json'" in found.sentences[0]


def test_damaged_annotations_are_a_problem(coco, checked):
    card, root = coco
    (root / "annotations" / "instances_val2017.json").write_text("{")
    found = checked(card, root)
    assert found.kinds == {"missing": 1}
    assert "cannot be read as JSON" in found.sentences[0]
    assert found.report.splits[2].images == 2


def test_undamaged_annotations_pass(coco):
    assert check(*coco).passed


def test_a_damaged_copy_of_real_tiles_fails_with_all_problems(real_data, tmp_path, checked):
    root = Path(shutil.copytree(real_data / "wsss4luad", tmp_path / "wsss4luad"))
    patch = min((root / "1.training").glob("*.png"))
    patch.rename(patch.with_name("no-label.png"))
    masks = sorted((root / "2.validation" / "mask").glob("*.png"))
    write_mask(masks[0], np.full((9, 9), 3, np.uint8))
    masks[1].unlink()
    truncate(sorted((root / "2.validation" / "img").glob("*.png"))[2])
    assert checked(load_card("wsss4luad"), root).kinds == {"labels": 1, "masks": 1, "unreadable": 1, "size": 1}


def test_a_damaged_copy_of_real_annotations_fails(real_data, tmp_path, checked):
    damaged = Path(shutil.copytree(real_data / "coco-tiny", tmp_path / "coco-tiny"))
    path = damaged / "annotations" / "instances_val2017.json"
    tree = json.loads(path.read_text())
    tree["images"][0]["height"] += 3
    path.write_text(json.dumps(tree))
    found = checked(load_card(CARDS / "coco-tiny.yaml"), damaged)
    assert not found.report.passed
    assert set(found.kinds) <= {"size", "unreadable"}
