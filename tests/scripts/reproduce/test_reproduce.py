"""The script of all offline rows, run on a made-up data set."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import timm
from PIL import Image
from safetensors.torch import save_file

from qaclims_path.data.cards import load_card
from qaclims_path.errors import QaclimsError, UsageError
from qaclims_path.pipeline.datasets.fake import make_fake
from qaclims_path.pipeline.datasets.options import FakeOptions
from qaclims_path.pipeline.run.stages import STAGES

COMMON = "--sets", "wsss4luad", "--seeds", "1", "--threads", "1", "--quick"
ROWS = "--rows", "cam+", "qa-clims-path", "supervised"


@pytest.fixture(scope="module")
def made_up(checkout, tmp_path_factory):
    """A made-up data set beside random weights."""
    folder = tmp_path_factory.mktemp("made-up")
    card = load_card(checkout / "scripts" / "reproduce" / "cards" / "wsss4luad-ceiling.yaml")
    make_fake(card, folder / "data" / "wsss4luad", FakeOptions(images=8))
    (folder / "data" / "weights").mkdir()
    network = timm.create_model("mobilenetv2_100", pretrained=False, num_classes=0)
    weights = {key: value for key, value in network.state_dict().items() if not key.endswith("num_batches_tracked")}
    save_file(weights, folder / "data" / "weights" / "mobilenetv2_100.imagenet.safetensors")
    return folder


@pytest.fixture(scope="module")
def reproduce(checkout, made_up, one_thread):
    """Run the script on the made-up data in this process; what it trains has its own."""

    def run(*more, out="out", data="data"):
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(checkout / "scripts")
            patch.setenv("QACLIMS_DATA", "")  # set by the script
            patch.chdir(made_up)
            from reproduce.command import main

            return main(["--data", data, "--out", out, *COMMON, *more])

    return run


@pytest.fixture(scope="module")
def done(checkout, made_up):
    """Results of the script for three rows, started as a reader does."""
    command = [sys.executable, checkout / "scripts" / "reproduce", "--data", "data", "--out", "out", *COMMON, *ROWS]
    found = subprocess.run(command, cwd=made_up, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    return made_up / "out"


@pytest.mark.slow
def test_rows_are_trained_scored_and_drawn(done, runs_in):
    runs = {line["row"]: line for line in runs_in(done)}
    assert set(runs) == {"cam+", "qa-clims-path", "supervised"}
    with Image.open(done / "wsss4luad" / "gains.png") as sheet:
        assert np.asarray(sheet).std() > 10
    assert all(runs["qa-clims-path"][what] for what in ("cams", "masks", "seg", "seconds", "peak_mib"))
    assert runs["supervised"]["cams"] == ""
    assert "Judge `judge`" in (done / "table.md").read_text()


@pytest.mark.slow
def test_finished_runs_are_not_repeated(done, reproduce):
    run = done / "wsss4luad" / "supervised" / "seed0"
    before = [(run / name).stat().st_mtime_ns for name in ("counts.npz", STAGES)]
    assert reproduce("--rows", "supervised") == 0
    assert [(run / name).stat().st_mtime_ns for name in ("counts.npz", STAGES)] == before


@pytest.mark.slow
def test_maps_alone_keep_the_rest(done, reproduce, runs_in):
    before = runs_in(done)
    assert reproduce("--rows", "cam+", "--set", "evaluate.what=[cams]") == 0
    scores = [
        [{what: line[what] for what in ("cams", "masks", "seg")} for line in runs] for runs in (before, runs_in(done))
    ]
    assert scores[0] == scores[1]
    assert scores[0][0]["seg"]


@pytest.mark.slow
def test_another_judge_needs_another_folder(done, reproduce, capsys):
    assert reproduce("--rows", "cam+", "--judge", "hf-hub:wisdomik/QuiltNet-B-32") == 2
    said = capsys.readouterr().err
    assert "was made with other options: judge was None, now hf-hub:wisdomik/QuiltNet-B-32" in said


def test_a_folder_belongs_to_one_plan(scripts, tmp_path):
    from reproduce.command import MARK, _remember
    from reproduce.plan import Plan

    plan = Plan(tmp_path, tmp_path / "out", settings=("cam.losses.floor=0", "evaluate.what=[cams]"))
    _remember(plan)
    _remember(replace(plan, settings=("cam.losses.floor=0",)))  # says what is scored, and changes no run
    for other in (
        replace(plan, settings=("cam.init.keep=0.5",)),
        replace(plan, settings=(*plan.settings, "evaluate.flip=true")),
        replace(plan, quick=True),
        replace(plan, answerer="blip"),
    ):
        with pytest.raises(UsageError, match=r"was made with other options: .*\. Choose another --out"):
            _remember(other)
    (plan.out / MARK).unlink()
    run = plan.out / "voc" / "cam" / "seed0"
    run.mkdir(parents=True)
    (run / "counts.npz").touch()
    with pytest.raises(UsageError, match=r"holds runs and no plan\.json that says how they were made"):
        _remember(plan)


def test_a_folder_that_cannot_be_made_is_a_sentence(scripts, tmp_path):
    from reproduce.command import _remember
    from reproduce.plan import Plan

    (tmp_path / "file").touch()
    with pytest.raises(QaclimsError, match=r"file.* cannot be written: .*Choose another folder"):
        _remember(Plan(tmp_path, tmp_path / "file"))


def test_words_that_the_bridge_does_not_know_are_not_asked_for(reproduce, capsys):
    assert reproduce("--sets", "voc", "--answerer", "blip", "--dry-run") == 2
    assert "'blip' may answer other words. Name a judge with --judge" in capsys.readouterr().err


def test_a_dry_run_trains_and_paints_nothing(reproduce, made_up, capsys):
    assert reproduce("--sets", "phantom", "wsss4luad", *ROWS, "--dry-run", out="planned") == 0
    assert capsys.readouterr().out.count("seed 0: about") == 2 * len(ROWS[1:])
    assert not (made_up / "planned").exists()


def test_missing_weights_are_named(reproduce, capsys):
    assert reproduce(data="elsewhere") == 2
    assert "mobilenetv2_100.imagenet.safetensors does not exist" in capsys.readouterr().err
