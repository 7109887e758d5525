"""The demo on the smallest slides that need all its parts; CI runs `qaclims demo --quick`."""

import csv
import json
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from qaclims_path.cli.views.console import print_parts
from qaclims_path.config import override
from qaclims_path.errors import BadFile, QaclimsError, UsageError
from qaclims_path.pipeline.demo.demo import Demo, DemoReport, _check_scored, demo
from qaclims_path.pipeline.demo.pace import do_parts, measured_pace
from qaclims_path.pipeline.demo.size import FULL, MARKER, QUICK, Size, mark_folder, settings_for
from qaclims_path.pipeline.run.pipeline import RunReport
from qaclims_path.pipeline.run.report import write_run_report
from qaclims_path.report.demo import RESULTS, results_part

TINY = Size(
    "tiny",
    train_patients=2,
    held_out_patients=1,
    side=896,
    stride=224,
    start_epochs=1,
    cam_epochs=1,
    seg_epochs=1,
    rows=("cam", "qa-clims-path", "supervised"),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[DemoReport, list[str]]:
    said: list[str] = []
    return demo(tmp_path_factory.mktemp("demo") / "demo", size=TINY, say=said.append), said


@pytest.mark.slow
def test_everything_is_made_and_scored(made: tuple[DemoReport, list[str]]) -> None:
    report, said = made
    assert all(path.exists() for path in report.paths.values())
    assert [table.key.what for table in report.comparison.tables] == ["cams", "masks", "seg"]
    for table in report.comparison.tables:
        assert [row.label for row in table.rows][:2] == ["cam", "qa-clims-path"]
        assert all(row.miou.mean is not None and 0 < row.miou.mean < 1 for row in table.rows)
    assert report.comparison.tables[-1].rows[-1].label == "supervised"  # it has only a segmenter
    assert (report.paths["segmented"] / "slides" / f"{report.slide}_overlay.jpg").exists()
    assert report.slide in report.paths["page"].read_text(encoding="utf-8")  # the slide is in the report
    assert report.cpu_seconds > 1
    assert "This run has no corpus" not in report.paths["page"].read_text(encoding="utf-8")
    assert json.loads(json.dumps(report.as_json()))["slide"] == report.slide
    assert [line for line in said if line.startswith("[")][-1].startswith("[7/7] segment a whole slide")
    assert all("min left" in line for line in said if line.startswith("["))


@pytest.mark.slow
def test_held_out_patients_are_not_trained_on(made: tuple[DemoReport, list[str]]) -> None:
    report, _ = made
    asked = report.paths["answers"].read_text(encoding="utf-8")
    assert "DM0001" in asked
    assert report.slide not in asked


@pytest.mark.slow
def test_answers_stay_on_a_page_that_is_written_again(made: tuple[DemoReport, list[str]]) -> None:
    report, _ = made
    lines = report.paths["answers"].read_text(encoding="utf-8").splitlines()
    said = {one["text"] for line in lines for one in json.loads(line)["foreground"] if one["text"]}
    assert any(text in report.paths["page"].read_text(encoding="utf-8") for text in said)
    again = write_run_report(report.paths["page"].parent, report.paths["tiles"])
    assert "corpus" not in again.missing
    assert any(text in report.paths["page"].read_text(encoding="utf-8") for text in said)


@pytest.mark.slow
def test_a_second_demo_repeats_nothing_and_gives_the_same_scores(made: tuple[DemoReport, list[str]]) -> None:
    report, _ = made
    out = report.paths["slides"].parent
    weights = out / "runs" / "qa-clims-path" / "cam" / "weights.safetensors"
    before = (report.paths["scores"].read_bytes(), weights.stat().st_mtime_ns)
    said: list[str] = []
    again = demo(out, size=TINY, say=said.append)
    assert (again.paths["scores"].read_bytes(), weights.stat().st_mtime_ns) == before
    assert not [line for line in said if line.startswith("  ")]  # no stage began
    fewer = demo(out, size=replace(TINY, rows=TINY.rows[:2]))  # earlier rows are kept
    assert fewer.paths["scores"].read_bytes() == before[0]
    with fewer.paths["scores"].open(encoding="utf-8") as file:
        assert "supervised" in {row["method"] for row in csv.DictReader(file)}


def test_a_damaged_slide_is_named(tmp_path: Path) -> None:
    work = Demo(tmp_path, replace(TINY, train_patients=1, side=448), 0, lambda _: None)
    work.paint()
    (work.slides / "DM0002.tiff").write_bytes(b"no slide")
    with pytest.raises(QaclimsError, match=r"DM0002\.tiff failed: .* remove .*DM0002\*, and run the demo again"):
        work.tile()
    (work.slides / "DM0002.tiff").unlink()
    work.paint()
    work.tile()
    assert (work.tiles / "slides" / "DM0002.csv").exists()


def test_images_without_a_prediction_stop_the_demo(tmp_path: Path) -> None:
    (tmp_path / "masks" / "val").mkdir(parents=True)
    (tmp_path / "masks" / "val" / "index.json").write_text('{"images": 3, "failed": {"one": "It is damaged."}}')
    report = RunReport(str(tmp_path), (), (), ({"missing": 2},))
    with pytest.raises(QaclimsError, match=r"2 images have no prediction in .*, first one: It is damaged\. Remove"):
        _check_scored(report, tmp_path / "tiles")
    _check_scored(replace(report, metrics=({"missing": 0},)), tmp_path / "tiles")


def test_plain_maps_are_used_only_when_their_stage_is_done(tmp_path: Path) -> None:
    work = Demo(tmp_path, TINY, 0, lambda _: None)
    assert work.start is None
    (tmp_path / "runs" / "cam" / "cam").mkdir(parents=True)
    (tmp_path / "runs" / "cam" / "cam" / "result.json").write_text("{}")
    for state, start in (("running", None), ("done", tmp_path / "runs" / "cam" / "cam")):
        (tmp_path / "runs" / "cam" / "stages.json").write_text(json.dumps({"cam": {"state": state, "hash": ""}}))
        assert work.start == start


def test_finished_parts_do_not_change_the_predicted_time() -> None:
    said: list[str] = []
    steps = [("one", 0.3, lambda: time.sleep(0.3)), ("two", 600, lambda: None), ("three", 600, lambda: None)]
    do_parts(steps, said.append)
    assert [line.partition("about ")[2] for line in said] == ["20 min left)", "20 min left)", "10 min left)"]


class Clock:
    """A clock of a machine that takes `pace` seconds for a second of the estimate."""

    def __init__(self, pace: float) -> None:
        self.pace = pace
        self.now = 0.0

    def work(self, seconds: float) -> None:
        self.now += self.pace * seconds

    def monotonic(self) -> float:
        return self.now


@pytest.mark.parametrize("size", [FULL, QUICK], ids=["full", "quick"])
@pytest.mark.parametrize("pace", [0.5, 1, 4])
def test_the_predicted_time_follows_the_machine_from_the_first_part_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: Size, pace: float
) -> None:
    clock, said = Clock(pace), list[tuple[float, int]]()
    monkeypatch.setattr("qaclims_path.pipeline.demo.pace.time", clock)
    parts = [
        (title, seconds, partial(clock.work, seconds))
        for title, seconds, _ in Demo(tmp_path, size, 0, lambda _: None).parts()
    ]
    do_parts(parts, lambda line: said.append((clock.now, int(line.partition("(about ")[2].split()[0]))), pace)
    assert said[0][1] == pytest.approx(pace * sum(seconds for _, seconds, _ in parts) / 60, abs=1)
    whole = pace * sum(seconds for _, seconds, _ in parts) / 60
    for at, (now, minutes) in enumerate(said[1:], 1):
        left = whole - now / 60
        assert minutes == pytest.approx(left, rel=0.5 if at == 1 else 0.3, abs=1)


