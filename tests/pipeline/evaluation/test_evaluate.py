"""Evaluation of a split: scores under each protocol, missing images, sweeps of thresholds."""

import csv
import json
import shutil

import numpy as np
import pytest
import tifffile
from PIL import Image

from qaclims_path.compute.confusion import Confusion
from qaclims_path.compute.refiners.crf import refine_probabilities
from qaclims_path.compute.refiners.crf_settings import TISSUE
from qaclims_path.compute.resize import resize_bilinear
from qaclims_path.compute.scores import score
from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import list_records
from qaclims_path.data.record import classes_in, truth_of
from qaclims_path.errors import BadFile, PredictionProblem, UsageError
from qaclims_path.files.images import write_mask
from qaclims_path.files.scores import read_scores, write_scores
from qaclims_path.pipeline.evaluation.evaluate import evaluate

CARD = load_card("bcss-wsss")
OPTIONS = {"bootstrap": 50}


@pytest.mark.parametrize("protocol", ["mlps", "pbip", "tpro"])
def test_label_maps_are_scored_under_each_protocol(bcss, guesses, masks, matrix_of, protocol):
    report = evaluate(masks, "bcss-wsss", bcss, "val", protocol=protocol, **OPTIONS)
    mode = "ignore" if protocol == "mlps" else "penalise"
    expected = score(matrix_of(guesses), mode)
    assert report.scores.miou == expected.miou
    assert report.scores.mean_dice == expected.mean_dice
    assert [row.iou for row in report.per_class] == expected.iou.tolist()
    assert (report.images, report.missing, report.expected_images) == (4, 0, 3418)
    assert report.gate == "not stated"
    assert report.published == ()
    assert np.array_equal(report.confusion, matrix_of(guesses))


def test_grey_png_and_tiff_score_the_same_as_palette_png(bcss, guesses, masks, tmp_path):
    palette = evaluate(masks, CARD, bcss, "val", **OPTIONS)
    for suffix in (".png", ".tif", ".ome.tif", ".OME.TIFF"):
        folder = tmp_path / suffix.strip(".")
        folder.mkdir()
        for image, labels in guesses.items():
            codes, path = CARD.encode(labels), folder / f"{image}{suffix}"
            if suffix == ".png":
                Image.fromarray(codes).save(path)
            else:
                tifffile.imwrite(path, codes, ome="ome" in suffix.lower(), compression="deflate")
        assert evaluate(folder, CARD, bcss, "val", **OPTIONS).entry() == palette.entry()


def test_the_same_input_gives_the_same_files(bcss, masks, tmp_path):
    for name in "ab":
        evaluate(masks, CARD, bcss, "val", out=tmp_path / name, **OPTIONS)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_missing_images_count_as_wrong_when_allowed(bcss, truths, guesses, masks, matrix_of, tmp_path):
    gone = next(iter(guesses))
    (masks / f"{gone}.png").unlink()
    report = evaluate(masks, CARD, bcss, "val", allow_missing=True, out=tmp_path / "out", **OPTIONS)
    guesses[gone] = np.full_like(truths[gone], 255)
    assert np.array_equal(report.confusion, matrix_of(guesses))
    assert (report.images, report.missing) == (4, 1)
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())[0]["missing"] == 1
    with (tmp_path / "out" / "per_image.csv").open() as file:
        assert [row["image"] for row in csv.DictReader(file) if row["missing"] == "yes"] == [gone]


def test_images_beyond_the_split_are_refused_even_when_missing_ones_are_allowed(bcss, masks):
    Image.new("L", (4, 4)).save(masks / "extra.png")
    with pytest.raises(PredictionProblem, match="extra"):
        evaluate(masks, CARD, bcss, "val", allow_missing=True)


@pytest.mark.parametrize(
    ("split", "protocol", "sentence"),
    [
        ("train", None, r"trains on image labels.*Splits with masks: val, test"),
        ("vall", None, "no split 'vall'"),
        ("val", "mlp", r"There is no protocol 'mlp'\. Did you mean 'mlps'"),
        ("val", "voc", "not scored under the protocol 'voc'"),
    ],
)
def test_splits_without_masks_and_unlisted_protocols_are_refused(bcss, masks, split, protocol, sentence):
    with pytest.raises(UsageError, match=sentence):
        evaluate(masks, CARD, bcss, split, protocol=protocol)


