"""`qaclims evaluate`, as typed: tables, JSON, exit codes."""

import json

import pytest
from typer.testing import CliRunner

from qaclims_path.cli.evaluate import app
from qaclims_path.data.cards import load_card
from qaclims_path.data.fake import write_fake
from qaclims_path.data.listing import list_records
from qaclims_path.data.record import truth_of
from qaclims_path.errors import PredictionProblem, UsageError
from qaclims_path.files.images import write_mask


@pytest.fixture
def words(tmp_path):
    card = load_card("luad-histoseg")
    write_fake(card, tmp_path / "root", images=2)
    for record in list_records(card, tmp_path / "root", "val"):
        write_mask(tmp_path / "pred" / f"{record.id}.png", card.encode(truth_of(card, record)))
    return [str(tmp_path / "pred"), "--dataset", "luad-histoseg", "--root", str(tmp_path / "root"), "--split", "val"]


def run(words):
    return CliRunner(env={"COLUMNS": "160", "TERMINAL_WIDTH": "160"}).invoke(app, words, catch_exceptions=True)


def test_tables_and_files(words, tmp_path):
    result = run([*words, "--protocol", "pbip", "--made-with-gate", "oracle", "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "gate oracle" in result.output
    assert "100.00" in result.output
    assert (tmp_path / "out" / "metrics.json").exists()


def test_json_and_nothing_else(words):
    result = run([*words, "--json", "--bootstrap", "20"])
    entry = json.loads(result.stdout)
    assert entry["protocol"] == "mlps"
    assert entry["scores"]["miou"] == 1


def test_missing_predictions_end_with_three(words, tmp_path):
    next((tmp_path / "pred").glob("*.png")).unlink()
    assert isinstance(run(words).exception, PredictionProblem)
    result = run([*words, "--allow-missing"])
    assert result.exit_code == 3
    assert "missing: 1 of 2" in result.output


def test_a_card_of_ones_own(words, tmp_path):
    card = tmp_path / "mine.yaml"
    card.write_text("extends: luad-histoseg\nname: mine\n")
    options = words.copy()
    options[1:3] = ["--card", str(card)]
    assert run(options).exit_code == 0
    assert isinstance(run([*words, "--card", str(card)]).exception, UsageError)


def test_help_ends_with_an_example():
    result = run(["--help"])
    assert result.exit_code == 0
    assert "Example:" in result.output
