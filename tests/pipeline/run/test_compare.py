"""Comparisons: rows of seeds, paired differences, published numbers, and runs that differ."""

import csv
import json
import shutil
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest
import yaml

from qaclims_path.data.cards import load_card
from qaclims_path.data.fake import write_fake
from qaclims_path.data.listing import list_records
from qaclims_path.data.record import truth_of
from qaclims_path.errors import BadFile, UsageError
from qaclims_path.files.images import write_mask
from qaclims_path.pipeline.evaluation.evaluate import evaluate
from qaclims_path.pipeline.run.compare import compare
from qaclims_path.pipeline.run.options import load_run

CARD = load_card("bcss-wsss")


@pytest.fixture(scope="session")
def bcss(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "bcss"
    write_fake(CARD, folder, images=8)
    return folder


@pytest.fixture(scope="session")
def made(bcss, tmp_path_factory):
    """Make a run whose masks are the truth with a share of wrong pixels."""
    folder = tmp_path_factory.mktemp("runs")
    found: dict[str, Path] = {}

    def make(
        name: str, wrong: float, method: str = "cam", *settings: str, seed=0, protocol="mlps", gate="none"
    ) -> Path:
        if name in found:
            return found[name]
        run = folder / name
        rng = np.random.default_rng(seed)
        for record in list_records(CARD, bcss, "test"):
            labels = truth_of(CARD, record)
            labels = np.where((rng.random(labels.shape) < wrong) & (labels < 4), np.uint8(0), labels)
            write_mask(run / "masks/test/labels" / f"{record.id}.png", CARD.encode(labels))
        how = {"protocol": protocol, "made_with_gate": gate, "what": "masks", "bootstrap": 10}
        report = evaluate(run / "masks/test/labels", CARD, bcss, "test", out=run / "masks/test", **how)
        (run / "metrics.json").write_text(json.dumps([report.entry()]))
        options = load_run(f"bcss-wsss/{method}", [f"seed={seed}", *settings])
        (run / "config.yaml").write_text(yaml.safe_dump(options.tree))
        found[name] = run
        return run

    return make


@pytest.fixture(scope="session")
def six(made) -> list[Path]:
    """Three seeds each of a poor and a good method."""
    poor = [made(f"cam-{seed}", 0.5 + seed / 50, seed=seed) for seed in range(3)]
    return poor + [made(f"clims-{seed}", 0.2 + seed / 50, "clims", seed=seed) for seed in range(3)]


def score(run: Path, name: str = "miou") -> float:
    return json.loads((run / "metrics.json").read_text())[0]["scores"][name]


def test_seeds_make_a_row(six):
    (table,) = compare(six).tables
    poor, good = table.rows
    assert [row.label for row in table.rows] == ["cam", "clims"]
    assert (poor.seeds, good.seeds) == (("0", "1", "2"), ("0", "1", "2"))
    values = [score(run) for run in six[:3]]
    assert (poor.miou.mean, poor.miou.std) == pytest.approx((mean(values), stdev(values)))
    values = [score(run, "mean_dice") for run in six[3:]]
    assert (good.dice.mean, good.dice.std) == pytest.approx((mean(values), stdev(values)))


def test_differences_are_paired(six):
    (table,) = compare(six, replicates=200).tables
    assert table.rows[0].difference is None
    apart = table.rows[1].difference
    assert apart.against == "cam"
    assert apart.mean == pytest.approx(table.rows[1].miou.mean - table.rows[0].miou.mean)
    assert 0 < apart.low < apart.mean < apart.high < 1
    assert apart.sources == 3  # patients, not images
    assert any("3 patients are few" in note for note in table.notes)
    (other,) = compare(six, against="clims", replicates=200).tables
    assert other.rows[0].difference.low == pytest.approx(-apart.high)
    assert compare(six, replicates=200) == compare(six, replicates=200)


def test_one_source_gives_no_interval(six, tmp_path):
    for name, run in zip("ab", (six[0], six[3]), strict=True):
        shutil.copytree(run, tmp_path / name)
        path = tmp_path / name / "masks/test/per_image.csv"
        with path.open() as file:
            rows = list(csv.DictReader(file))
        with path.open("w") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows({**row, "patient": "same"} for row in rows)
    (table,) = compare([tmp_path / "a", tmp_path / "b"]).tables
    apart = table.rows[1].difference
    assert apart.mean == pytest.approx(score(six[3]) - score(six[0]))
    assert (apart.low, apart.high, apart.sources) == (None, None, 1)
    assert any("There are no intervals: all images are of one patient" in note for note in table.notes)


def test_only_seeds_that_both_have_are_compared(six):
    (table,) = compare([six[0], six[1], six[4], six[5]]).tables
    assert table.rows[1].difference.seeds == ("1",)
    assert table.rows[1].difference.mean == pytest.approx(score(six[4]) - score(six[1]))
    (table,) = compare([six[0], six[4]]).tables
    assert "no seed in common (1 against 0)" in table.rows[1].difference.why_not


def test_one_seed_has_no_deviation(six):
    (table,) = compare([six[0]]).tables
    assert table.rows[0].miou.std is None


def test_published_numbers_under_the_same_rules_are_shown(made, six):
    (table,) = compare(six).tables
    expected = [
        row
        for row in CARD.published
        if (row.what, row.split, row.protocol, row.gate) == ("masks", "test", "mlps", "none")
    ]
    assert list(table.published) == expected
    oracle = made("oracle", 0.3, "names", gate="oracle")
    (table,) = compare([oracle]).tables
    assert all(row.gate == "oracle" for row in table.published)


def test_rows_that_are_missing_are_explained(made, six):
    other = made("other", 0.3, "names", protocol="tpro")
    gated = made("gated", 0.3, "cam+", gate="oracle")
    report = compare([*six, other, gated], against="cam")
    assert len(report.tables) == 3
    plain = next(table for table in report.tables if (table.key.protocol, table.key.gate) == ("mlps", "none"))
    assert any(
        "names: not in this table, because it was scored under the protocol 'tpro'" in note for note in plain.notes
    )
    assert any("cam+: not in this table" in note and "gate oracle" in note for note in plain.notes)
    alone = next(table for table in report.tables if table.key.gate == "oracle")
    assert any("'cam' is not in this table" in note for note in alone.notes)
    assert alone.rows[0].difference is None


def test_other_options_make_another_row(made, six):
    refined = made("refined", 0.4, "cam", "masks.refiner=crf")
    later = made("later", 0.4, "cam", "seg.train.epochs=3", seed=7)  # a segmenter does not touch masks
    (table,) = compare([*six[:3], refined, later]).tables
    assert [row.label for row in table.rows] == ["cam (masks.refiner=none)", "cam (masks.refiner=crf)"]
    assert table.rows[0].seeds == ("0", "1", "2", "7")
    assert table.rows[1].difference.against == "cam (masks.refiner=none)"


def test_the_same_run_counts_once(made, six, tmp_path):
    shutil.copytree(six[0], tmp_path / "copy")
    (table,) = compare([six[0], six[0], tmp_path / "copy"]).tables
    assert len(table.rows[0].runs) == 1
    assert any("is left out" in note for note in table.notes)


def test_tables_of_other_images_or_another_score_are_refused(six, tmp_path):
    def damaged(name: str, file: str, change) -> Path:
        shutil.copytree(six[3], tmp_path / name)
        path = tmp_path / name / file
        path.write_text("".join(change(path.read_text().splitlines(keepends=True))))
        return tmp_path / name

    def why(run: Path) -> str:
        (table,) = compare([six[0], run]).tables
        return table.rows[1].difference.why_not

    counts, images = "masks/test/counts.csv", "masks/test/per_image.csv"
    assert "do not give the scores of" in why(damaged("shorter", counts, lambda lines: lines[:-1]))
    assert "does not fit" in why(damaged("wordy", counts, lambda lines: [*lines, "ghost,tumor,1,1,1\n"]))
    more = why(damaged("more", images, lambda lines: [*lines, lines[-1].replace(lines[-1].split(",")[1], "9999")]))
    assert "other images were scored (4 against 3 sources)" in more
    gone = damaged("gone", counts, lambda lines: lines)
    (gone / counts).unlink()
    assert "holds no counts.csv. Score it again" in why(gone)


def test_runs_that_cannot_be_read_are_refused(six, tmp_path):
    with pytest.raises(UsageError, match=r"holds no config\.yaml"):
        compare([tmp_path])
    with pytest.raises(UsageError, match=r"no row 'clms'.*Did you mean 'clims'"):
        compare(six, against="clms")
    run = tmp_path / "run"
    shutil.copytree(six[0], run)
    (run / "stages.json").write_text(json.dumps({"evaluate": {"state": "outdated", "hash": ""}}))
    with pytest.raises(UsageError, match="is not finished"):
        compare([run])
    (run / "stages.json").unlink()
    (run / "metrics.json").write_text('[{"what": "masks"}]')
    with pytest.raises(BadFile, match="not in the format of this version"):
        compare([run])
    (run / "metrics.json").write_text("[]")
    with pytest.raises(UsageError, match="Nothing was scored"):
        compare([run])


def test_the_table_is_written(six, tmp_path):
    report = compare(six, out=tmp_path / "table.csv")
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    ours = [row for row in rows if row["source"].startswith("runs:")]
    assert [row["method"] for row in ours] == ["cam", "clims"]
    assert float(ours[1]["difference"]) == pytest.approx(report.tables[0].rows[1].difference.mean, abs=1e-6)
    assert len(rows) == 2 + len(report.tables[0].published)
    assert json.loads(json.dumps(report.as_json()))[0]["rows"][1]["label"] == "clims"


def test_a_whole_run_compares_with_one_of_another_seed(finished, copied):
    config = yaml.safe_load((copied / "config.yaml").read_text())
    config["method"] = "other"
    (copied / "config.yaml").write_text(yaml.safe_dump(config))
    report = compare([finished, copied])
    assert [table.key.what for table in report.tables] == ["cams", "masks", "seg"]
    for table in report.tables:
        assert (table.rows[1].difference.low, table.rows[1].difference.high) == (0, 0)