@pytest.mark.parametrize("size", [FULL, QUICK], ids=["full", "quick"])
def test_libraries_that_load_slowly_change_no_prediction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: Size
) -> None:
    clock, said = Clock(pace=1.0), list[int]()
    monkeypatch.setattr("qaclims_path.pipeline.demo.pace.time", clock)
    first, *others = Demo(tmp_path, size, 0, lambda _: None).parts()
    slow = (*first[:2], partial(clock.work, 60))
    work = [slow, *((title, seconds, partial(clock.work, seconds)) for title, seconds, _ in others)]
    do_parts(work, lambda line: said.append(int(line.partition("(about ")[2].split()[0])))
    whole = sum(seconds for _, seconds, _ in work) / 60
    assert all(minutes <= whole + 1 for minutes in said)


def test_the_pace_of_this_machine_is_measured() -> None:
    assert 0.1 < measured_pace() < 100


def test_the_predicted_time_is_that_of_one_core(tmp_path: Path) -> None:
    full, quick = (
        sum(seconds for _, seconds, _ in Demo(tmp_path, size, 0, lambda _: None).parts()) / 60 for size in (FULL, QUICK)
    )
    assert full == pytest.approx(11, abs=0.5)
    assert quick == pytest.approx(2.5, abs=0.2)


