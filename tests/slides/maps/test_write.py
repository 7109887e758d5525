"""Segmenting a slide: scores, sizes, resuming, and disks that are full."""

import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from qaclims_path.compute.confusion import Confusion
from qaclims_path.data.phantoms.slide import PhantomSpec
from qaclims_path.data.phantoms.write import write_slide
from qaclims_path.errors import BadFile, PredictionProblem, QaclimsError
from qaclims_path.slides.grid import make_grid
from qaclims_path.slides.maps.label_tiff import Label
from qaclims_path.slides.maps.stitch import BAND, Blend
from qaclims_path.slides.maps.write import segment_slide
from qaclims_path.slides.reader import open_slide
from qaclims_path.slides.streaming import iter_tiles

COLORS = np.array([(160, 110, 180), (220, 150, 200), (120, 80, 160), (200, 120, 160), (242, 242, 242)], np.float32)
LABELS = [Label(code, name, (50 * code, 0, 99)) for code, name in enumerate("abcd")]


def by_color(tiles):
    """Probabilities of five classes by the distance of each pixel's colour from theirs."""
    distance = np.linalg.norm(tiles[:, None].astype(np.float32) - COLORS[None, :, None, None], axis=-1)
    scores = np.exp(-distance / 20)
    return scores / scores.sum(1, keepdims=True)


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    return write_slide(tmp_path_factory.mktemp("phantom"), "one", PhantomSpec(seed=5, width=1411, height=1203))


@pytest.fixture
def tall(write_tiff, tissue_like):
    return write_tiff([tissue_like(2700, 300)], compression="deflate")


def test_stitched_scores_are_those_of_the_tiles(phantom, tmp_path):
    truth = tifffile.imread(phantom.truth, key=0)
    stitched, tilewise = Confusion(4), Confusion(4)
    with open_slide(phantom.slide) as slide:
        grid = make_grid(slide.info, size=128, mpp=0.5, pad=True)
        made = segment_slide(slide, grid, by_color, Blend(5, outside=4), tmp_path / "one", labels=LABELS)
        for number, tile in iter_tiles(slide, grid):
            x, y = grid.x[number], grid.y[number]
            part = truth[y : y + 128, x : x + 128]
            best = by_color(tile[None])[0].argmax(0).astype(np.uint8)
            tilewise.add(part, np.ascontiguousarray(best[: part.shape[0], : part.shape[1]]))
    codes = tifffile.imread(made.classes)
    assert codes.shape == truth.shape == (made.height, made.width)
    stitched.add(truth, codes)
    assert np.array_equal(stitched.matrix, tilewise.matrix)
    assert np.array_equal(made.counts, np.bincount(codes.ravel(), minlength=256))
    assert [path.name for path in tmp_path.iterdir()] == ["one_classes.ome.tiff"]


@pytest.mark.parametrize("mpp", [0.5, 0.7, 1.0, 2.3])
def test_the_map_has_the_size_of_the_slide_at_the_models_pixel_size(phantom, tmp_path, mpp):
    with open_slide(phantom.slide) as slide:
        grid = make_grid(slide.info, size=100, mpp=mpp, overlap=0.3, pad=True)
        made = segment_slide(slide, grid, by_color, Blend(5), tmp_path / "one", confidence=True)
    assert (made.width, made.height) == (round(1411 * 0.5 / mpp), round(1203 * 0.5 / mpp))
    assert made.scale == (mpp / 0.5, mpp / 0.5)
    assert made.counts[255] == 0  # no pixel without a tile
    assert made.confidence is not None
    with tifffile.TiffFile(made.confidence) as tiff:
        assert tiff.series[0].shape == (made.height, made.width)
        assert f'PhysicalSizeX="{mpp}"' in tiff.ome_metadata


def run(path, out, predict=by_color, **options):
    with open_slide(path) as slide:
        grid = make_grid(slide.info, size=64, mpp=0.5, overlap=0.4, pad=True)
        return segment_slide(slide, grid, predict, Blend(5, batch=7), out / "one", confidence=True, **options)


