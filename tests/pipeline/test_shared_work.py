"""Two processes that share masks and a validation write the files and get the numbers of one."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qaclims_path.data.cards import load_card
from qaclims_path.data.fake import write_fake
from qaclims_path.data.listing import list_records
from qaclims_path.engine.distributed import launch
from qaclims_path.engine.settings import RunSettings
from qaclims_path.files.maps import ImageMaps, MapWriter

SCRIPT = Path(__file__).with_name("shared_work.py")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def write_maps(run: Path, card, data: Path) -> None:
    """Maps of noise; the second image has none, so its masks fail."""
    images = []
    for row, record in enumerate(list_records(card, data, "train")):
        height, width = record.image.pixels().shape[:2]
        shape = (len(record.present), (height + 3) // 4, (width + 3) // 4)
        maps = np.random.default_rng(row).random(shape).astype(np.float16)
        if row != 1:
            images.append(ImageMaps(record.id, record.present, (height, width), maps))
    settings = {"dataset": card.name, "split": "train", "gate": "oracle", "model": "0" * 16}
    writer = MapWriter(run / "cams" / "train", card.names, settings)
    writer.write(0, images)
    writer.finish(1)


def files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.mark.slow
def test_two_processes_do_the_work_of_one(tmp_path: Path, one_thread: None) -> None:
    card, run, data = load_card("bcss-wsss"), tmp_path / "run", tmp_path / "data"
    write_fake(card, data, images=5)
    write_maps(run, card, data)
    spec = importlib.util.spec_from_file_location("shared_work", SCRIPT)
    work = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(work)
    alone = work.share(run, data, tmp_path / "one", launch(RunSettings(devices=1, accelerator="cpu")))
    two = tmp_path / "two"
    two.mkdir()
    command = [*TORCHRUN, str(SCRIPT), str(run), str(data), str(two)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    assert [json.loads((two / f"{rank}.json").read_text()) for rank in (0, 1)] == [alone, alone]
    assert (alone["masks"]["images"], list(alone["masks"]["failed"])) == (4, [list_records(card, data, "train")[1].id])
    assert alone["miou"] > 0
    assert files(tmp_path / "one" / "masks") == files(two / "masks")
