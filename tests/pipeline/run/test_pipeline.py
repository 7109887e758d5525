"""Whole runs: repeated and skipped stages, resuming after a kill, early refusals."""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from qaclims_path.errors import BadFile, QaclimsError, UsageError
from qaclims_path.files.lock import Locked
from qaclims_path.files.tables import read_csv
from qaclims_path.pipeline.cam.train import train_cam
from qaclims_path.pipeline.run.finished import read_run
from qaclims_path.pipeline.run.listing import stages_of
from qaclims_path.pipeline.run.options import load_run
from qaclims_path.pipeline.run.pipeline import do_run, plan_run
from qaclims_path.pipeline.run.report import write_run_report
from qaclims_path.pipeline.run.stages import hashes_of, read_records

ALL = ("cam", "cams", "cams-val", "masks", "masks-val", "seg", "predict-val", "evaluate", "report")
LAST = ("evaluate", "report")


def redone(run) -> tuple[str, ...]:
    return tuple(step.stage.name for step in plan_run(run) if step.action != "skip")


def when_changed(path: Path) -> dict[str, int]:
    return {str(each): each.stat().st_mtime_ns for each in sorted(path.rglob("*")) if each.is_file()}


def test_a_finished_run_does_nothing_again(finished, make, tiny):
    assert tuple(read_records(finished)) == ALL
    entries = json.loads((finished / "metrics.json").read_text())
    assert [(one["what"], one["split"], one["gate"]) for one in entries] == [
        (what, "val", "none") for what in ("cams", "masks", "seg")]  # fmt: skip
    assert yaml.safe_load((finished / "config.yaml").read_text()) == load_run("phantom/cam", tiny).tree
    assert "<html" in (finished / "report.html").read_text()
    before = when_changed(finished)
    report = do_run(make(finished))
    assert (report.done, report.skipped) == ((), ALL)
    after = when_changed(finished)
    changed = {Path(name).name for name in after if after[name] != before.get(name)}
    assert changed <= {"config.yaml", "run.lock"}
    assert report.metrics == tuple(entries)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ((), ()),
        (("cam.train.lr=0.5",), ALL),
        (("seed=1",), ALL),
        (("cams.scales=[0.5]",), ALL[1:]),
        (("masks.refiner=par",), ("masks", "masks-val", "seg", "predict-val", *LAST)),
        (("masks.batch=3",), ()),
        (("masks.refiner=irn",), ("boundary", "masks", "masks-val", "seg", "predict-val", *LAST)),
        (("masks.boundary.size=64",), ()),  # the refiner needs no boundaries
        (("seg.train.epochs=2",), ("seg", "predict-val", *LAST)),
        (("seg.train.seed=1",), ("seg", "predict-val", *LAST)),
        (("evaluate.flip=true",), ("predict-val", *LAST)),
        (("evaluate.crf=tissue",), ("predict-val", *LAST)),
        (("evaluate.average=logits",), ("predict-val", *LAST)),
        (("evaluate.splits=[val, test]",), ("cams-test", "masks-test", "predict-test", *LAST)),
        (("evaluate.what=[seg]",), LAST),
        (("evaluate.what=[cams, masks]",), LAST),
        (("evaluate.protocol=tissue",), ()),  # the card's own
        (("evaluate.protocol=mlps",), ("cams-val", "masks", "masks-val", "seg", "predict-val", *LAST)),
        (("seg.truth=true", "seg.split=val", "evaluate.what=[seg]"), ("seg", "predict-val", *LAST)),
    ],
)
def test_a_changed_option_repeats_the_stages_that_depend_on_it(finished, make, settings, expected):
    assert redone(make(finished, *settings)) == expected


def test_the_plan_gives_reasons(finished, make):
    reasons = {step.stage.name: step.reason for step in plan_run(make(finished, "masks.refiner=par"))}
    assert reasons["masks"] == "masks.refiner was none, now par"
    assert reasons["seg"] == "'masks' is repeated"
    assert reasons["cams"] == "done before"


def test_folders_and_hardware_change_no_hash(make, root, tmp_path):
    here = make(tmp_path / "a")
    moved = tmp_path / "moved"
    moved.symlink_to(root)
    running = here.running.model_copy(update={"workers": 2, "precision": "bf16"})
    there = replace(here, root=moved, out=tmp_path / "b", running=running)
    assert hashes_of(stages_of(here)) == hashes_of(stages_of(there))


def test_models_are_hashed_by_content(make, judge, finished, tmp_path):
    def hash_of(model: Path, start: Path = finished) -> str:
        run = make(tmp_path / "run", f"judge.id={model}", f"cam.init.start={start}", recipe="phantom/names")
        return hashes_of(stages_of(run))["cam"]

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for file in judge.iterdir():
            (tmp_path / name / file.name).write_bytes(file.read_bytes())
    first = hash_of(tmp_path / "one")
    assert hash_of(tmp_path / "two") == first
    (finished / "notes.json").write_text("{}")  # a file beside the network that training starts from
    assert hash_of(tmp_path / "one") == first
    (tmp_path / "two/open_clip_config.json").write_text("{}")
    assert hash_of(tmp_path / "two") != first


