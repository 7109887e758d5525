"""Interrupted slides are continued and give the same bytes."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from qaclims_path.data.phantoms.slide import paint_slide
from qaclims_path.pipeline.inference.inputs import SegmentInputs, collect
from qaclims_path.pipeline.inference.model import SegmentModel
from qaclims_path.pipeline.inference.options import SegmentOptions
from qaclims_path.pipeline.inference.segment import segment
from qaclims_path.pipeline.inference.slides import process
from qaclims_path.slides.cohort.state import read_state
from qaclims_path.slides.grid import make_grid
from qaclims_path.slides.prefetch import PrefetchBackend, prefetched
from qaclims_path.slides.reader import open_slide
from qaclims_path.slides.streaming import iter_tiles

OPTIONS = SegmentOptions(size=64, precision="fp32")


class Counting(SegmentModel):
    """Counts batches, and fails after some."""

    batches, most = 0, 10**9

    def of_tiles(self, factor=1.0):
        predict = super().of_tiles(factor)

        def counting(tiles):
            self.batches += 1
            if self.batches > self.most:
                raise KeyboardInterrupt
            return predict(tiles)

        return counting


@pytest.fixture(scope="module")
def undisturbed(model, slides, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "maps"
    segment(model, SegmentInputs((str(slides / "s1.tiff"),)), out, OPTIONS)
    return contents(out)


def contents(out):
    files = {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    return {name: content for name, content in files.items() if name.startswith("slides/")}


def begun(model, slides, out):
    looks = Counting(model, OPTIONS, "cpu")
    [task], _ = collect(SegmentInputs((str(slides / "s1.tiff"),)), out, OPTIONS)
    return looks, task


def test_a_killed_run_continues_inside_the_slide(model, slides, undisturbed, tmp_path):
    looks, task = begun(model, slides, tmp_path)
    assert process(replace(task, out=tmp_path / "whole"), looks, 4).status == "done"
    whole, looks.batches, looks.most = looks.batches, 0, round(0.9 * looks.batches)
    with pytest.raises(KeyboardInterrupt):
        process(task, looks, 4)
    assert (tmp_path / "slides" / ".s1.part" / "band-00000.npz").exists()
    assert not task.is_done()
    (tmp_path / "slides" / ".s1.123.part.geojson").touch()  # of a process that was killed
    looks.batches, looks.most = 0, whole
    assert process(task, looks, 4).status == "done"
    assert looks.batches < 0.5 * whole
    assert contents(tmp_path) == undisturbed
    assert task.is_done()
    assert read_state(tmp_path, "s1").attempts == 2


def test_a_finished_map_is_not_made_again(model, slides, undisturbed, tmp_path):
    """Killed between the map and its outlines: a folder has the name of the overlay, so writing it fails."""
    looks, task = begun(model, slides, tmp_path)
    taken = tmp_path / "slides" / "s1_overlay.jpg"
    taken.mkdir(parents=True)
    (taken / "x").write_text("")
    assert process(task, looks, 4).status == "failed"
    (taken / "x").unlink()
    taken.rmdir()
    looks.batches = 0
    assert process(task, looks, 4).status == "done"
    assert looks.batches == 0
    assert contents(tmp_path) == undisturbed
    task.result.unlink()
    assert not task.is_done()
    assert process(task, looks, 4).status == "done"
    assert looks.batches > 0


def test_a_finished_map_of_another_pixel_size_is_made_again(model, tmp_path):
    Image.fromarray(paint_slide(3, (400, 300))[0]).save(tmp_path / "bare.png")
    options = OPTIONS.model_copy(update={"kind": "slides"})
    looks, out = SegmentModel(model, options, "cpu"), tmp_path / "out"
    taken = out / "slides" / "bare_overlay.jpg"
    taken.mkdir(parents=True)
    (taken / "x").write_text("")
    for mpp in (0.5, 0.25):
        [task], _ = collect(SegmentInputs((str(tmp_path / "bare.png"),), slide_mpp=mpp), out, options)
        state = process(task, looks, 4)
        if taken.is_dir():
            assert state.status == "failed"
            (taken / "x").unlink()
            taken.rmdir()
    fresh = process(replace(task, out=tmp_path / "fresh"), looks, 4)
    assert (state.status, state.result) == ("done", fresh.result)
    assert contents(out) == contents(tmp_path / "fresh")


RUN = """
import sys
from pathlib import Path
from qaclims_path.pipeline.inference.segment import segment
from qaclims_path.pipeline.inference.options import SegmentOptions
from qaclims_path.pipeline.inference.inputs import SegmentInputs

model, slide, out, options = sys.argv[1:]
segment(model, SegmentInputs((slide,)), Path(out), SegmentOptions.model_validate_json(options))
"""


@pytest.mark.slow
def test_a_run_that_is_killed_after_a_band_is_resumed(model, slides, undisturbed, tmp_path, killed_after):
    slide, out = slides / "s1.tiff", tmp_path / "maps"
    killed_after("qaclims_path.slides.maps.parts.BandParts.add", 1, RUN, model, slide, out, OPTIONS.model_dump_json())
    assert [path.name for path in out.glob("slides/.s1.part/band-*")] == ["band-00000.npz"]
    assert segment(model, SegmentInputs((str(slide),)), out, OPTIONS).complete
    assert contents(out) == undisturbed


@pytest.mark.parametrize("threads", [1, 3])
def test_tiles_read_ahead_are_the_same(slides, threads):
    with open_slide(slides / "s0.tiff") as plain, prefetched(open_slide(slides / "s0.tiff"), 3, threads) as slide:
        grid = make_grid(plain.info, size=100, mpp=0.7, overlap=0.2, pad=True)
        pairs = list(zip(iter_tiles(plain, grid), iter_tiles(slide, grid), strict=True))
        assert len(pairs) == len(grid) > 20
        assert all(np.array_equal(one, other) for (_, one), (_, other) in pairs)
        assert slide.info == plain.info


@pytest.mark.parametrize("threads", [1, 3])
def test_a_slide_that_is_read_ahead_can_be_closed_at_any_time(slides, threads):
    slide = prefetched(open_slide(slides / "s0.tiff"), 2, threads)
    assert isinstance(slide.backend, PrefetchBackend)
    tiles = iter_tiles(slide, make_grid(slide.info, size=64, mpp=0.5))
    next(tiles)
    slide.close()
    tiles.close()
