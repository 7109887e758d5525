"""Check of a data set: counts, patients, rows and masks without images, and all problems in one report."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from qaclims_path.data.cards import load_card
from qaclims_path.data.fake import write_fake
from qaclims_path.data.listing import list_records
from qaclims_path.errors import DatasetProblem
from qaclims_path.files.images import write_mask
from qaclims_path.pipeline.datasets.check import check
from qaclims_path.report.numbers import spaced

CARDS = Path(__file__).resolve().parents[2] / "cards"
OFFLINE = Path(__file__).resolve().parents[3] / "scripts" / "reproduce" / "cards"


def test_a_smaller_copy_is_partial_and_passes(root, card, checked):
    found = checked(card, root)
    assert found.report.passed
    assert found.report.problems == ()
    assert [split.summary for split in found.report.splits] == [
        "partial: 4 of 23 422",
        "partial: 4 of 3 418",
        "partial: 4 of 4 986",
    ]
    assert found.report.opened == 12
    assert json.loads(json.dumps(asdict(found.report)))["passed"] is True


def test_complete_makes_a_smaller_copy_a_problem(root, card, checked):
    shutil.rmtree(root / "test")
    found = checked(card, root, complete=True)
    assert not found.report.passed
    assert found.kinds == {"count": 3}
    assert "'train' is partial: 4 of 23 422" in found.sentences[0]
    assert "'test' is absent" in found.sentences[2]


def test_an_absent_split_is_reported_but_no_problem(root, card, checked):
    shutil.rmtree(root / "test")
    found = checked(card, root)
    assert found.report.passed
    assert found.report.splits[2].state == "absent"
    assert "'test/img'" in found.report.splits[2].summary


def test_a_folder_without_any_split_names_the_spellings_looked_for(tmp_path, card, checked):
    found = checked(card, tmp_path)
    assert found.kinds == {"missing": 1}
    assert "'training'" in found.sentences[0]
    assert "'valid/img'" in found.sentences[0]


def test_a_root_that_is_no_folder_is_refused(tmp_path, card):
    with pytest.raises(DatasetProblem, match="is not a folder"):
        check(card, tmp_path / "none")


def test_more_images_than_published_are_a_problem(root, card, checked):
    fewer = card.model_copy(
        update={"splits": {**card.splits, "val": card.splits["val"].model_copy(update={"count": 3})}}
    )
    found = checked(fewer, root)
    assert found.kinds == {"count": 1}
    assert "4 images, but 3 were published" in found.sentences[0]


def test_as_many_images_as_published_are_complete(root, card, checked):
    exact = {name: split.model_copy(update={"count": 4}) for name, split in card.splits.items()}
    found = checked(card.model_copy(update={"splits": exact}), root, complete=True)
    assert found.report.passed
    assert {split.summary for split in found.report.splits} == {"complete: 4"}


def test_a_patient_in_two_parts_is_a_problem(root, card, train_images, images, checked):
    leaked = card.patient_of(train_images[0].name)
    image = images[0]
    name = image.name.replace(card.patient_of(image.name), leaked)
    image.rename(image.with_name(name))
    (root / "val" / "mask" / image.name).rename(root / "val" / "mask" / name)
    found = checked(card, root)
    assert found.kinds == {"patient": 1}
    assert f"'{leaked}'" in found.sentences[0]
    assert "train (" in found.sentences[0]
    assert "val (" in found.sentences[0]


def test_an_image_on_two_lists_is_a_problem(tmp_path, checked):
    card = load_card(OFFLINE / "voc2012-animals.yaml")
    root = tmp_path / "voc"
    write_fake(card, root, images=3)
    lists = root / "ImageSets" / "Segmentation"
    name = (lists / "val.txt").read_text().split()[0]
    with (lists / "train_aug.txt").open("a") as file:
        file.write(f"{name}\n")
    found = checked(card, root)
    assert found.kinds == {"patient": 1}
    assert f"{name}.jpg is in" in found.sentences[0]


def test_masks_without_images_and_images_without_masks_are_problems(root, card, masks, checked):
    first, second = masks[:2]
    first.rename(first.with_name("stray.png"))
    second.unlink()
    found = checked(card, root)
    assert found.kinds == {"masks": 2, "extra": 1}
    said = " ".join(found.sentences)
    assert "stray.png is a mask without an image" in said
    assert first.name in said
    assert second.name in said
    assert found.report.opened == 12


def test_label_rows_without_images_are_problems(tmp_path, checked):
    card, root = load_card("folder"), tmp_path / "data"
    write_fake(card, root, images=3)
    assert check(card, root).passed
    table = next(root.rglob("labels.csv"))
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines, lines[1].replace(lines[1].split(",")[0], "nope.png")]) + "\n")
    found = checked(card, root)
    assert found.kinds == {"missing": 1}
    assert f"1 image of {table} cannot be found: nope. Fetch the rest, or remove the rows." in found.sentences


def test_all_problems_are_reported_at_once(root, card, train_images, images, masks, checked):
    train_images[0].rename(train_images[0].with_name("nothing.png"))
    train_images[1].write_bytes(b"")
    masks[0].unlink()
    write_mask(masks[1], np.zeros((10, 10), np.uint8))
    write_mask(masks[2], np.full((64, 64), 77, np.uint8))
    write_mask(root / "val" / "mask" / "stray.png", np.zeros((2, 2), np.uint8))
    images[3].write_text("no picture")
    shutil.rmtree(root / "test" / "mask")
    found = checked(card, root)
    assert found.kinds == {"missing": 1, "labels": 1, "masks": 1, "extra": 1, "unreadable": 2, "size": 1, "code": 1}
    assert all("\n" not in sentence and sentence.endswith(".") for sentence in found.sentences)


def test_only_the_first_ten_of_a_kind_are_kept(tmp_path, card):
    root = tmp_path / "many"
    write_fake(card, root, images=15)
    for image in (root / card.split("train").images[0]).glob("*.png"):
        image.write_text("no picture")
    (group,) = check(card, root).problems
    assert (group.count, len(group.first), group.more) == (15, 10, True)


def test_a_sentence_about_several_images_counts_each(root, card, masks):
    for mask in masks:
        mask.unlink()
    (group,) = check(card, root).problems
    assert (group.kind, group.count, len(group.first), group.more) == ("masks", 4, 1, False)


def test_nothing_is_written(root, card):
    before = sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*"))
    check(card, root)
    assert sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*")) == before


def test_names_of_all_alphabets_pass(root, card, images):
    image = images[0]
    for folder in ("img", "mask"):
        (root / "val" / folder / image.name).rename(root / "val" / folder / "Gewebe größe 組織.png")
    assert check(card, root).passed


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
def test_real_data_pass(real_data, card, folder, summaries, checked):
    found = checked(load_card(card), real_data / folder)
    assert found.report.passed, found.sentences
    assert summaries <= {split.summary for split in found.report.splits}


def test_the_card_that_lies_in_the_folder_is_suggested(tmp_path, card, checked):
    mine = tmp_path / "card.yaml"
    mine.write_text("name: mine\n")
    suggestion = f"use it with --set dataset={mine} for a recipe, with --card {mine} otherwise."
    assert checked(card, tmp_path).sentences[0].endswith(suggestion)
    with pytest.raises(DatasetProblem) as refused:
        list_records(card, tmp_path, "train")
    assert str(refused.value).endswith(suggestion)


@pytest.mark.parametrize("text", ["name: bcss-wsss\n", "name: [\n"], ids=["in use", "damaged"])
def test_no_card_is_suggested_that_would_not_help(text, tmp_path, card, checked):
    (tmp_path / "card.yaml").write_text(text)
    assert checked(card, tmp_path).sentences[0].endswith("Check the folder given as root.")
