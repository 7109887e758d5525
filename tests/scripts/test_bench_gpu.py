"""The script that measures a GPU runs every row end to end on a CPU, and judges figures by its bars."""

import json
import os
import subprocess
import sys

import pytest
import torch


@pytest.fixture
def measure(scripts):
    from bench import gpu_measure

    return gpu_measure


@pytest.fixture
def row(measure):
    def make(**changes):
        usual = {
            "what": "`clims`, ViT-L-14",
            "kind": "step",
            "compiled": False,
            "images_per_s": 100.0,
            "ms": 11.0,
            "bare_ms": 10.0,
            "waiting": 0.05,
            "host_waits": 1.0,
            "gib": 4.0,
            "tflop": 3.0,
            "of_peak": 0.4,
        }
        return measure.Row(**usual | changes)

    return make


@pytest.mark.slow
def test_every_row_runs_on_a_cpu(checkout, tmp_path):
    command = [sys.executable, checkout / "scripts" / "bench" / "gpu.py", "--quick", "--out", tmp_path]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*map(str, command)], check=True, capture_output=True, cwd=checkout, env=environment, timeout=600)
    found = json.loads((tmp_path / "gpu.json").read_text())
    rows, lines = found["rows"], (tmp_path / "gpu.md").read_text().splitlines()
    assert found["left_out"] == {}
    assert len(rows) == 26
    assert sum(each["compiled"] for each in rows) == 11
    for method, count in (("`cam`", 4), ("`clims`", 8), ("`qa-clims-path`", 8), ("segmenter", 2), ("`segment`", 1)):
        assert sum(each["what"].startswith(method) for each in rows) == count, method
    assert all(each["ms"] > 0 and each["bare_ms"] > 0 and each["images_per_s"] > 0 for each in rows)
    assert all(each["waiting"] is each["host_waits"] is each["gib"] is None for each in rows)
    steps = [each for each in rows if each["kind"] == "step"]
    assert all(set(each["loader_ms"]) == {"decode", "draw and cut", "collate and plan"} for each in steps)
    assert all(each["tflop"] > 0 for each in steps)
    assert [line.split(" | ")[0] for line in lines[4 : 4 + len(rows)]] == [f"| {each['what']}" for each in rows]


@pytest.mark.slow
def test_without_a_gpu_the_way_out_is_named(checkout):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    command = [sys.executable, str(checkout / "scripts" / "bench" / "gpu.py")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=checkout, timeout=300)
    assert done.returncode == 1
    assert done.stderr.strip().endswith("try the script with --quick.")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"ms": 12.0}, "takes 1.20 times as long as the bare models"),
        ({"waiting": 0.2}, "the GPU waits 20% of the time"),
        ({"of_peak": 0.3}, "reaches 30% of the peak"),
        ({"kind": "segment", "ms": 12.5, "waiting": 0.2}, "reaches 80% of the speed of the bare model"),
    ],
)
def test_missed_bars_are_named(row, changes, sentence):
    assert row(**changes).missed == [f"`clims`, ViT-L-14: {sentence}"]


def test_reached_bars_are_not_named(row):
    assert row().missed == []
    assert row(what="`clims`, ViT-B-32", of_peak=0.1).missed == []
    assert row(kind="stage", ms=99.0, waiting=0.9).missed == []
    assert row(waiting=None, host_waits=None, gib=None).missed == []


def test_overlapping_spans_count_once(measure):
    assert measure.covered([(5, 6), (0, 4), (1, 2), (3, 4.5)]) == pytest.approx(5.5)
    assert measure.covered([]) == 0


def test_operations_of_a_product_are_counted(measure):
    left, right = torch.ones(3, 4), torch.ones(4, 5)
    assert measure.operations(lambda: left @ right) == 2 * 3 * 4 * 5
