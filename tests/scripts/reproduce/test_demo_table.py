"""The table of several demos, made from scores written by hand."""

import json
import subprocess
import sys

import pytest


@pytest.fixture
def demo(tmp_path):
    """A folder of a demo with two rows."""

    def make(seed, miou="0.5", size="full"):
        folder = tmp_path / f"{size}-{seed}-{miou}"
        folder.mkdir()
        (folder / "demo.json").write_text(json.dumps({"format": 1, "name": size, "seed": seed}))
        lines = ["what,method,miou,against,difference", "seg,cam+,0.4,,", f"seg,clims,{miou},cam+,0.1"]
        (folder / "scores.csv").write_text("\n".join(lines) + "\n")
        return folder

    return make


@pytest.fixture
def table(checkout):
    """Standard output and errors of the script for some folders."""

    def run(*folders):
        command = [sys.executable, checkout / "scripts" / "reproduce" / "demo_table.py", *folders]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout, done.stderr

    return run


def test_means_and_gains_over_seeds(demo, table):
    out, err = table(demo(0, "0.5"), demo(1, "0.6"))
    assert not err
    assert "against cam+" in out.splitlines()[0]
    assert out.splitlines()[-1] == "| clims |  |  |  |  | 55.0 ± 7.1 | +10.0 (+10.0, +10.0) |"


def test_demos_that_cannot_be_averaged_are_refused_in_a_sentence(demo, table, tmp_path):
    first = demo(0)
    unfinished = demo(2)
    (unfinished / "scores.csv").unlink()
    for other, why in (
        (demo(0, "0.7"), "both have the seed 0"),
        (demo(1, size="quick"), "different sizes"),
        (demo(1, ""), "no mIoU of clims (seg)"),
        (unfinished, "does not exist"),
        (tmp_path / "nothing", "demo.json cannot be read: No such file"),
    ):
        out, err = table(first, other)
        assert not out
        assert why in err
        assert "Traceback" not in err
