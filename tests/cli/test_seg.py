"""The commands of segmenters: what they print, and with which exit code."""

import json

import pytest
from typer.testing import CliRunner

from qaclims_path.cli.app import app
from qaclims_path.data.cards import load_card
from qaclims_path.data.fake import write_fake
from qaclims_path.errors import BadFile, UsageError

CARD = load_card("bcss-wsss")
TINY = ["network.encoder=test_resnet", "network.weights=none", "network.architecture=unet", "augment.size=32"]
SHORT = ["train.epochs=1", "train.batch=2", "truth=true", "split=val"]
SETTINGS = [part for each in (*TINY, *SHORT) for part in ("--set", f"seg.{each}")]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "BCSS-WSSS"
    write_fake(CARD, root, images=3)
    return root


def call(*arguments):
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_train_predict_export(data, tmp_path):
    run = tmp_path / "run"
    given = ["--workers", 0, "--precision", "fp32", *SETTINGS]
    report = call("train", "seg", "bcss-wsss/cam", "--root", data, "--out", run, "--json", *given)
    assert json.loads(report.stdout)["steps"] == 1
    shown = call("train", "seg", "bcss-wsss/cam", "--root", data, "--out", run, *given)
    assert "true masks (supervised reference)" in " ".join(shown.stdout.split())
    report = call("predict", run, "--split", "test", "--root", data, "--device", "cpu", "--json")
    assert json.loads(report.stdout)["scores"]["what"] == "seg"
    shown = call("predict", run, "--split", "test", "--root", data, "--device", "cpu")
    assert "3 (3 from an earlier command)" in shown.stdout
    report = call("export", run, "--out", tmp_path / "bundle", "--json")
    assert json.loads(report.stdout)["scores"] == 1
    assert (tmp_path / "bundle" / "configs" / "inference.json").is_file()
    assert "tumor, stroma" in call("export", run, "--format", "hub", "--out", tmp_path / "hub").stdout


def test_images_that_fail_are_shown_with_exit_code_3(data, tmp_path):
    root, run = tmp_path / "data", tmp_path / "run"
    write_fake(CARD, root, images=2)
    call(
        "train", "seg", "bcss-wsss/cam", "--root", data, "--out", run, "--workers", 0, "--precision", "fp32", *SETTINGS
    )
    next((root / "test" / "img").iterdir()).write_bytes(b"no picture")
    result = call("predict", run, "--split", "test", "--root", root, "--no-score")
    assert result.exit_code == 3
    assert "1 images have no labels" in result.stdout


def test_mistakes_are_said(data, tmp_path):
    with pytest.raises(BadFile, match="no masks"):
        call(
            "train",
            "seg",
            "bcss-wsss/cam",
            "--root",
            data,
            "--out",
            tmp_path,
            "--workers",
            0,
            "--set",
            "seg.split=train",
        )
    with pytest.raises(UsageError, match="commas"):
        call("predict", tmp_path, "--split", "test", "--root", data, "--scales", "a")
    with pytest.raises(UsageError, match="no folder"):
        call("push", tmp_path / "nowhere", "owner/name")
    assert call("export", tmp_path, "--out", tmp_path / "x", "--format", "onnx").exit_code == 2
