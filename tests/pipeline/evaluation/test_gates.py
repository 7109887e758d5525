"""Gates: which classes a prediction may use, and what a report says of them."""

import numpy as np
import pytest

from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import list_records
from qaclims_path.data.record import classes_in, truth_of
from qaclims_path.errors import BadFile, UsageError
from qaclims_path.files.images import write_mask
from qaclims_path.pipeline.evaluation.evaluate import evaluate

CARD = load_card("bcss-wsss")
OPTIONS = {"bootstrap": 50}


def test_class_scores_are_scored_without_a_gate(bcss, maps, scored, matrix_of):
    report = evaluate(scored, CARD, bcss, "val", **OPTIONS)
    guesses = {image: scores.argmax(0).astype(np.uint8) for image, scores in maps.items()}
    assert np.array_equal(report.confusion, matrix_of(guesses))
    assert report.gate == "none"


def test_the_oracle_gate_uses_the_true_classes(bcss, truths, maps, scored, matrix_of):
    report = evaluate(scored, CARD, bcss, "val", protocol="pbip", gate="oracle", **OPTIONS)
    guesses = {}
    for image, scores in maps.items():
        present = np.isin(np.arange(4), classes_in(CARD, truths[image]))
        guesses[image] = np.where(present[:, None, None], scores, -1).argmax(0).astype(np.uint8)
    assert np.array_equal(report.confusion, matrix_of(guesses))
    assert report.gate == "oracle"


def test_a_gate_from_a_table_obeys_the_protocol(bcss, maps, scored, matrix_of, tmp_path):
    rng = np.random.default_rng(1)
    table = {image: rng.choice([0.0, 0.1, 0.11, 0.9], 4) for image in maps}
    table[next(iter(table))] = np.array([0.05, 0.1, 0.02, 0.0])  # none above 0.1: mlps keeps the highest
    rows = [f"{image}.png,{','.join(map(str, row))}" for image, row in table.items()]
    gate = tmp_path / "gate.csv"
    gate.write_text("\n".join([f"image,{','.join(CARD.names)}", *rows, "elsewhere,1,1,1,1"]))
    report = evaluate(scored, CARD, bcss, "val", protocol="mlps", gate=gate, **OPTIONS)
    guesses = {}
    for image, scores in maps.items():
        allowed = table[image] > 0.1
        allowed[table[image].argmax()] = True
        guesses[image] = np.where(allowed[:, None, None], scores, -1).argmax(0).astype(np.uint8)
    assert np.array_equal(report.confusion, matrix_of(guesses))
    assert report.gate == "predicted"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("image,tumor\nx,1", "no column stroma"),
        ("image,tumor,stroma,lymphocyte,necrosis\n", "no row for 4 images"),
        ("image,tumor,stroma,lymphocyte,necrosis\n{id},1,2,0,0", "numbers in 0..1"),
        ("image,tumor,stroma,lymphocyte,necrosis\n{id},1,nan,0,0", "numbers in 0..1"),
        ("image,tumor,stroma,lymphocyte,necrosis\n{id},1,x,0,0", "line 2"),
        ("image,tumor,stroma,lymphocyte,necrosis\n{id},1,0,0,0\n{id}.png,1,0,0,0", "listed twice"),
    ],
)
def test_gate_tables_that_do_not_fit_are_refused(bcss, truths, scored, tmp_path, text, sentence):
    gate = tmp_path / "gate.csv"
    gate.write_text(text.format(id=next(iter(truths))))
    with pytest.raises(BadFile, match=sentence):
        evaluate(scored, CARD, bcss, "val", gate=gate)


@pytest.fixture
def perfect(bcss, tmp_path):
    """A folder of predictions of the split test that equal the truth."""
    for record in list_records(CARD, bcss, "test"):
        write_mask(tmp_path / "perfect" / f"{record.id}.png", CARD.encode(truth_of(CARD, record)))
    return tmp_path / "perfect"


def test_published_rows_have_the_same_protocol_gate_and_split(bcss, masks, perfect):
    oracle = evaluate(perfect, CARD, bcss, "test", protocol="pbip", made_with_gate="oracle", **OPTIONS)
    assert oracle.gate == "oracle"
    assert {"PBIP", "QA-CLIMS"} <= {row.method for row in oracle.published}
    assert {row.gate for row in oracle.published} == {"oracle"}
    assert evaluate(perfect, CARD, bcss, "test", protocol="pbip", made_with_gate="none", **OPTIONS).published == ()
    assert evaluate(masks, CARD, bcss, "val", made_with_gate="predicted", **OPTIONS).published == ()


def test_the_label_of_a_gate_changes_no_number(bcss, perfect):
    oracle, none = (
        evaluate(perfect, CARD, bcss, "test", made_with_gate=gate, **OPTIONS) for gate in ("oracle", "none")
    )
    assert none.scores == oracle.scores
    assert oracle.scores.miou == 1


def test_an_oracle_gate_on_label_maps_is_refused_and_explained(bcss, masks):
    with pytest.raises(UsageError, match="--made-with-gate"):
        evaluate(masks, CARD, bcss, "val", gate="oracle")


def test_a_gate_table_on_label_maps_is_refused_and_explained(bcss, masks, tmp_path):
    rows = [f"{path.stem},1,1,1,1" for path in masks.iterdir()]
    (tmp_path / "gate.csv").write_text("\n".join([f"image,{','.join(CARD.names)}", *rows]))
    with pytest.raises(UsageError, match="--made-with-gate"):
        evaluate(masks, CARD, bcss, "val", gate=tmp_path / "gate.csv")


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"gate": "orcale"}, UsageError, "none, oracle, or a CSV file"),
        ({"gate": "oracle", "made_with_gate": "oracle"}, UsageError, "not both"),
        ({"gate": "gate.csv"}, BadFile, r"gate\.csv"),
    ],
)
def test_wrong_gates_are_refused(bcss, scored, options, error, sentence):
    with pytest.raises(error, match=sentence):
        evaluate(scored, CARD, bcss, "val", **options)


def test_label_maps_made_with_an_unknown_gate_are_refused(bcss, masks):
    with pytest.raises(UsageError, match=r"'made_with_gate': .*given: 'magic'"):
        evaluate(masks, CARD, bcss, "val", made_with_gate="magic")
