"""`qaclims run` and `qaclims compare` as commands."""

import json

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from qaclims_path.cli.app import app
from qaclims_path.cli.fields import Chosen
from qaclims_path.cli.run import app as run_app
from qaclims_path.cli.running import run_settings
from qaclims_path.cli.train import app as training
from qaclims_path.data.cards import load_card
from qaclims_path.data.fake import write_fake
from qaclims_path.engine.settings import RunSettings
from qaclims_path.errors import QaclimsError, UsageError
from qaclims_path.pipeline.run.steps import _hardware

TINY = [
    "cam.network.backbone=test_resnet",
    "cam.network.weights=none",
    "cam.augment.size=32",
    "cam.train.epochs=1",
    "cam.train.batch=2",
]
SETTINGS = [word for setting in [*TINY, "evaluate.what=[cams]"] for word in ("--set", setting)]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "phantom"
    write_fake(load_card("phantom"), folder, images=4)
    return folder


def qaclims(*arguments):
    found = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(found.exception, QaclimsError):
        raise found.exception
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found.exit_code, found.stdout, found.stderr


def started(root, out, *more):
    hardware = ("--devices", "1", "--workers", "0", "--precision", "fp32", "--save-every", "1", "--logger", "csv")
    return qaclims("run", "phantom/cam", "--root", root, "--out", out, *hardware, *SETTINGS, *more)


@pytest.fixture(scope="module")
def finished(root, tmp_path_factory):
    """A finished run, and what it told."""
    out = tmp_path_factory.mktemp("runs") / "run"
    code, said, told = started(root, out)
    assert code == 0
    return out, said, told


def test_a_run_that_is_refused_warns_of_nothing_before(root, tmp_path):
    with pytest.raises(UsageError, match="no stage 'cmas'"):
        qaclims("run", "phantom/cam", "--root", root, "--out", tmp_path / "run", "--only", "cmas")
    found = CliRunner().invoke(app, ["run", "phantom/cam", "--root", str(root), "--out", "run", "--only", "cmas"])
    assert found.output == ""


def test_data_are_warned_of_where_something_is_trained(root, finished):
    out, _, told = finished
    assert "Before training: " in told
    assert "Before training: " not in started(root, out)[2]


@pytest.fixture(scope="module")
def both(root, finished):
    """Folders of two runs that differ in one option."""
    started(root, finished[0].with_name("other"), "--set", "cam.augment.stain=0.1")
    return finished[0], finished[0].with_name("other")


def test_a_plan_lists_the_stages_and_writes_nothing(root, tmp_path):
    code, said, _ = started(root, tmp_path / "run", "--dry-run", "--json")
    assert code == 0
    plan = json.loads(said)
    assert [step["stage"] for step in plan["stages"]] == ["cam", "cams-val", "evaluate", "report"]
    assert not (tmp_path / "run").exists()


def test_a_run_tells_its_stages_and_where_the_report_is(finished):
    _, said, told = finished
    assert "[1/4] cam: train the maps\n[1/4] cam: done in " in told
    assert "report.html" in said


def test_the_settings_of_the_command_line_reach_the_training(finished):
    folder = finished[0] / "cam"
    assert (folder / "log.csv").is_file()
    assert not (folder / "tensorboard").exists()
    assert len(list((folder / "checkpoints").iterdir())) == 2  # one epoch of two steps


def test_a_finished_run_does_nothing_unless_asked_for(root, finished):
    _, said, _ = started(root, finished[0], "--dry-run", "--from", "cams-val")
    assert "asked for" in said
    code, said, told = started(root, finished[0], "--json")
    assert (code, json.loads(said)["done"], told) == (0, [], "")


def test_runs_are_compared_in_a_table(both, tmp_path):
    code, said, _ = qaclims("compare", *both, "--out", tmp_path / "table.csv", "--bootstrap", "50")
    assert code == 0
    assert "Activation maps of phantom, split val, protocol tissue, gate none" in said
    assert "cam (cam.augment.stain=0.0)" in " ".join(said.split())
    assert (tmp_path / "table.csv").is_file()


def test_differences_are_to_a_chosen_row(both):
    _, said, _ = qaclims("compare", *both, "--json", "--against", "cam (cam.augment.stain=0.1)")
    (table,) = json.loads(said)
    scores = json.loads((both[0] / "metrics.json").read_text())[0]["scores"]
    assert table["rows"][0]["miou"]["mean"] == scores["miou"]
    assert table["rows"][1]["difference"] is None
    with pytest.raises(UsageError, match="There is no row 'cam'"):
        qaclims("compare", *both, "--against", "cam")


def test_missing_predictions_set_the_exit_code(root, tmp_path):
    started(root, tmp_path / "run")
    path = tmp_path / "run/metrics.json"
    entries = json.loads(path.read_text())
    path.write_text(json.dumps([{**entries[0], "missing": 2}]))
    code, said, _ = started(root, tmp_path / "run")
    assert code == 3
    assert "2 predictions are missing" in said


def test_an_unknown_logger_is_refused_at_once(root, tmp_path):
    with pytest.raises(UsageError, match="Did you mean 'csv'"):
        started(root, tmp_path / "run", "--logger", "cvs")
    assert not (tmp_path / "run").exists()


def test_run_passes_its_hardware_options_to_every_training_command():
    asked = RunSettings(
        devices=2, accelerator="cpu", precision="bf16", workers=1, compile=True, loggers=("csv",), log_every=2,
        save_every=4, keep_every=3, quiet=True,
    )  # fmt: skip
    commands = {name: get_command(training).commands[name] for name in ("cam", "seg", "boundary")}
    commands["run"] = get_command(run_app)
    for name, command in commands.items():
        first = ["run"] if name == "boundary" else ["phantom/cam", "--out", "run"]
        found = command.make_context("", [*first, "--root", "data", *_hardware(asked)]).params
        chosen = {each: found[each] for each in RunSettings.model_fields if each in found}
        assert run_settings(Chosen(RunSettings, chosen), quiet=True) == asked, name
