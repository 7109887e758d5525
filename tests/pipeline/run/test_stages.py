"""Stages: skipped, resumed and repeated, and continued after a kill."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from qaclims_path.errors import BadFile, QaclimsError, UsageError
from qaclims_path.files.lock import Locked, locked
from qaclims_path.pipeline.run.memory import PeakMemory, peak_mib
from qaclims_path.pipeline.run.stages import Stage, execute, hashes_of, plan, read_records


def stages(out: Path, log: list[str], **options: int) -> list[Stage]:
    """Three stages in a row; the last reads both others."""

    def writes(name: str, value: int):
        def run() -> None:
            log.append(name)
            (out / name).mkdir(parents=True, exist_ok=True)
            (out / name / "result").write_text(str(value))

        return run

    made, reads = [], ()
    for name in ("maps", "masks", "seg"):
        value = options.get(name, 0)
        made.append(Stage(name, f"make {name}", 1, {"train": {"lr": value}}, reads, (name,), writes(name, value)))
        reads = (*reads, name)
    return made


def go(out: Path, log: list[str], **options) -> list[str]:
    how = {key: options.pop(key) for key in ("first", "only") if key in options}
    log.clear()
    said: list[str] = []
    execute(plan(stages(out, log, **options), out, **how), out, said.append)
    return said


def test_a_second_run_does_nothing(tmp_path):
    log: list[str] = []
    go(tmp_path, log)
    assert log == ["maps", "masks", "seg"]
    assert go(tmp_path, log)[0].endswith("skipped, done before")
    assert log == []


def test_a_changed_option_repeats_the_stages_that_depend_on_it(tmp_path):
    log: list[str] = []
    go(tmp_path, log)
    said = go(tmp_path, log, masks=5)
    assert log == ["masks", "seg"]
    assert said[0] == "[1/3] maps: skipped, done before"
    assert said[1] == "[2/3] masks: make masks (train.lr was 0, now 5)"
    assert re.fullmatch(r"\[2/3\] masks: done in \d\.\d s", said[2])
    assert said[3] == "[3/3] seg: make seg ('masks' is repeated)"
    assert (tmp_path / "masks/result").read_text() == "5"


def test_results_of_other_options_are_removed_first(tmp_path):
    log: list[str] = []
    go(tmp_path, log)
    (tmp_path / "seg/old").write_text("left behind")
    go(tmp_path, log, seg=1)
    assert not (tmp_path / "seg/old").exists()


def test_first_and_only(tmp_path):
    log: list[str] = []
    go(tmp_path, log)
    go(tmp_path, log, first="masks")
    assert log == ["masks", "seg"]
    go(tmp_path, log, only="maps")
    assert log == ["maps"]
    with pytest.raises(UsageError, match="Did you mean 'masks'"):
        plan(stages(tmp_path, log), tmp_path, only="mask")


def test_only_needs_the_results_that_it_reads(tmp_path):
    with pytest.raises(UsageError, match="'seg' reads 'maps', which is not done"):
        plan(stages(tmp_path, []), tmp_path, only="seg")


def test_missing_results_are_made_again(tmp_path):
    log: list[str] = []
    go(tmp_path, log)
    (tmp_path / "masks/result").unlink()
    (tmp_path / "masks").rmdir()
    assert [step.action for step in plan(stages(tmp_path, log), tmp_path)] == ["skip", "resume", "run"]


def test_a_failure_is_recorded_and_resumed(tmp_path):
    log: list[str] = []
    broken = stages(tmp_path, log)

    def fail() -> None:
        raise QaclimsError("The disk is full.")

    broken[1] = Stage("masks", "make masks", 1, broken[1].depends, broken[1].reads, ("masks",), fail)
    with pytest.raises(QaclimsError, match="full"):
        execute(plan(broken, tmp_path), tmp_path, log.append)
    record = read_records(tmp_path)["masks"]
    assert (record.state, record.error) == ("failed", "The disk is full.")
    assert [step.reason for step in plan(stages(tmp_path, log), tmp_path)] == [
        "done before", "it failed", ""]  # fmt: skip


def test_hashes_do_not_depend_on_the_order_of_keys_or_the_folder(tmp_path):
    log: list[str] = []
    assert hashes_of(stages(tmp_path, log)) == hashes_of(stages(tmp_path / "elsewhere", log))
    one = Stage("a", "", 1, {"x": 1, "y": {"p": 1, "q": 2}}, (), (), log.clear)
    two = Stage("a", "", 1, {"y": {"q": 2, "p": 1}, "x": 1}, (), (), log.clear)
    assert hashes_of([one]) == hashes_of([two])
    assert hashes_of([one]) != hashes_of([Stage("a", "", 2, one.depends, (), (), log.clear)])


def test_a_killed_stage_is_continued(tmp_path):
    script = tmp_path / "work.py"
    script.write_text(
        textwrap.dedent(f"""
        import sys, os, time
        from pathlib import Path
        from qaclims_path.pipeline.run.stages import Stage, execute, plan
        out = Path({str(tmp_path / "run")!r})
        def slow():
            (out / "b").mkdir(exist_ok=True)
            for i in range(5):
                (out / "b" / str(i)).touch()
                print(i, flush=True)
                if len(sys.argv) > 1: time.sleep(30)
        def quick():
            (out / "a").mkdir(parents=True, exist_ok=True)
        both = [Stage("a", "first", 1, {{}}, (), ("a",), quick), Stage("b", "second", 1, {{}}, ("a",), ("b",), slow)]
        execute(plan(both, out), out, lambda text: None)
        """)
    )
    with subprocess.Popen([sys.executable, script, "slow"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
    assert {name: record.state for name, record in read_records(tmp_path / "run").items()} == {
        "a": "done", "b": "running"}  # fmt: skip
    subprocess.run([sys.executable, script], check=True, capture_output=True)
    assert read_records(tmp_path / "run")["b"].state == "done"


def test_damaged_records_are_refused(tmp_path):
    (tmp_path / "stages.json").write_text("{broken")
    with pytest.raises(BadFile, match=r"stages\.json is damaged"):
        read_records(tmp_path)
    (tmp_path / "stages.json").write_text(json.dumps({"maps": {"state": "done", "hash": "1", "more": 2}}))
    with pytest.raises(BadFile, match="damaged"):
        read_records(tmp_path)


def test_nothing_outside_the_run_is_removed(tmp_path):
    (tmp_path / "precious").write_text("keep")
    for number, path in enumerate(("../precious", ".")):
        stage = Stage("a", "", 1, {}, (), (path,), lambda: None)
        out = tmp_path / f"run {number}"
        execute(plan([stage], out), out, print)
        with pytest.raises(QaclimsError, match="outside"):
            execute(plan([stage], out, first="a"), out, print)
    assert (tmp_path / "precious").exists()


def test_a_result_that_is_being_written_is_not_removed(tmp_path):
    """A killed run may have left a training behind."""
    log: list[str] = []
    go(tmp_path, log)
    with locked(tmp_path / "maps" / "state" / "lock"), pytest.raises(Locked, match="maps is being written by"):
        go(tmp_path, log, first="maps")
    assert (tmp_path / "maps").exists()
    go(tmp_path, log)
    assert log[-1] == "seg"


def test_a_result_without_a_record_is_continued(tmp_path):
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps/hours-of-work").touch()
    go(tmp_path, [])
    assert (tmp_path / "maps/hours-of-work").exists()


def test_unfinished_files_are_removed_with_the_result(tmp_path):
    log: list[str] = []
    go(tmp_path, log)
    for name in ("maps.part", "maps.1-of-2.part", "mapsandmore", "mapsandmore.part"):
        (tmp_path / name).touch()
    go(tmp_path, log, first="maps")
    assert not list(tmp_path.glob("maps.*"))
    assert len(list(tmp_path.glob("mapsandmore*"))) == 2


def test_a_run_killed_while_it_removes_results_repeats_them(tmp_path):
    """Stages that were planned before the kill are still done, even with the former options."""
    log: list[str] = []
    go(tmp_path, log)
    (tmp_path / "seg/part of it").touch()
    steps = plan(stages(tmp_path, log), tmp_path, first="maps")

    def killed(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(steps, tmp_path, killed)
    assert [step.action for step in plan(stages(tmp_path, log), tmp_path)] == ["run"] * 3
    assert plan(stages(tmp_path, log), tmp_path)[0].reason == "it is outdated"
    go(tmp_path, log)
    assert log == ["maps", "masks", "seg"]
    assert not (tmp_path / "seg/part of it").exists()


def test_a_stopped_stage_has_not_failed(tmp_path):
    class Stopped(QaclimsError):
        exit_code = 130

    for error, state in ((Stopped("saved"), "running"), (KeyboardInterrupt(), "running"), (ValueError("3"), "failed")):

        def stop(error: BaseException = error) -> None:
            raise error

        stage = Stage("maps", "", 1, {}, (), ("maps",), stop)
        with pytest.raises(type(error)):
            execute(plan([stage], tmp_path), tmp_path, print)
        assert read_records(tmp_path)["maps"].state == state
    assert read_records(tmp_path)["maps"].error == "ValueError: 3"


def test_results_of_former_stages_are_removed_with_their_source(tmp_path):
    log: list[str] = []
    go(tmp_path, log)
    short = stages(tmp_path, log)[:1]
    execute(plan(short, tmp_path), tmp_path, print)
    assert (tmp_path / "seg/result").exists()  # nothing was repeated, so the result stays valid
    execute(plan(stages(tmp_path, log, maps=1)[:1], tmp_path), tmp_path, print)
    assert list(read_records(tmp_path)) == ["maps"]
    assert not (tmp_path / "masks").exists()
    assert not (tmp_path / "seg").exists()


def test_a_name_selects_the_stages_of_all_splits(tmp_path):
    log: list[str] = []
    one = stages(tmp_path, log)[0]
    both = [one, Stage("maps-val", "", 1, {}, (), ("maps-val",), lambda: log.append("maps-val"))]
    execute(plan(both, tmp_path), tmp_path, print)
    (tmp_path / "maps-val").touch()
    for how, actions in (({"first": "maps"}, ["run", "run"]), ({"only": "maps-val"}, ["skip", "run"])):
        assert [step.action for step in plan(both, tmp_path, **how)] == actions


def test_a_stage_after_a_large_one_records_its_own_memory(tmp_path, monkeypatch):
    def eat(mib: int) -> None:
        assert bytearray(mib * 2**20).count(0)

    def feed_a_child() -> None:
        subprocess.run([sys.executable, "-c", "bytearray(600 * 2**20)"], check=True)

    works = {"own": lambda: eat(400), "child": feed_a_child, "modest": lambda: eat(1)}
    steps = plan([Stage(name, "", 1, {}, (), (), work) for name, work in works.items()], tmp_path)
    execute(steps, tmp_path, print)
    peaks = {name: record.peak_mib for name, record in read_records(tmp_path).items()}
    assert peaks["own"] > peaks["modest"] + 300
    assert peaks["child"] > 600
    assert peak_mib() >= peaks["child"]  # of all
    monkeypatch.setattr("qaclims_path.pipeline.run.stages.Path.read_text", lambda *_, **__: "no Linux")
    assert PeakMemory().mib() >= peaks["modest"] - 1
