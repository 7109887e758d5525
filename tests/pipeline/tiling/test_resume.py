"""Tiling that is killed, sharded, short of disk, or on a Ray cluster gives the same bytes."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qaclims_path.data.phantoms.slide import PhantomSpec
from qaclims_path.data.phantoms.write import write_slide
from qaclims_path.errors import QaclimsError
from qaclims_path.files.lock import Locked, locked
from qaclims_path.files.shards import Shard
from qaclims_path.pipeline.tiling.options import TileOptions, WorkOptions
from qaclims_path.pipeline.tiling.tile import TileInputs, tile
from qaclims_path.slides.problems import OutOfSpace

OPTIONS = TileOptions(annotations="complete", mpp=0.5, size=64, stride=32, write="png", stain="macenko")
RUN = """
import sys
from pathlib import Path
from qaclims_path.pipeline.tiling.options import WorkOptions
from qaclims_path.pipeline.tiling.tile import TileInputs, tile
from qaclims_path.pipeline.tiling.options import TileOptions
if __name__ == "__main__":
    slides, out, options, workers = sys.argv[1:]
    how = WorkOptions(workers=int(workers))
    tile(TileInputs((slides,), labels=Path(slides)), Path(out), TileOptions.model_validate_json(options), how)
"""

KILLED = """
import multiprocessing, os, signal, time
from qaclims_path.pipeline.tiling import slide as tile_slide

whole = tile_slide.write_tiles

def cut_off(tiles):
    for number, tile in tiles:
        if number == 20:
            os.kill((multiprocessing.parent_process() or multiprocessing.current_process()).pid, signal.SIGKILL)
            time.sleep(600)  # a worker must not be done before it follows its parent
        yield number, tile

def write_tiles(folder, tiles, *given, **more):
    whole(folder, cut_off(tiles) if folder.name == "s1" else tiles, *given, **more)