@pytest.fixture
def voc_scores(voc, tmp_path):
    """A folder of small random class scores for VOC 2012, three classes at most for each image."""
    card, rng = load_card("voc2012"), np.random.default_rng(0)
    for record in list_records(card, voc, "val"):
        truth = truth_of(card, record)
        present = [card.names[i] for i in classes_in(card, truth)][:3] or [card.names[0]]
        height, width = truth.shape
        maps = rng.random((len(present), height // 4, width // 4)).astype(np.float16)
        write_scores(tmp_path / "cams" / f"{record.id}.npz", maps, present, size=(height, width))
    return tmp_path / "cams"


def test_a_sweep_equals_scoring_at_each_threshold(voc, voc_scores, tmp_path):
    report = evaluate(voc_scores, "voc2012", voc, "val", sweep=True, out=tmp_path / "out", **OPTIONS)
    assert len(report.sweep) == 99
    at = {row.threshold: row for row in report.sweep}
    assert at[0.15].miou == report.scores.miou  # the protocol's own threshold
    assert at[0.15].iou == pytest.approx([row.iou for row in report.per_class], nan_ok=True)
    assert report.per_class[-1].name == "background"


def test_the_best_threshold_is_marked_as_having_seen_the_truth(voc, voc_scores, tmp_path):
    report = evaluate(voc_scores, "voc2012", voc, "val", sweep=True, out=tmp_path / "out", **OPTIONS)
    assert report.best_threshold.miou == max(row.miou for row in report.sweep)
    rows = list(csv.DictReader((tmp_path / "out" / "sweep.csv").read_text().splitlines()))
    (best,) = [row for row in rows if row["note"]]
    assert best["note"] == "best threshold (saw truth)"
    assert float(best["threshold"]) == report.best_threshold.threshold


def test_a_missing_image_is_wrong_at_every_threshold(voc, voc_scores):
    next(voc_scores.iterdir()).unlink()
    report = evaluate(voc_scores, "voc2012", voc, "val", sweep=True, allow_missing=True, **OPTIONS)
    assert {row.threshold: row for row in report.sweep}[0.15].miou == report.scores.miou


def test_sweeps_need_class_scores_and_a_threshold(bcss, masks, scored, truths):
    with pytest.raises(UsageError, match="needs class scores"):
        evaluate(masks, CARD, bcss, "val", protocol="tpro", sweep=True)
    with pytest.raises(UsageError, match="background is never predicted"):
        evaluate(scored, CARD, bcss, "val", protocol="mlps", sweep=True)
    for image, truth in truths.items():
        write_scores(scored / f"{image}.npz", np.ones((2, *truth.shape), np.float16), ["tumor", "background"])
    with pytest.raises(UsageError, match="background channel"):
        evaluate(scored, CARD, bcss, "val", protocol="tpro", sweep=True)


@pytest.mark.parametrize(("card", "folder"), [("wsss4luad", "wsss4luad"), ("voc2012-animals", "voc2012")])
def test_real_truth_scores_one_against_itself(real_data, tmp_path, checkout, card, folder):
    own = checkout / "scripts" / "reproduce" / "cards" / f"{card}.yaml"
    card = load_card(own if own.exists() else card)
    for record in list_records(card, real_data / folder, "val")[:20]:
        labels = truth_of(card, record)
        write_mask(
            tmp_path / "masks" / f"{record.id}.png", card.encode(np.where(labels == 255, 0, labels).astype(np.uint8))
        )
    report = evaluate(tmp_path / "masks", card, real_data / folder, "val", allow_missing=True, **OPTIONS)
    assert report.images - report.missing <= 20
    assert all(row.precision == 1 for row in report.per_class if row.precision == row.precision)


@pytest.fixture
def shares(bcss, tmp_path):
    """A folder of random class probabilities for BCSS-WSSS, a quarter as fine as the images."""
    rng = np.random.default_rng(0)
    for record in list_records(CARD, bcss, "val"):
        height, width = truth_of(CARD, record).shape
        maps = rng.random((4, height // 4, width // 4)).astype(np.float32)
        write_scores(tmp_path / "shares" / f"{record.id}.npz", maps / maps.sum(0), CARD.names, size=(height, width))
    return tmp_path / "shares"


def test_a_crf_acts_on_what_the_gate_leaves(bcss, shares):
    report = evaluate(shares, CARD, bcss, "val", gate="oracle", crf="tissue", **OPTIONS)
    assert (report.gate, report.crf) == ("oracle", "tissue")
    expected = Confusion(4)
    for record in list_records(CARD, bcss, "val"):
        truth = truth_of(CARD, record)
        present, stored = list(classes_in(CARD, truth)), read_scores(shares / f"{record.id}.npz")
        scores = resize_bilinear(stored.scores[present], *stored.size)
        found = refine_probabilities(record.image.pixels(), scores / scores.sum(0), TISSUE)
        expected.add(truth, np.array(present, np.uint8)[found.argmax(0)])
    assert np.array_equal(report.confusion, expected.matrix)
    assert evaluate(shares, CARD, bcss, "val", gate="oracle", **OPTIONS).scores != report.scores


def test_a_crf_refuses_label_maps_and_maps_that_are_no_probabilities(bcss, masks, voc, voc_scores):
    with pytest.raises(UsageError, match=r"finished label maps. Make them with `qaclims predict --crf`"):
        evaluate(masks, CARD, bcss, "val", crf="deeplabv2")
    with pytest.raises(PredictionProblem, match=r"wrong scores .*do not add up to 1 over the classes"):
        evaluate(voc_scores, "voc2012", voc, "val", crf="deeplabv2", **OPTIONS)


def test_a_crf_needs_the_images(bcss, shares, tmp_path):
    shutil.copytree(bcss, tmp_path / "data")
    first, *_ = list_records(CARD, tmp_path / "data", "val")
    Image.new("RGB", (9, 7)).save(first.image.path)
    with pytest.raises(BadFile, match=r"is 9 x 7 pixels, but its mask and scores are"):
        evaluate(shares, CARD, tmp_path / "data", "val", crf="deeplabv2")
    first.image.path.write_bytes(b"no picture")
    with pytest.raises(BadFile, match="not a picture that can be read"):
        evaluate(shares, CARD, tmp_path / "data", "val", crf="deeplabv2")
    assert evaluate(shares, CARD, tmp_path / "data", "val", **OPTIONS).crf == "none"
