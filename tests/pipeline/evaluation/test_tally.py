"""The report of an evaluation: its files, its intervals, absent classes, foreground."""

import csv
import io
import json

import numpy as np
import pytest

from qaclims_path.compute.bootstrap import about_intervals
from qaclims_path.data.card import Card
from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import list_records
from qaclims_path.data.record import truth_of
from qaclims_path.data.split import open_split
from qaclims_path.files.images import read_mask, write_mask
from qaclims_path.pipeline.evaluation.evaluate import evaluate
from qaclims_path.pipeline.evaluation.options import ScoreOptions
from qaclims_path.pipeline.evaluation.predictions import Prediction
from qaclims_path.pipeline.evaluation.tally import Tally

CARD = load_card("bcss-wsss")
OPTIONS = {"bootstrap": 50}


@pytest.fixture
def written(bcss, masks, tmp_path):
    """A report, and the folder of its files."""
    return evaluate(masks, CARD, bcss, "val", out=tmp_path / "out", what="seg", **OPTIONS), tmp_path / "out"


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_an_evaluation_writes_five_files(written):
    names = sorted(path.name for path in written[1].iterdir())
    assert names == ["confusion.csv", "counts.csv", "metrics.json", "per_class.csv", "per_image.csv"]


def test_metrics_json_holds_what_the_report_says(written):
    report, folder = written
    (entry,) = json.loads((folder / "metrics.json").read_text())
    assert entry == json.loads(json.dumps(report.entry()))
    for key in ("schema", "what", "dataset", "split", "protocol", "gate", "scores", "images", "missing", "absent"):
        assert key in entry
    assert entry["schema"] == 1
    assert entry["per_class"]["tumor"]["iou"] == report.per_class[0].iou
    assert entry["intervals"]["replicates"] == 50
    assert entry["boundary_iou"]["width"] == 0.02
    assert entry["per_image_means"]["images"] == 4


def test_the_confusion_matrix_is_written_with_the_names_of_classes(written):
    report, folder = written
    rows = rows_of(folder / "confusion.csv")
    assert [row["truth"] for row in rows] == [*CARD.names, "background"]
    assert [row["scored"] for row in rows] == ["yes"] * 4 + ["no"]
    counted = [[int(row[name]) for name in (*CARD.names, "background", "no class")] for row in rows]
    assert counted == report.confusion.tolist()


def test_scores_of_images_are_written_with_their_patients(written):
    report, folder = written
    rows = rows_of(folder / "per_image.csv")
    assert len(rows) == 4
    assert np.mean([float(row["miou"]) for row in rows]) == pytest.approx(report.per_image_means.miou, abs=1e-5)
    assert {row["patient"] for row in rows} == {CARD.patient_of(row["image"]) for row in rows}


def test_counts_of_images_add_up_to_the_matrix(written):
    report, folder = written
    found = rows_of(folder / "counts.csv")
    scored = report.confusion[: len(CARD.names)]
    for index, name in enumerate(CARD.names):
        mine = [row for row in found if row["class"] == name]
        right, truth, predicted = (sum(int(row[key]) for row in mine) for key in ("right", "truth", "predicted"))
        assert (right, truth, predicted) == (scored[index, index], scored[index].sum(), scored[:, index].sum())


def test_intervals_are_seeded_and_can_be_left_out(bcss, masks):
    reports = [evaluate(masks, CARD, bcss, "val", bootstrap=60, seed=seed) for seed in (1, 1, 2)]
    assert reports[0].intervals == reports[1].intervals
    assert reports[0].intervals != reports[2].intervals
    without = evaluate(masks, CARD, bcss, "val", bootstrap=0)
    assert without.intervals is None
    assert without.entry()["intervals"] is None
    low, high = reports[0].intervals.miou
    assert low <= reports[0].scores.miou <= high


@pytest.fixture
def tallied(bcss, masks):
    """The report of the same predictions, with patients of one's choice, by image."""
    split = open_split(CARD, bcss, "val")

    def tally(patient_of):
        found = Tally(split, ScoreOptions(bootstrap=50), io.StringIO(), io.StringIO())
        for record in split.records:
            truth = truth_of(CARD, record)
            labels = CARD.decode(read_mask(masks / f"{record.id}.png"), record.id)
            found.add(record.id, truth, Prediction(labels), patient_of(record.id))
        return found.finish("none")

    return tally


def test_intervals_are_over_patients_where_they_are_known(tallied):
    images, patients = tallied(lambda _: None), tallied(lambda image: image)
    assert images.intervals.method == "Poisson bootstrap over images"
    assert patients.intervals.method == "Poisson bootstrap over patients"
    assert images.intervals.miou == patients.intervals.miou  # a patient for every image
    assert any("over images, because patients are not known" in note for note in images.notes)
    assert any("4 patients are few for a bootstrap" in note for note in patients.notes)


def test_one_patient_gives_no_interval_as_in_compare(tallied):
    report = tallied(lambda _: "7")
    assert report.intervals is None
    assert all(row.iou_interval is None for row in report.per_class)
    assert report.notes[0] == about_intervals(["patient 7"])


def test_absent_classes_are_named_and_null(bcss, truths, tmp_path):
    folder = tmp_path / "masks"
    for image, truth in truths.items():
        write_mask(folder / f"{image}.png", np.zeros_like(truth))
    # a card whose fifth class nobody has
    facts = CARD.model_dump()
    facts["classes"] = (*facts["classes"], {"name": "fat", "color": (1, 2, 3)})
    facts["codes"]["5"] = "fat"
    card = Card.model_validate(facts)
    report = evaluate(folder, card, bcss, "val", **OPTIONS)
    assert report.absent == ("fat",)
    entry = report.entry()
    assert entry["per_class"]["fat"]["iou"] is None
    assert entry["per_class"]["fat"]["absent"] is True
    assert report.scores.miou == pytest.approx(np.mean([row.iou for row in report.per_class[:4]]))


def test_foreground_is_reported_where_the_protocol_asks_for_it(fake, tmp_path):
    card, root = load_card("glas"), fake("glas")
    for record in list_records(card, root, "train"):
        write_mask(tmp_path / "masks" / f"{record.id}.png", card.encode(truth_of(card, record)))
    report = evaluate(tmp_path / "masks", card, root, "train", **OPTIONS)
    assert report.foreground is not None
    assert report.foreground.iou == report.foreground.miou == 1
