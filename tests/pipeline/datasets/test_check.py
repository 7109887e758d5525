import json
import os
import shutil
import struct
import zlib
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qaclims_path.data.cards import load_card
from qaclims_path.data.fake import write_fake
from qaclims_path.errors import DatasetProblem
from qaclims_path.pipeline.datasets.check import check
from qaclims_path.report.numbers import spaced

CARDS = Path(__file__).resolve().parents[2] / "cards"
OFFLINE = Path(__file__).resolve().parents[3] / "scripts" / "reproduce" / "cards"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An undamaged fake BCSS-WSSS."""
    root = tmp_path_factory.mktemp("made") / "bcss"
    write_fake(load_card("bcss-wsss"), root, images=4)
    return root


@pytest.fixture
def root(made, tmp_path):
    """A copy to damage."""
    return Path(shutil.copytree(made, tmp_path / "bcss"))


@pytest.fixture
def card():
    return load_card("bcss-wsss")


def files(folder):
    return sorted(path for path in folder.iterdir() if path.suffix == ".png")


def train_folder(root):
    return next(path for path in (root / "training", root / "train") if path.is_dir())


def kinds(report):
    return {group.kind: group.count for group in report.problems}


def sentences(report):
    return [sentence for group in report.problems for sentence in group.first]


def save_mask(path, codes):
    Image.fromarray(np.asarray(codes, np.uint8)).save(path)


def png_header(path, width, height):
    """A PNG that promises a size and holds next to nothing."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


def test_a_smaller_copy_is_partial_and_passes(root, card):
    report = check(card, root)
    assert report.passed
    assert report.problems == ()
    assert [split.summary for split in report.splits] == [
        "partial: 4 of 23 422",
        "partial: 4 of 3 418",
        "partial: 4 of 4 986",
    ]
    assert report.opened == 12
    assert json.loads(json.dumps(asdict(report)))["passed"] is True


def test_complete_makes_a_smaller_copy_a_problem(root, card):
    shutil.rmtree(root / "test")
    report = check(card, root, complete=True)
    assert not report.passed
    assert kinds(report) == {"count": 3}
    assert "'train' is partial: 4 of 23 422" in sentences(report)[0]
    assert "'test' is absent" in sentences(report)[2]


def test_an_absent_split_is_reported_but_no_problem(root, card):
    shutil.rmtree(root / "test")
    report = check(card, root)
    assert report.passed
    assert report.splits[2].state == "absent"
    assert "'test/img'" in report.splits[2].summary


def test_a_folder_without_any_split_names_the_spellings_looked_for(tmp_path, card):
    report = check(card, tmp_path)
    assert kinds(report) == {"missing": 1}
    assert "'training'" in sentences(report)[0]
    assert "'valid/img'" in sentences(report)[0]


def test_a_root_that_is_no_folder_is_refused(tmp_path, card):
    with pytest.raises(DatasetProblem, match="is not a folder"):
        check(card, tmp_path / "none")


@pytest.mark.parametrize("lost", ["img", "mask"])
def test_missing_images_or_masks_of_a_split_are_a_problem(root, card, lost):
    shutil.rmtree(root / "val" / lost)
    report = check(card, root)
    assert kinds(report) == {"missing": 1}
    assert f"'val/{lost}'" in sentences(report)[0]
    assert f"'validation/{lost}'" in sentences(report)[0]


def test_an_empty_folder_is_a_problem(root, card):
    for image in files(train_folder(root)):
        image.unlink()
    report = check(card, root)
    assert "missing" in kinds(report)
    assert "holds no images" in sentences(report)[0]
    assert report.splits[0].state == "unlisted"


def test_more_images_than_published_are_a_problem(root, card):
    fewer = card.model_copy(
        update={"splits": {**card.splits, "val": card.splits["val"].model_copy(update={"count": 3})}}
    )
    report = check(fewer, root)
    assert kinds(report) == {"count": 1}
    assert "4 images, but 3 were published" in sentences(report)[0]


def test_as_many_images_as_published_are_complete(root, card):
    exact = {name: split.model_copy(update={"count": 4}) for name, split in card.splits.items()}
    report = check(card.model_copy(update={"splits": exact}), root, complete=True)
    assert report.passed
    assert {split.summary for split in report.splits} == {"complete: 4"}


def test_a_patient_in_two_parts_is_a_problem(root, card):
    leaked = card.patient_of(files(train_folder(root))[0].name)
    image = files(root / "val" / "img")[0]
    name = image.name.replace(card.patient_of(image.name), leaked)
    image.rename(image.with_name(name))
    (root / "val" / "mask" / image.name).rename(root / "val" / "mask" / name)
    report = check(card, root)
    assert kinds(report) == {"patient": 1}
    assert f"'{leaked}'" in sentences(report)[0]
    assert "train (" in sentences(report)[0]
    assert "val (" in sentences(report)[0]


