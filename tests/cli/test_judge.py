"""`qaclims judge`, as typed."""

import json
import runpy
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qaclims_path.cli.judge import app
from qaclims_path.data.cards import load_card
from qaclims_path.data.fake import write_fake
from qaclims_path.errors import BadFile, UsageError

MODELS = runpy.run_path(str(Path(__file__).parents[1] / "models" / "judges" / "conftest.py"))


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    folder = MODELS["save_open_clip"](tmp_path_factory.mktemp("judge") / "tiny", own_tokenizer=False)
    (folder / "judge_card.json").write_text(json.dumps({"warning": "Only a test.", "mpp": 0.5}))
    return str(folder)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "root"
    write_fake(load_card("bcss-wsss"), root, images=4)
    return ["--dataset", "bcss-wsss", "--root", str(root)]


def run(*words):
    return CliRunner(env={"COLUMNS": "140", "TERMINAL_WIDTH": "140"}).invoke(app, list(words), catch_exceptions=True)


@pytest.mark.filterwarnings("ignore:Longer than the 12 tokens")
def test_show_and_probe(judge, data):
    shown = run("show", judge)
    assert shown.exit_code == 0, shown.output
    assert "Only a test." in shown.output
    assert "0.5 um" in shown.output
    assert json.loads(run("show", judge, "--json").stdout)["input_size"] == 32
    probed = run("probe", judge, *data, "--mode", "crop", "--fill", "mean", "--device", "cpu")
    assert probed.exit_code == 0, probed.output
    assert "AUC of regions" in probed.output
    assert "balanced accuracy" in probed.output
    report = json.loads(run("probe", judge, *data, "--limit", "2", "--json").stdout)
    assert report["images"]["count"] == 2
    assert report["mode"] == "soft"


@pytest.mark.filterwarnings("ignore:Longer than the 12 tokens")
def test_skipped_images_end_with_three(judge, data, tmp_path):
    root = tmp_path / "root"
    write_fake(load_card("bcss-wsss"), root, images=4)
    next((root / "val" / "img").glob("*.png")).write_bytes(b"")
    result = run("probe", judge, *data[:2], "--root", str(root))
    assert result.exit_code == 3
    assert "Skipped:" in result.output


def test_wrong_use_is_answered(judge, data, tmp_path):
    assert isinstance(run("show", str(tmp_path / "nowhere")).exception, BadFile)
    assert isinstance(run("probe", judge, "--root", str(tmp_path)).exception, UsageError)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--mode", "sofd"], "'mode': Input should be 'soft', 'hard', 'published', 'mask-prompt' or 'crop'"),
        (["--fill", "grey"], "'fill': Input should be 'zero', 'mean', 'white' or 'blur'"),
        (["--limit", "0"], "'limit': Input should be greater than or equal to 1 (given: 0)"),
        (["--seed", "-1"], "'seed': Input should be greater than or equal to 0 (given: -1)"),
    ],
)
def test_the_options_of_a_probe_are_checked_before_anything_is_loaded(words, sentence, data):
    wrong = run("probe", "nowhere/judge", *data, *words).exception
    assert isinstance(wrong, UsageError)
    assert str(wrong).startswith(f"The options: {sentence}")


def test_train_and_show(data, tmp_path):
    root = tmp_path / "root"
    write_fake(load_card("bcss-wsss"), root, images=8)
    words = [*data[:2], "--root", str(root), "--out", str(tmp_path / "judge"), "--size", "32", "--batch", "4"]
    words += ["--tower", "test_convnext", "--epochs", "1", "--workers", "0", "--precision", "fp32"]
    trained = run("train", *words)
    assert trained.exit_code == 0, trained.output
    assert "means nothing" in trained.output
    assert "qaclims judge probe" in trained.output
    assert json.loads(run("train", *words, "--json").stdout)["images"] == 8  # it is there already
    assert json.loads(run("show", str(tmp_path / "judge"), "--json").stdout)["id"] == "judge"
    wrong = run("train", *words, "--size", "3").exception
    assert isinstance(wrong, UsageError)
    assert "'size'" in str(wrong)


@pytest.mark.parametrize("command", ["show", "probe", "train"])
def test_help_ends_with_an_example(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Example:" in result.output