def interrupted(path, out, after, **options):
    """Run until the predictor is interrupted after some batches."""
    left = [after]

    def tired(tiles):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return by_color(tiles)

    with pytest.raises(KeyboardInterrupt):
        run(path, out, tired, **options)


def test_a_resumed_run_gives_the_same_bytes_and_predicts_less(tall, tmp_path):
    whole = run(tall, tmp_path / "whole")
    interrupted(tall, tmp_path / "again", 50)
    kept = sorted((tmp_path / "again" / ".one.part").glob("band-*"))
    assert 1 <= len(kept) < -(-2700 // BAND)
    batches = [0]

    def counting(tiles):
        batches[0] += 1
        return by_color(tiles)

    again = run(tall, tmp_path / "again", counting)
    assert 0 < batches[0] < 75  # of 98
    for one, other in ((whole.classes, again.classes), (whole.confidence, again.confidence)):
        assert one.read_bytes() == other.read_bytes()
    assert np.array_equal(whole.counts, again.counts)


def test_bands_of_another_predictor_are_not_used(tall, tmp_path):
    whole = run(tall, tmp_path / "whole")
    interrupted(tall, tmp_path / "again", 50, identity="another model")
    again = run(tall, tmp_path / "again")
    assert whole.classes.read_bytes() == again.classes.read_bytes()


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {folder!r})
from test_write import by_color, run

path, out = Path(sys.argv[1]), Path(sys.argv[2])
bands, left = int(sys.argv[3]), iter(range(int(sys.argv[4])))

def killed(tiles):
    if len(list(out.glob(".one.part/band-*"))) >= bands and next(left, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
    return by_color(tiles)

run(path, out, killed)
"""


def test_a_run_killed_in_random_batches_ends_with_the_same_bytes(tall, tmp_path):
    whole = run(tall, tmp_path / "whole")
    script = KILLED.format(folder=str(Path(__file__).parent))
    chance, parts = random.Random(3), tmp_path / "killed" / ".one.part"
    for wanted in (1, 3):
        command = [sys.executable, "-c", script, tall, tmp_path / "killed", str(wanted), str(chance.randrange(10))]
        assert subprocess.run(command, check=False, timeout=300).returncode == -signal.SIGKILL
        assert not (tmp_path / "killed" / "one_classes.ome.tiff").exists()
        assert len(list(parts.glob("band-*"))) >= wanted
    done = run(tall, tmp_path / "killed")
    assert whole.classes.read_bytes() == done.classes.read_bytes()
    assert whole.confidence.read_bytes() == done.confidence.read_bytes()
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == [
        "one_classes.ome.tiff",
        "one_confidence.ome.tiff",
    ]


@pytest.mark.parametrize("limit", [1_000, 200_000])  # too little for a band; enough for bands but not for the map
def test_a_run_stopped_by_a_full_disk_can_be_finished(tall, tmp_path, files_up_to, limit):
    with files_up_to(limit), pytest.raises(QaclimsError, match="cannot be written: File too large") as caught:
        run(tall, tmp_path / "out")
    assert isinstance(caught.value.__cause__, OSError)
    assert not list((tmp_path / "out").glob("*.tiff"))
    run(tall, tmp_path / "out")


def test_a_folder_that_cannot_be_written_is_refused(tall, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(QaclimsError, match="cannot be written"):
        run(tall, tmp_path / "file")


def test_a_damaged_part_is_named(tall, tmp_path):
    interrupted(tall, tmp_path, 50)
    part = tmp_path / ".one.part" / "band-00000.npz"
    part.write_bytes(part.read_bytes()[:-200])
    with pytest.raises(BadFile, match=r"band-00000.npz is damaged.*Delete the folder"):
        run(tall, tmp_path)


def test_a_predictor_that_gives_nan_is_refused(tall, tmp_path):
    with pytest.raises(PredictionProblem, match="NaN"):
        run(tall, tmp_path, lambda tiles: np.full((len(tiles), 5, 64, 64), np.nan))