def test_an_image_on_two_lists_is_a_problem(tmp_path):
    card = load_card(OFFLINE / "voc2012-animals.yaml")
    root = tmp_path / "voc"
    write_fake(card, root, images=3)
    lists = root / "ImageSets" / "Segmentation"
    name = (lists / "val.txt").read_text().split()[0]
    with (lists / "train_aug.txt").open("a") as file:
        file.write(f"{name}\n")
    report = check(card, root)
    assert kinds(report) == {"patient": 1}
    assert f"{name}.jpg is in" in sentences(report)[0]


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
def test_unreadable_images_are_problems(root, card, damage, said):
    image = files(train_folder(root))[0]
    damage(image)
    report = check(card, root)
    assert kinds(report) == {"unreadable": 1}
    (sentence,) = sentences(report)
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
def test_wrong_masks_are_problems(root, card, pixels, kind, said):
    mask = files(root / "val" / "mask")[0]
    Image.fromarray(pixels).save(mask)
    report = check(card, root)
    assert kinds(report) == {kind: 1}
    assert said in sentences(report)[0]
    assert mask.name in sentences(report)[0]


def test_a_truncated_mask_is_a_problem(root, card):
    truncate(files(root / "val" / "mask")[0])
    assert kinds(check(card, root)) == {"unreadable": 1}


@pytest.mark.parametrize("bits", ["", "[11]", "[11x1]", "[11111]"])
def test_names_without_labels_are_problems(root, card, bits):
    image = files(train_folder(root))[0]
    image.rename(image.with_name(f"{image.name.split('[')[0]}{bits}.png"))
    report = check(card, root)
    assert kinds(report) == {"labels": 1}
    assert f"{bits}.png" in sentences(report)[0]
    assert report.opened == 12


def test_masks_without_images_and_images_without_masks_are_problems(root, card):
    first, second = files(root / "val" / "mask")[:2]
    first.rename(first.with_name("stray.png"))
    second.unlink()
    report = check(card, root)
    assert kinds(report) == {"masks": 2, "extra": 1}
    said = " ".join(sentences(report))
    assert "stray.png is a mask without an image" in said
    assert first.name in said
    assert second.name in said
    assert report.opened == 12


def test_labels_that_contradict_masks_are_problems(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "extends: folder\nname: mine\nsplits:\n  val: {labels_from: table, labels: [val/labels.csv]}\n",
        encoding="utf-8",
    )
    card, root = load_card(path), tmp_path / "data"
    write_fake(card, root, images=3)
    assert check(card, root).passed
    table = root / "val" / "labels.csv"
    lines = table.read_text().splitlines()
    assert lines[1].endswith(",1")
    table.write_text("\n".join([lines[0], f"{lines[1][:-1]}0", *lines[2:]]) + "\n")
    report = check(card, root)
    assert kinds(report) == {"contradiction": 1}
    assert "is labelled nothing, but its mask" in sentences(report)[0]
    assert "shows foreground" in sentences(report)[0]
    save_mask(root / "val" / "masks" / lines[2].split(",")[0], np.zeros((1, 1)))
    assert "contradiction" in kinds(check(card, root))


def test_label_rows_without_images_are_problems(tmp_path):
    card, root = load_card("folder"), tmp_path / "data"
    write_fake(card, root, images=3)
    assert check(card, root).passed
    table = next(root.rglob("labels.csv"))
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines, lines[1].replace(lines[1].split(",")[0], "nope.png")]) + "\n")
    report = check(card, root)
    assert kinds(report) == {"missing": 1}
    assert f"1 image of {table} cannot be found: nope. Fetch the rest, or remove the rows." in sentences(report)


def test_all_problems_are_reported_at_once(root, card):
    train, images, masks = files(train_folder(root)), files(root / "val" / "img"), files(root / "val" / "mask")
    train[0].rename(train[0].with_name("nothing.png"))
    truncate(train[1])
    masks[0].unlink()
    save_mask(masks[1], np.zeros((10, 10)))
    save_mask(masks[2], np.full((64, 64), 77))
    save_mask(root / "val" / "mask" / "stray.png", np.zeros((2, 2)))
    images[3].write_text("no picture")
    shutil.rmtree(root / "test" / "mask")
    report = check(card, root)
    assert kinds(report) == {"missing": 1, "labels": 1, "masks": 1, "extra": 1, "unreadable": 2, "size": 1, "code": 1}
    assert all("\n" not in sentence and sentence.endswith(".") for sentence in sentences(report))


def test_only_the_first_ten_of_a_kind_are_kept(tmp_path, card):
    root = tmp_path / "many"
    write_fake(card, root, images=15)
    for image in files(train_folder(root)):
        image.write_text("no picture")
    (group,) = check(card, root).problems
    assert (group.count, len(group.first), group.more) == (15, 10, True)


