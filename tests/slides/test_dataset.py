"""Tiles for torch have the pixels of reading one by one, with any number of workers."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from qaclims_path.compute.stain import MACENKO_TARGET, Macenko, normalise
from qaclims_path.files.shards import Shard
from qaclims_path.slides import reader
from qaclims_path.slides.dataset import SlideTileDataset, SlideTileStream, TiledSlide
from qaclims_path.slides.grid import make_grid
from qaclims_path.slides.reader import open_slide
from qaclims_path.slides.slide_cache import SlideCache


@pytest.fixture
def slides(tissue_like, write_tiff):
    """Two slides of 5 x 4 and 3 x 2 tiles, the second with labels."""
    found = []
    for name, (height, width) in {"a.tiff": (330, 260), "b.tiff": (199, 133)}.items():
        path = write_tiff([tissue_like(height, width)], name)
        with open_slide(path) as slide:
            grid = make_grid(slide.info, size=64, mpp=0.5, stride=60)
        present = np.arange(len(grid))[:, None] % 3 == np.arange(2) if name == "b.tiff" else None
        found.append(TiledSlide(str(path), grid, present=present))
    return found


def slow(slides):
    """Yield slide, corner and pixels of every tile, read one by one."""
    for tiled in slides:
        with tiled.open() as slide:
            for x, y in zip(tiled.grid.x, tiled.grid.y, strict=True):
                yield tiled.path, int(x), int(y), slide.read(x, y, 64, 64, 0.5)


def assert_same(items, slides):
    wanted = list(slow(slides))
    assert len(items) == len(wanted)
    for index, (path, x, y, tile) in enumerate(wanted):
        item = items[index]
        assert (item["slide"], item["x0"], item["y0"], item["index"]) == (path, x, y, index)
        assert (item["image"].numpy() == tile.transpose(2, 0, 1)).all()


def test_tiles_are_reached_by_number(slides):
    tiles = SlideTileDataset(slides)
    assert len(tiles) == 20 + 6
    assert_same([tiles[i] for i in range(len(tiles))], slides)
    assert (tiles[-1]["image"] == tiles[len(tiles) - 1]["image"]).all()
    for wrong in (len(tiles), -len(tiles) - 1):
        with pytest.raises(IndexError):
            tiles[wrong]


def test_streamed_tiles_are_the_same_in_order(slides):
    assert_same(list(SlideTileStream(slides)), slides)


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_leave_nothing_out_and_read_nothing_twice(slides, context):
    tiles, stream = SlideTileDataset(slides), SlideTileStream(slides, rows=2)
    assert tiles[0]["image"].shape == (3, 64, 64)  # the parent holds a slide open when it forks
    options = {"batch_size": None, "num_workers": 2, "multiprocessing_context": context}
    orders = []
    for source in (tiles, stream):
        items = list(DataLoader(source, **options))
        orders.append([item["index"] for item in items])
        assert_same(sorted(items, key=lambda item: item["index"]), slides)
    assert orders[0] == sorted(orders[0])
    assert orders[1] != sorted(orders[1])  # both workers took part


def test_the_order_of_workers_is_always_the_same(slides):
    loader = DataLoader(SlideTileStream(slides, rows=1), batch_size=4, num_workers=2, collate_fn=_indices)
    assert list(loader) == list(loader)


def _indices(items):
    return [item["index"] for item in items]


@pytest.mark.parametrize("parts", [2, 3, 50])
def test_shards_are_a_partition(slides, parts):
    shards = [SlideTileStream(slides, shard=Shard(number, parts), rows=1) for number in range(1, parts + 1)]
    found = [[item["index"] for item in shard] for shard in shards]
    assert [len(shard) for shard in shards] == [len(indices) for indices in found]
    assert sorted(index for indices in found for index in indices) == list(range(26))


def test_tiles_are_normalised_before_they_become_floats(slides):
    fit = Macenko(MACENKO_TARGET.stains, (1.0, 1.0))
    stained = SlideTileDataset([TiledSlide(each.path, each.grid, stain=fit) for each in slides], as_float=True)
    plain = SlideTileDataset(slides)[0]["image"].numpy()
    wanted = normalise(np.ascontiguousarray(plain.transpose(1, 2, 0)), fit)
    assert torch.equal(stained[0]["image"], torch.from_numpy(wanted.transpose(2, 0, 1).copy()).float() / 255)


def test_a_transform_gets_the_tile(slides):
    tiles = SlideTileDataset(slides, as_float=True, transform=lambda item: {**item, "twice": item["image"] * 2})
    assert torch.equal(tiles[0]["twice"], tiles[0]["image"] * 2)


def test_tiles_have_the_labels_of_their_slide(slides):
    tiles = SlideTileDataset(slides)
    assert "present" not in tiles[0]
    assert tiles[25]["present"].tolist() == [5 % 3 == 0, 5 % 3 == 1]
    assert tiles[25]["known"].tolist() == [True, True]


def test_tiles_say_what_is_not_known(slides):
    known = np.zeros_like(slides[1].present)
    known[:, 1] = True
    (tile, *_) = SlideTileStream([replace(slides[1], known=known)])
    assert tile["known"].tolist() == [False, True]


def test_slides_are_opened_once_and_the_least_used_is_closed(slides, monkeypatch):
    opened = []
    real = reader.open_slide
    monkeypatch.setattr(reader, "open_slide", lambda path, **options: opened.append(path) or real(path, **options))
    tiles = SlideTileDataset(slides)
    for i in (0, 25, 3, 24, 1):
        tiles[i]
    assert len(opened) == 2
    one = SlideTileDataset(slides, max_open=1)
    for i in (0, 1, 25, 24, 2):
        one[i]
    assert len(opened) == 2 + 3


def test_open_slides_are_not_pickled(slides):
    handles = SlideCache()
    handles(*slides[0].key)
    again = pickle.loads(pickle.dumps(handles))
    assert again(*slides[0].key) is not handles(*slides[0].key)
    handles.close()


def test_without_slides_or_tiles_nothing_is_yielded(slides):
    empty = TiledSlide(slides[0].path, make_grid(slides[0].open().info, size=5000, mpp=0.5))
    assert len(SlideTileDataset([])) == 0
    assert list(SlideTileStream([])) == []
    assert list(SlideTileStream([empty])) == []
    assert [item["index"] for item in SlideTileStream([empty, slides[1]])] == list(range(6))