tile_slide.write_tiles = write_tiles
"""


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms") / "slides"
    for i in range(4):
        write_slide(folder, f"s{i}", PhantomSpec(i, 768, 768, mpp=0.5, patient=f"P{i}"))
    return folder


@pytest.fixture(scope="module")
def undisturbed(slides, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "tiles"
    tile(TileInputs((str(slides),), labels=slides), out, OPTIONS)
    return contents(out)


def contents(out):
    """Every file except the states of slides."""
    files = {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    return {name: content for name, content in files.items() if not name.startswith("state/")}


def same(found, expected):
    """Compare names first, because pytest prints all bytes otherwise."""
    assert sorted(found) == sorted(expected)
    assert [name for name in found if found[name] != expected[name]] == []


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_killed_run_is_resumed(slides, undisturbed, tmp_path, workers):
    """The second slide is half tiled; the pipe ends when the workers have ended with their parent."""
    out, script = tmp_path / "tiles", tmp_path / "run.py"
    script.write_text(KILLED + RUN)  # a file, which workers read, too
    command = [sys.executable, script, slides, out, OPTIONS.model_dump_json(), str(workers)]
    killed = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=300)
    assert killed.returncode == -signal.SIGKILL, killed.stdout
    assert list(out.glob("tiles/.s1*/*.png"))
    assert not (out / "manifest.csv").exists()
    for name in ("quality/.s1.1.part.jpg", "stain/.s1.1.part.json", "geojson/.s1.1.part.geojson"):  # killed anywhere
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).touch()
    report = tile(TileInputs((str(slides),), labels=slides), out, OPTIONS)
    assert report.failed == 0
    same(contents(out), undisturbed)
    assert json.loads((out / "state" / "s1.json").read_text())["attempts"] == 2


def test_shards_join_to_the_same_bytes(slides, undisturbed, tmp_path):
    out = tmp_path / "tiles"
    given = TileInputs((str(slides),), labels=slides)
    first = tile(given, out, OPTIONS, WorkOptions(shard=Shard(1, 3)))
    assert (first.tiled, first.complete) == (2, False)
    assert not (out / "manifest.csv").exists()
    assert [line.status for line in first.slides] == ["done", "waiting", "waiting", "done"]
    assert not tile(given, out, OPTIONS, WorkOptions(shard=Shard(3, 3))).complete
    assert tile(given, out, OPTIONS, WorkOptions(shard=Shard(2, 3))).complete
    same(contents(out), undisturbed)


def test_two_at_once_are_refused_but_shards_share(slides, tmp_path):
    out = tmp_path / "tiles"
    given = TileInputs((str(slides / "s0.tiff"), str(slides / "s1.tiff")))
    with locked(out / "state" / "run.lock"), pytest.raises(Locked, match=rf"{out} is being written by process"):
        tile(given, out, OPTIONS)
    with locked(out / "state" / "run.lock", shared=True), locked(out / "state" / "run-1-of-2.lock"):
        assert tile(given, out, OPTIONS, WorkOptions(shard=Shard(2, 2))).tiled == 1
        with pytest.raises(Locked):
            tile(given, out, OPTIONS, WorkOptions(shard=Shard(1, 2)))


def test_a_full_disk_ends_the_run_with_one_sentence(slides, tmp_path):
    """A limit on the size of files replaces a full disk; only the message of the system differs."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    out = tmp_path / "tiles"
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, before[1]))
        with pytest.raises(OutOfSpace, match=r"cannot be written: .*Choose another folder"):
            tile(TileInputs((str(slides),), labels=slides), out, OPTIONS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (out / "manifest.csv").exists()
    assert not (out / "slides").exists()
    assert tile(TileInputs((str(slides),), labels=slides), out, OPTIONS).failed == 0


def test_a_slide_that_disappears_is_recorded(slides, tmp_path, monkeypatch):
    """A slide that is removed after the list was made."""
    folder = tmp_path / "slides"
    shutil.copytree(slides, folder)
    table = tmp_path / "slides.csv"
    table.write_text("slide\nslides/s0.tiff\nslides/s1.tiff\n")
    (folder / "s0.tiff").unlink()
    report = tile(TileInputs((str(table),)), tmp_path / "tiles", OPTIONS)
    assert [line.status for line in report.slides] == ["failed", "done"]
    assert "does not exist" in report.slides[0].error
    (folder / "s1.tiff").unlink()  # done already: not needed any more
    assert [line.status for line in tile(TileInputs((str(table),)), tmp_path / "tiles", OPTIONS).slides] == [
        "failed",
        "done",
    ]


@pytest.mark.slow
def test_a_worker_that_dies_fails_its_slide_only(slides, tmp_path):
    """The reader of one slide ends its process, as the kernel does for lack of memory; a later slide is tiled."""
    folder, script = tmp_path / "slides", tmp_path / "run.py"
    folder.mkdir()
    for name in ("s0", "s1", "s3"):
        (folder / f"{name}.tiff").symlink_to(slides / f"{name}.tiff")
    script.write_text(
        "import os\nfrom qaclims_path.slides.readers import SLIDE_READERS\n"
        "SLIDE_READERS.add('deadly')(\n"
        "    lambda path: os._exit(9) if path.endswith('s1.tiff') else SLIDE_READERS['tiff'](path)\n)\n" + RUN
    )
    options = OPTIONS.model_copy(update={"backend": "deadly"}).model_dump_json()
    out = tmp_path / "tiles"
    subprocess.run([sys.executable, str(script), str(slides), str(out), options, "2"], check=True, timeout=200)
    lines = {line["name"]: line for line in json.loads((out / "summary.json").read_text())["slides"]}
    assert lines["s1"]["status"] == "failed"
    assert "ended from outside" in lines["s1"]["error"]
    assert lines["s3"]["status"] == "done"


def test_ray_needs_a_cluster(slides, tmp_path, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    with pytest.raises(QaclimsError, match="No Ray cluster can be reached"):
        tile(TileInputs((str(slides),)), tmp_path / "tiles", OPTIONS, WorkOptions(engine="ray"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_ray_cluster_gives_the_same_bytes(slides, undisturbed, tmp_path, monkeypatch):
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        report = tile(TileInputs((str(slides),), labels=slides), tmp_path / "tiles", OPTIONS, WorkOptions(engine="ray"))
    finally:
        cluster.shutdown()
    assert report.failed == 0
    same(contents(Path(report.out)), undisturbed)
