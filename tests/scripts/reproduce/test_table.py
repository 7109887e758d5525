"""Tables and pictures of all offline rows, from counts made by hand."""

from dataclasses import replace

import numpy as np
import pytest


@pytest.fixture
def results(scripts, tmp_path):
    """Two rows with three seeds over 40 images of tumor, stroma and normal; one is better on tumor."""
    from reproduce.plan import SETS, Job, Plan
    from reproduce.table import Result

    rng = np.random.default_rng(0)
    shared = rng.integers(40, 60, (40, 3))

    def result(row, seed, tumor):
        counts = np.stack([shared, np.full_like(shared, 100), np.full_like(shared, 100)], axis=2)
        counts[:, 0, 0] += tumor + seed
        return Result(Job(Plan(tmp_path, tmp_path), SETS["wsss4luad"], row, seed), {"cams": counts, "seg": counts})

    return [result("cam+", seed, 0) for seed in range(3)] + [result("qa-clims-path", seed, 20) for seed in range(3)]


def test_a_gain_is_paired(results):
    from reproduce.table import gain, miou

    base, row = results[:3], results[3:]
    point, low, high = gain(row, base, "cams")
    of = base[0].job.of
    both = [np.mean([miou(each.counts["cams"].sum(0), of) for each in side]) for side in (row, base)]
    assert point == pytest.approx(both[0] - both[1])
    assert 0 < low < point < high
    assert high - low < 0.02  # images that are hard for one row are hard for the other
    assert gain(row, [], "cams") is None


def test_the_worst_class_is_named(results):
    from reproduce.table import worst_class

    base, row = results[:3], results[3:]
    row[1].counts["cams"][:, 1, 0] -= 30
    loss, name = worst_class(row, base)
    assert loss < -0.2
    assert name == "stroma, seed 1"


def test_tables_are_written(results, runs_in, tmp_path):
    from reproduce.plan import Plan
    from reproduce.table import write_tables

    text = write_tables(results, Plan(tmp_path, tmp_path)).read_text()
    assert "| qa-clims-path | 3 |" in text
    assert "40 validation images" in text
    runs = runs_in(tmp_path)
    assert [(line["row"], line["seed"]) for line in runs][:2] == [("cam+", "0"), ("cam+", "1")]
    assert float(runs[0]["cams_low"]) < float(runs[0]["cams"]) < float(runs[0]["cams_high"])
    assert runs[0]["masks"] == ""


def test_a_gain_is_compared_with_the_controls(results, tmp_path):
    from reproduce.plan import Plan
    from reproduce.table import write_tables

    assert "against its controls" not in write_tables(results, Plan(tmp_path, tmp_path)).read_text()
    alike = [replace(each, job=replace(each.job, row="shuffled")) for each in results[3:]]
    text = write_tables([*results, *alike], Plan(tmp_path, tmp_path)).read_text()
    assert "`qa-clims-path` against its controls: CAM +0.0 [+0.0, +0.0] over `shuffled`; segmenter +0.0" in text


def test_parts_are_compared_with_the_whole(results, tmp_path):
    from reproduce.plan import Plan
    from reproduce.table import write_tables

    less = [replace(each, job=replace(each.job, row="no-floor")) for each in results[:3]]
    text = write_tables([*results, *less], Plan(tmp_path, tmp_path)).read_text()
    main, _, parts = text.partition("Parts of `qa-clims-path`")
    assert "no-floor" not in main
    assert "losses.floor" not in main
    (line,) = (line for line in parts.splitlines() if line.startswith("| `cam.losses.floor=0` | 3 |"))
    assert "(-" in line


def test_gains_of_images_are_the_differences_of_their_scores(results):
    from reproduce.pictures import gains
    from reproduce.table import miou

    base, mine = results[0], results[3]
    more = gains(base, mine)
    of = base.job.of
    assert more.shape == (40,)
    alone = [float(miou(each, of)) for each in (base.counts["cams"][7], mine.counts["cams"][7])]
    assert more[7] == pytest.approx(alone[1] - alone[0])
    mine.counts["cams"][3] = 0  # nothing there, nothing found
    assert gains(base, mine)[3] == 0