def test_changed_labels_are_noticed(make, tmp_path):
    run = make(tmp_path / "run", "cams.scales=[1.0]")
    copy = tmp_path / "data"
    shutil.copytree(run.root, copy)
    other = replace(run, root=copy)
    assert hashes_of(stages_of(other)) == hashes_of(stages_of(run))
    image = next(path for path in sorted(copy.rglob("*.png")) if "[" in path.name)
    bits = image.name.partition("[")[2].partition("]")[0]
    image.rename(image.with_name(image.name.replace(bits, bits.replace("0", "1", 1))))
    assert hashes_of(stages_of(other))["cam"] != hashes_of(stages_of(run))["cam"]


def test_repeated_masks_equal_those_of_a_new_run(copied, make, tmp_path):
    report = do_run(make(copied, "masks.refiner=par"))
    assert report.done == ("masks", "masks-val", "seg", "predict-val", *LAST)
    fresh = do_run(make(tmp_path / "fresh", "masks.refiner=par"))
    assert report.metrics == fresh.metrics
    config = yaml.safe_load((copied / "config.yaml").read_text())
    assert config["masks"]["refiner"] == "par"


def test_from_and_only(copied, make):
    assert do_run(make(copied), only="report").done == ("report",)
    assert do_run(make(copied), first="predict-val").done == ("predict-val", *LAST)
    steps = plan_run(make(copied), first="masks")
    assert [step.stage.name for step in steps if step.action == "run"] == list(ALL[3:])
    with pytest.raises(UsageError, match="Did you mean 'masks'"):
        plan_run(make(copied), only="mask")
    with pytest.raises(UsageError, match="'masks-val' reads 'cams-val', which is not done"):
        plan_run(make(copied, "evaluate.protocol=mlps"), only="masks-val")


def test_a_plan_changes_nothing(make, tmp_path):
    assert redone(make(tmp_path / "run")) == ALL
    assert not (tmp_path / "run").exists()


def test_language_from_questions_to_page(make, judge, tmp_path):
    settings = [f"judge.id={judge}", "cam.train.epochs=2", "evaluate.what=[cams]"]
    run = make(tmp_path / "run", *settings, recipe="phantom/qa-clims-path")
    report = do_run(run)
    assert report.done == ("corpus", "cam", "cams-val", *LAST)
    assert (run.out / "init/cam/camnet.safetensors").is_file()
    assert len((run.out / "corpus.jsonl").read_text().splitlines()) >= 4
    assert do_run(run).done == ()
    other = make(tmp_path / "run", *settings, "corpus.sharing.fallback=3", recipe="phantom/qa-clims-path")
    assert redone(other) == ("corpus", "cam", "cams-val", *LAST)
    given = replace(run, corpus=run.out / "corpus.jsonl", out=tmp_path / "other")
    assert [stage.name for stage in stages_of(given)] == ["cam", "cams-val", *LAST]
    with pytest.raises(BadFile, match="cannot be read"):
        stages_of(replace(given, corpus=tmp_path / "none.jsonl"))


