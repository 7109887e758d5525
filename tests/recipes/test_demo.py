"""The demo makes, checks and scores a phantom data set, and can be run again."""

from pathlib import Path

import numpy as np
import pytest

from qaclims_path.errors import QaclimsError
from qaclims_path.recipes.demo import demo, nearest_color


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "demo"
    demo(folder, quick=True)
    return folder


def test_a_second_demo_uses_the_data_again_and_gives_the_same_scores(out: Path) -> None:
    before = (out / "scores" / "metrics.json").read_bytes()
    made = (out / "data").stat().st_mtime_ns
    report = demo(out, quick=True)
    assert (out / "data").stat().st_mtime_ns == made
    assert (out / "scores" / "metrics.json").read_bytes() == before
    assert report.check.passed
    assert report.as_json()["scores"]["dataset"] == "phantom"


def test_colour_alone_is_better_than_nothing_and_far_from_solved(out: Path) -> None:
    miou = demo(out, quick=True).scores.scores.miou
    assert 0.1 < miou < 0.7


def test_other_options_in_the_same_place_are_refused(out: Path) -> None:
    with pytest.raises(QaclimsError, match="other options"):
        demo(out, quick=True, seed=1)


def test_damaged_data_is_not_scored(out: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "demo"
    shutil.copytree(out, copy)
    image = next((copy / "data" / "val").rglob("*.png"))
    image.write_bytes(image.read_bytes()[:100])
    with pytest.raises(QaclimsError, match="damaged"):
        demo(copy, quick=True)


def test_nearest_color_against_its_slow_twin() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    image[:] = image.mean(axis=(0, 1)).astype(np.uint8)  # constant, so that smoothing changes nothing
    colors = np.array([[0.0, 0, 0], image[0, 0] + 1.0, [255, 255, 255]])
    assert (nearest_color(image, colors) == 1).all()