def test_a_sentence_about_several_images_counts_each(root, card):
    for mask in files(root / "val" / "mask"):
        mask.unlink()
    (group,) = check(card, root).problems
    assert (group.kind, group.count, len(group.first), group.more) == ("masks", 4, 1, False)


def test_quick_reads_headers_only(root, card):
    truncate(files(train_folder(root))[0])
    save_mask(files(root / "val" / "mask")[0], np.full((64, 64), 77))
    assert check(card, root, quick=True).passed
    save_mask(files(root / "val" / "mask")[1], np.zeros((10, 10)))
    files(train_folder(root))[1].write_text("no picture")
    assert kinds(check(card, root, quick=True)) == {"size": 1, "unreadable": 1}


def test_nothing_is_written(root, card):
    before = sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*"))
    check(card, root)
    assert sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*")) == before


def test_names_of_all_alphabets_pass(root, card):
    image = files(root / "val" / "img")[0]
    for folder in ("img", "mask"):
        (root / "val" / folder / image.name).rename(root / "val" / folder / "Gewebe größe 組織.png")
    assert check(card, root).passed


def test_a_circular_link_is_reported(root, card):
    shutil.rmtree(root / "val" / "mask")
    (root / "val" / "mask").symlink_to("mask")
    report = check(card, root)
    assert set(kinds(report)) == {"missing"}
    assert "val/mask" in sentences(report)[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="everything is readable to root")
def test_a_folder_without_permission_is_reported(root, card):
    (root / "val" / "mask").chmod(0)
    try:
        report = check(card, root)
    finally:
        (root / "val" / "mask").chmod(0o755)
    assert "cannot be" in sentences(report)[0]


def test_masks_beside_their_images_are_not_listed_as_images(tmp_path):
    card = load_card("glas")
    root = tmp_path / "glas"
    write_fake(card, root, images=3)
    assert check(card, root).passed
    mask = next(root.rglob("train_*_anno.bmp"))
    mask.unlink()
    report = check(card, root)
    assert set(kinds(report)) == {"masks"}
    assert report.splits[0].images == 3


def test_missing_or_damaged_annotations_are_problems(tmp_path):
    card, root = load_card(CARDS / "coco-tiny.yaml"), tmp_path / "coco"
    write_fake(card, root, images=2)
    assert check(card, root).passed
    (root / "annotations" / "instances_val2017.json").unlink()
    report = check(card, root)
    assert kinds(report) == {"missing": 1}
    assert "'annotations/instances_val2017.json'" in sentences(report)[0]
    (root / "annotations" / "instances_val2017.json").write_text("{")
    report = check(card, root)
    assert kinds(report) == {"missing": 1}
    assert "cannot be read as JSON" in sentences(report)[0]
    assert report.splits[2].images == 2


def test_thousands_are_separated():
    assert [spaced(number) for number in (7, 999, 10582, 1234567)] == ["7", "999", "10 582", "1 234 567"]


@pytest.mark.parametrize(
    ("card", "folder", "summaries"),
    [
        ("wsss4luad", "wsss4luad", {"partial: 564 of 10 091"}),
        ("voc2012", "voc2012", {"partial: 250 of 10 582", "partial: 250 of 1 464", "partial: 120 of 1 449"}),
        (OFFLINE / "voc2012-animals.yaml", "voc2012", {"complete: 250", "complete: 120", "complete: 34"}),
        (CARDS / "coco-tiny.yaml", "coco-tiny", {"complete: 32", "complete: 6"}),
        (OFFLINE / "glas-patches.yaml", "glas", {"complete: 842", "complete: 31"}),
    ],
)
def test_real_data_pass(real_data, card, folder, summaries):
    report = check(load_card(card), real_data / folder)
    assert report.passed, sentences(report)
    assert summaries <= {split.summary for split in report.splits}


def test_a_damaged_copy_of_real_data_fails_with_all_problems(real_data, tmp_path):
    root = Path(shutil.copytree(real_data / "wsss4luad", tmp_path / "wsss4luad"))
    patch = files(root / "1.training")[0]
    patch.rename(patch.with_name("no-label.png"))
    masks = files(root / "2.validation" / "mask")
    save_mask(masks[0], np.full((9, 9), 3))
    masks[1].unlink()
    truncate(files(root / "2.validation" / "img")[2])
    report = check(load_card("wsss4luad"), root)
    assert kinds(report) == {"labels": 1, "masks": 1, "unreadable": 1, "size": 1}
    damaged = Path(shutil.copytree(real_data / "coco-tiny", tmp_path / "coco-tiny"))
    path = damaged / "annotations" / "instances_val2017.json"
    tree = json.loads(path.read_text())
    tree["images"][0]["height"] += 3
    path.write_text(json.dumps(tree))
    report = check(load_card(CARDS / "coco-tiny.yaml"), damaged)
    assert set(kinds(report)) <= {"size", "unreadable"}
    assert not report.passed