def test_images_that_cannot_be_read_stop_a_run_before_its_training(make, judge, root, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(root, data)
    settings = [f"judge.id={judge}", "cam.train.epochs=1", "evaluate.what=[cams]"]
    run = replace(make(tmp_path / "run", *settings, recipe="phantom/qa-clims-path"), root=data)
    picture = next((data / "training").glob("*.png"))
    whole = picture.read_bytes()
    picture.write_bytes(whole[:200])
    with pytest.raises(
        BadFile, match=rf"1 of 4 images could not be read, such as {re.escape(picture.stem)}.* is damaged.* Repair"
    ):
        do_run(run)
    assert not (run.out / "cam").exists()
    picture.write_bytes(whole)
    assert do_run(run).done == ("corpus", "cam", "cams-val", *LAST)
    assert '"error"' not in (run.out / "corpus.jsonl").read_text()


def test_an_interrupted_corpus_is_rebuilt_with_other_options(make, judge, tmp_path):
    settings = [f"judge.id={judge}", "evaluate.what=[cams]", "corpus.together=1"]
    run = make(tmp_path / "run", *settings, recipe="phantom/qa-clims-path")
    corpus = run.out / "corpus.jsonl"
    do_run(run, only="corpus")
    first = corpus.read_text().splitlines(keepends=True)[0]
    corpus.with_name("corpus.jsonl.part").write_text(first)
    corpus.unlink()
    other = make(run.out, *settings, "corpus.sharing.fallback=3", recipe="phantom/qa-clims-path")
    assert do_run(other, only="corpus").done == ("corpus",)
    assert corpus.is_file()


def test_a_run_continues_the_work_of_single_commands(make, tmp_path):
    run = make(tmp_path / "run")
    train_cam(run.options.training_of_maps, run.root, run.out, running=run.running)
    before = when_changed(run.out / "cam")
    other = make(run.out, "cam.train.lr=0.5")
    with pytest.raises(UsageError, match=r"made with other options: cam\.train\.lr was"):
        do_run(other)
    do_run(run, only="cam")
    after = when_changed(run.out / "cam")
    assert all(after[name] == before[name] for name in before if name.endswith("weights.safetensors"))


def test_a_run_of_an_earlier_version_is_not_continued_but_can_be_read(make, copied):
    config = yaml.safe_load((copied / "config.yaml").read_text())
    seed, cam = config.pop("seed"), config.pop("cam")
    config |= cam | {"train": {**cam["train"], "seed": seed}}
    (copied / "config.yaml").write_text(yaml.safe_dump(config))
    stages = (copied / "stages.json").read_text()
    (copied / "stages.json").write_text(stages.replace("predict-val", "seg-val"))
    before = when_changed(copied)
    run = make(copied)
    for use in (plan_run, do_run, lambda run: train_cam(run.options.training_of_maps, run.root, run.out)):
        with pytest.raises(UsageError, match=r"begun by an earlier version.*another --out; `qaclims report`"):
            use(run)
    assert when_changed(copied) == before
    assert [one.seed for one in read_run(copied)] == [(0,), (0,), (0,)]
    assert read_run(copied)[0].options["cam.train.epochs"] == 1
    assert "card" not in write_run_report(copied).missing


def test_two_runs_cannot_use_one_folder(copied, make):
    code = "import sys, time; from pathlib import Path; from qaclims_path.files.lock import locked\n"
    code += "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    config = (copied / "config.yaml").read_text()
    with subprocess.Popen(
        [sys.executable, "-c", code, copied / "run.lock"], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(Locked, match=f"process {holder.pid} on "):
            do_run(make(copied, "cam.train.lr=0.5"))
        holder.kill()
    assert (copied / "config.yaml").read_text() == config


def test_a_failed_stage_is_continued(copied, make):
    (copied / "cams/val/index.json").write_text("{")
    run = make(copied, "masks.refiner=par")
    with pytest.raises(QaclimsError, match=r"index\.json"):
        do_run(run)
    records = read_records(copied)
    assert (records["masks"].state, records["masks-val"].state, records["seg"].state) == ("done", "failed", "outdated")
    do_run(run, first="cams-val")
    assert {record.state for record in read_records(copied).values()} == {"done"}


def test_results_of_former_stages_are_removed_with_their_source(copied, make):
    """Otherwise the page would show the segmenter of other maps."""
    do_run(make(copied, "evaluate.what=[cams]"))
    assert (copied / "seg/model.safetensors").is_file()
    report = do_run(make(copied, "evaluate.what=[cams]", "cam.train.lr=0.5"))
    assert report.done == ("cam", "cams-val", *LAST)
    assert not (copied / "seg").exists()
    assert not list((copied / "masks").iterdir())


def test_missing_scores_are_reported(make, copied):
    (copied / "masks/val/metrics.json").unlink()
    with pytest.raises(BadFile, match=r"masks/val/metrics\.json cannot be read.*--from"):
        do_run(make(copied), only="evaluate")


def test_counts_are_stored_beside_the_scores(finished):
    for folder in ("cams/val/scores", "masks/val", "seg/predictions/val/scores"):
        rows = list(read_csv(finished / folder / "counts.csv", ["image", "class", "right", "truth", "predicted"]))
        assert len({row["image"] for row in rows}) == 4


@pytest.mark.slow
def test_a_run_killed_at_random_moments_equals_an_undisturbed_one(root, tiny, tmp_path):
    script = Path(__file__).with_name("run_often.py")
    settings = [*tiny, "cam.train.epochs=2", "seg.train.epochs=2", "masks.refiner=par"]
    command = [sys.executable, script, root, *settings]
    dice = random.Random(0)
    single = {**os.environ, "OMP_NUM_THREADS": "1"}  # more threads are slow on a busy machine
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=single) as often:
        assert often.stdin is not None
        assert often.stdout is not None

        def start(folder: Path) -> int:
            print(folder, file=often.stdin, flush=True)
            return int(often.stdout.readline())

        assert often.stdout.readline() == "ready\n"
        begun = time.monotonic()
        start(tmp_path / "whole")
        assert often.stdout.readline() == "0\n"
        longest = (time.monotonic() - begun) / 2
        killed, folder = 0, tmp_path / "killed"
        while True:
            process = start(folder)
            if killed < 10:
                time.sleep(dice.uniform(0.04, 1) * longest)
                with contextlib.suppress(ProcessLookupError):  # it may be done
                    os.kill(process, signal.SIGKILL)
            ended = int(often.stdout.readline())
            if ended == -signal.SIGKILL:
                killed += 1
                continue
            assert ended == 0
            assert (folder / "metrics.json").read_bytes() == (tmp_path / "whole" / "metrics.json").read_bytes()
            if killed == 10:
                break
            shutil.rmtree(folder)  # start over, and kill earlier: the machine is faster than at first
            longest /= 2
        often.stdin.close()
