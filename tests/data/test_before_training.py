"""Checks before anyone trains, each with its number and the way out."""

from pathlib import Path

import pytest

from qaclims_path.data.before_training import Sight, before_training, in_two_parts
from qaclims_path.data.cards import load_card
from qaclims_path.data.record import ImageFile, Record

TUMOR, STROMA, LYMPHOCYTE, NECROSIS = range(4)


@pytest.fixture(scope="module")
def card():
    """Tiles of 224 px at 0.5 um with four classes."""
    return load_card("phantom")


def record(name, present, patient="P1", slide=None):
    return Record(name, ImageFile(Path(f"{name}.png")), present, patient=patient, slide=slide)


def good():
    """Training and validation images with which nothing is wrong."""
    vectors = [(TUMOR, STROMA), (STROMA, LYMPHOCYTE), (NECROSIS,), (TUMOR, LYMPHOCYTE, NECROSIS)]
    train = [record(f"t{i}", vectors[i % 4], f"P{i % 3}", f"S{i % 3}") for i in range(24)]
    return {"train": train, "val": [record("v1", (TUMOR,), "P9"), record("v2", (STROMA,), "P9")]}


def said(card, splits, sight=None):
    return " ".join(before_training(card, splits, sight))


def test_good_data_get_no_sentence(card):
    assert before_training(card, good(), Sight()) == []


def test_classes_that_no_training_image_or_every_one_shows_are_named(card):
    train = [record(f"t{i}", (TUMOR, STROMA) if i % 2 else (STROMA,), f"P{i}") for i in range(6)]
    text = said(card, {**good(), "train": train})
    assert "None of the 6 training images is known to show 'lymphocyte', 'necrosis'" in text
    assert "None of the 6 training images is known to be without 'stroma'" in text
    assert "'tumor'" not in text


def test_labels_of_whole_slides_are_told_from_labels_of_tiles(card):
    slides = {"a": (TUMOR,), "b": (STROMA, LYMPHOCYTE), "c": (NECROSIS, TUMOR)}
    train = [record(f"{slide}{i}", slides[slide], slide, slide) for slide in slides for i in range(15)]
    sentence = "3 label vectors for 45 training tiles"
    assert sentence in said(card, {**good(), "train": train})
    annotated = [*train[:-1], record("c99", (TUMOR,), "c", "c")]
    assert sentence not in said(card, {**good(), "train": annotated})
    one_tile_each = [record(slide, slides[slide], slide, slide) for slide in slides]
    assert sentence not in said(card, {**good(), "train": one_tile_each})


def test_one_label_vector_for_all_images_is_said_alone(card):
    train = [record(f"t{i}", (TUMOR, STROMA), f"P{i % 2}", f"S{i % 2}") for i in range(45)]
    found = before_training(card, {**good(), "train": train})
    assert len(found) == 1
    assert "one label vector for all 45 training images (tumor, stroma)" in found[0]


def test_one_patient_and_nothing_to_score_are_said(card):
    train = [record(f"t{i}", (i % 4,), "P7") for i in range(8)]
    text = said(card, {"train": train})
    assert "All 8 training images are of one patient ('P7')" in text
    assert "All 8 images are for training, so no result can be scored" in text
    assert "None of the 2 images is for training" in said(card, {"train": [], "val": good()["val"]})
    unknown = [record(f"t{i}", (i % 4,), None) for i in range(8)]
    assert "one patient" not in said(card, {"train": unknown})


def test_splits_without_masks_cannot_be_scored(card):
    labelled = card.split("val").model_copy(update={"supervision": "labels", "labels_from": "name", "masks": ()})
    unmasked = card.model_copy(update={"splits": {**card.splits, "val": labelled}})
    assert "No image for validation or test has a mask, so no result can be scored" in said(unmasked, good())


def test_a_rare_class_is_said_with_both_counts(card):
    train = [record(f"t{i}", (STROMA, (TUMOR, LYMPHOCYTE)[i % 2]), f"Q{i}") for i in range(99)]
    train.append(record("t99", (NECROSIS,), "Q99"))
    text = said(card, {**good(), "train": train})
    assert "'stroma' is in 99 of 100 training images, 'necrosis' in 1, 99 times fewer" in text


def test_patients_in_two_parts_are_counted(card):
    splits = good()
    splits["val"].append(record("v3", (TUMOR,), "P1"))
    assert "1 of the patients or images are in two of training, validation and test (patient 'P1')" in said(
        card, splits
    )
    assert before_training(card, splits, shared=False) == []
    assert list(in_two_parts(card, splits)["The patient 'P1'"]) == ["train", "val"]


@pytest.mark.parametrize(
    ("size", "mpp", "sight", "sentence"),
    [
        (224, 0.5, Sight(112, 1.0), ""),
        (224, 0.5, Sight(224, 2.0), "Tiles of 224 px are shown to the judge as 224 px, at 0.5 um per pixel, but"),
        (1024, 0.5, Sight(), ""),
        (2048, 0.5, Sight(), "at 4.57 um per pixel, but it learnt from 0.2 to 3 um"),
        (1024, None, Sight(), "Tiles of 1024 px are shown to the judge as 224 px, a factor of 4.6"),
        (64, None, Sight(), "a factor of 0.29"),
        (2048, 0.5, None, ""),
    ],
)
def test_sizes_far_from_those_of_the_judge_are_said(card, size, mpp, sight, sentence):
    changed = card.model_copy(update={"image_size": (size, size), "mpp": mpp})
    text = said(changed, good(), sight)
    assert sentence in text
    assert bool(text) == bool(sentence)


def test_photographs_and_images_of_all_sizes_are_not_measured():
    card = load_card("voc2012")
    assert before_training(card, {}, Sight(224, 1.0)) == []


def test_labels_that_only_masks_hold_are_not_judged(card):
    masked = [record(f"t{i}", None, f"P{i}") for i in range(4)]
    assert before_training(card, {**good(), "train": masked}) == []