def test_other_options_and_other_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "data.txt").touch()
    with pytest.raises(UsageError, match="which `qaclims demo` did not write"):
        demo(tmp_path / "mine", size=QUICK)
    (tmp_path / "other").mkdir()
    marker = {"format": 2, "name": "full", "seed": 0}
    for other, told in (({}, "without --quick, with --seed 0"), ({"name": "quick"}, "those of another version")):
        (tmp_path / "other" / "demo.json").write_text(json.dumps({**marker, **other}))
        with pytest.raises(UsageError, match=f"made with other options: {told}"):
            demo(tmp_path / "other", size=QUICK)
    (tmp_path / "other" / "demo.json").write_text("{")
    with pytest.raises(BadFile, match=r"cannot be read.* Choose another --out"):
        demo(tmp_path / "other", size=QUICK)
    with pytest.raises(UsageError, match=r"cannot be used: File name too long\. Choose another --out"):
        demo(tmp_path / ("x" * 300), size=QUICK)


def test_all_rows_start_from_the_same_maps_and_train_equally_long(tmp_path: Path) -> None:
    settings = {row: settings_for(FULL, Path("card.yaml"), 0, start=tmp_path, first=False) for row in FULL.rows[1:]}
    assert len({tuple(each) for each in settings.values()}) == 1
    assert f'cam.init.start="{tmp_path}"' in settings["cam+"]
    first = settings_for(FULL, Path("card.yaml"), 0, start=tmp_path, first=True)
    assert not [each for each in first if each.startswith("cam.init")]
    assert QUICK.tiles < FULL.tiles


def test_folders_may_have_any_name() -> None:
    card = Path('\N{MICROSCOPE} "a": {b}') / "tiles.yaml"
    assert override({}, settings_for(QUICK, card, 0, start=None, first=True))["dataset"] == str(card)


def test_paths_and_commands_stay_on_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    paths = {name: Path("/", "a long name [b] " * 9, name) for name in RESULTS}
    print_parts(results_part(paths, "phantoms", 60, 100))
    lines = capsys.readouterr().out.splitlines()
    assert all(any(line.endswith(str(path)) for line in lines) for path in paths.values())
    commands = [line.split() for line in lines if line.startswith("  qaclims ")]
    assert [words[-1] for words in commands] == [
        "answers.html",
        "/slides'/DM0001.tiff",
        "--masks",
        "tiles",
        "run",
    ]
    assert any("start from the weights of the judge's image tower" in line for line in lines)


def test_a_folder_with_other_files_is_refused_and_a_barely_started_one_is_not(tmp_path):
    (tmp_path / f".demo.1{'0' * 9}.part.json").touch()  # of a demo that was killed, or is just starting
    mark_folder(tmp_path, QUICK, 0)
    mark_folder(tmp_path, QUICK, 0)
    with pytest.raises(UsageError, match=r"options: with --quick, with --seed 0\. Choose another --out"):
        mark_folder(tmp_path, QUICK, 1)
    (tmp_path / MARKER).unlink()
    (tmp_path / "thesis.doc").touch()
    with pytest.raises(UsageError, match=r"which `qaclims demo` did not write\. Choose another --out"):
        mark_folder(tmp_path, QUICK, 0)
    with pytest.raises(UsageError, match=r"is a file\. Choose"):
        mark_folder(tmp_path / "thesis.doc", QUICK, 0)
