"""The doctor checks real libraries and names a command for each missing one."""

import json
import os
import subprocess
import sys

import pytest

from qaclims_path.pipeline.doctor.diagnose import diagnose


def test_a_machine_that_runs_the_tests_is_healthy() -> None:
    report = diagnose()
    assert report.healthy, [f for f in report.findings if f.state == "broken"]
    seen = {(f.group, f.name): f for f in report.findings}
    for reader in ("OpenSlide", "tiffslide", "direct TIFF"):
        assert seen["readers", reader].state == "ok"
    assert seen["data", "dataset cards"].detail.startswith(("1", "2"))
    for model in ("judge", "answerer"):
        assert seen["embedded models", model].state == "ok"
        assert "not for tissue" in seen["embedded models", model].detail


def test_missing_parts_come_with_a_command() -> None:
    for finding in diagnose().findings:
        if finding.state in ("broken",) or (finding.state == "missing" and finding.group == "extras"):
            assert finding.remedy.startswith("pip install"), finding


@pytest.mark.parametrize("value", ["1", "true"])
def test_being_offline_is_reported_and_json_is_valid(value: str) -> None:
    result = subprocess.run(
        [sys.executable, "-P", "-m", "qaclims_path", "doctor", "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HF_HUB_OFFLINE": value},
    )
    report = json.loads(result.stdout)
    hub = next(f for f in report["findings"] if f["group"] == "hub")
    assert "HF_HUB_OFFLINE" in hub["detail"]
    assert report["healthy"] is True
