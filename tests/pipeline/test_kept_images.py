"""Decoded images that are kept for later epochs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from qaclims_path.data.decoded import Decoded, KeptSource, Source, first_size
from qaclims_path.engine.distributed import launch
from qaclims_path.engine.kept import open_kept
from qaclims_path.engine.settings import RunSettings
from qaclims_path.errors import UsageError


class Counting:
    """Images of different sizes, some without labels or planes, that count how often they are decoded."""

    def __init__(self) -> None:
        self.reads = 0

    def __len__(self) -> int:
        return 6

    def decoded(self, index: int) -> Decoded:
        self.reads += 1
        pixels = np.random.default_rng(index).integers(0, 256, (20 + index, 30, 3), np.uint8)
        present = None if index == 1 else torch.tensor([index % 2 == 0, True])
        planes = None if index == 2 else pixels.transpose(2, 0, 1)[:2]
        known = None if index == 1 else torch.tensor([index != 3, True])
        return Decoded(f"bild-ä{index}", pixels, present, planes, known)


def kept(source: Counting, folder: Path, running: RunSettings, **settings: object) -> Source:
    running = RunSettings.model_validate({**running.model_dump(), **settings})
    found = open_kept(folder, len(source), lambda: first_size(source), launch(running))
    return source if found is None else KeptSource(source, found)


def test_images_are_equal_and_decoded_once(tmp_path: Path, quiet: RunSettings) -> None:
    source = Counting()
    data = kept(source, tmp_path, quiet)
    source.reads = 0
    for _ in range(3):
        for index in range(len(data)):
            found, wanted = data.decoded(index), Counting().decoded(index)
            assert found.id == wanted.id
            np.testing.assert_array_equal(found.pixels, wanted.pixels)
            pairs = ((getattr(each, part) for each in (found, wanted)) for part in ("present", "planes", "known"))
            for one, other in pairs:
                assert (one is None) == (other is None)
                assert one is None or np.array_equal(one, other)
    assert source.reads == 6
    assert not list((tmp_path / "state").iterdir())


def test_too_small_a_bound_says_so_and_decodes_again(tmp_path: Path, quiet: RunSettings, capsys) -> None:
    source = Counting()
    data = kept(source, tmp_path, quiet, cache=0, quiet=False)
    assert "0.0 GB are kept in memory (--cache)" in " ".join(capsys.readouterr().err.split())
    source.reads = 0
    assert [data.decoded(0).id for _ in range(2)] == ["bild-ä0"] * 2
    assert source.reads == 2


def test_a_killed_run_leaves_nothing_to_the_next(tmp_path: Path, quiet: RunSettings) -> None:
    stale = tmp_path / "state" / "decoded-somewhere"
    stale.parent.mkdir()
    stale.write_bytes(b"old" * 100)
    kept(Counting(), tmp_path, quiet)
    assert not stale.exists()


def test_off_keeps_nothing(tmp_path: Path, quiet: RunSettings) -> None:
    source = Counting()
    assert kept(source, tmp_path, quiet, cache="off") is source


@pytest.mark.parametrize("size", [-1, "nan", "much"])
def test_impossible_sizes_are_refused(size: object, quiet: RunSettings) -> None:
    with pytest.raises((UsageError, ValueError), match="cache"):
        RunSettings.model_validate({**quiet.model_dump(), "cache": size})
