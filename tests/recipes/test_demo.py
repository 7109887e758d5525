"""The demo on the smallest slides that hold all its steps; CI runs `qaclims demo --quick` itself."""

import json
from pathlib import Path

import pytest

from qaclims_path.errors import UsageError
from qaclims_path.recipes.demo import DemoReport, demo
from qaclims_path.recipes.demo_size import FULL, QUICK, Size, settings_of

TINY = Size(
    "tiny",
    taught=2,
    held_out=1,
    side=896,
    stride=224,
    start=1,
    maps=1,
    seg=1,
    rows=("cam", "qa-clims-path", "supervised"),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[DemoReport, list[str]]:
    said: list[str] = []
    return demo(tmp_path_factory.mktemp("demo") / "demo", size=TINY, say=said.append), said


@pytest.mark.slow
def test_everything_is_made_and_scored(made: tuple[DemoReport, list[str]]) -> None:
    report, said = made
    assert all(place.exists() for place in report.places.values())
    assert [table.key.what for table in report.comparison.tables] == ["cams", "masks", "seg"]
    for table in report.comparison.tables:
        assert [row.label for row in table.rows][:2] == ["cam", "qa-clims-path"]
        assert all(row.miou.mean is not None and 0 < row.miou.mean < 1 for row in table.rows)
    assert report.comparison.tables[-1].rows[-1].label == "supervised"  # a segmenter alone
    assert (report.places["segmented"] / "slides" / f"{report.slide}_overlay.jpg").exists()
    assert report.slide in report.places["page"].read_text(encoding="utf-8")  # the slide is in the report
    assert report.cpu_seconds > 1
    assert json.loads(json.dumps(report.as_json()))["slide"] == report.slide
    assert [line for line in said if line.startswith("[")][-1].startswith("[7/7] segment a whole slide")
    assert all("min left" in line for line in said if line.startswith("["))


@pytest.mark.slow
def test_held_out_patients_are_not_learnt_from(made: tuple[DemoReport, list[str]]) -> None:
    report, _ = made
    asked = report.places["answers"].read_text(encoding="utf-8")
    assert "DM0001" in asked
    assert report.slide not in asked


@pytest.mark.slow
def test_a_second_demo_does_nothing_twice_and_gives_the_same_scores(made: tuple[DemoReport, list[str]]) -> None:
    report, _ = made
    out = report.places["slides"].parent
    weights = out / "runs" / "qa-clims-path" / "cam" / "weights.safetensors"
    before = (report.places["scores"].read_bytes(), weights.stat().st_mtime_ns)
    said: list[str] = []
    again = demo(out, size=TINY, say=said.append)
    assert (again.places["scores"].read_bytes(), weights.stat().st_mtime_ns) == before
    assert not [line for line in said if line.startswith("  ")]  # no stage was begun


def test_other_options_and_other_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "data.txt").touch()
    with pytest.raises(UsageError, match="not the folder of a demo"):
        demo(tmp_path / "mine", size=QUICK)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "demo.json").write_text('{"size": "quick", "seed": 1}')
    with pytest.raises(UsageError, match="other options"):
        demo(tmp_path / "other", size=QUICK)
    (tmp_path / "other" / "demo.json").write_text("{")
    with pytest.raises(UsageError, match="cannot be read"):
        demo(tmp_path / "other", size=QUICK)


def test_all_rows_begin_alike_and_train_equally_long(tmp_path: Path) -> None:
    settings = {row: settings_of(FULL, Path("card.yaml"), 0, start=tmp_path, first=False) for row in FULL.rows[1:]}
    assert len({tuple(each) for each in settings.values()}) == 1
    assert f'init.start="{tmp_path}"' in settings["cam+"]
    first = settings_of(FULL, Path("card.yaml"), 0, start=tmp_path, first=True)
    assert not [each for each in first if each.startswith("init")]
    assert QUICK.tiles < FULL.tiles
