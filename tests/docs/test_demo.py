"""The demo leaves what the README names, and its picture can be drawn again."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_quick_demo_leaves_what_the_readme_names(demo: Path) -> None:
    named = re.findall(r"`demo/([^`]+)`", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(named) >= 4
    assert [name for name in named if not (demo / name).exists()] == []


@pytest.mark.slow
def test_the_picture_can_be_drawn_again(demo: Path, environment: dict[str, str], tmp_path: Path) -> None:
    script = ROOT / "scripts" / "reproduce" / "demo_picture.py"
    command = [sys.executable, str(script), str(demo), str(tmp_path / "demo.jpg"), "--slide", "DM0004"]
    subprocess.run(command, env=environment, check=True)
    with Image.open(tmp_path / "demo.jpg") as drawn, Image.open(ROOT / "docs" / "demo.jpg") as shipped:
        assert drawn.size == shipped.size
    failed = subprocess.run([*command[:-1], "DM0404"], env=environment, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert "DM0404_truth.tiff does not exist. Give the folder of a demo that is done." in failed.stderr
