"""Time how fast wrong paths, names, recipes and options are refused, and plans are shown: one processor second each.

    .venv/bin/python scripts/bench/refusals.py

Each case is a command in a fresh interpreter, on small made-up data. What counts is user and system time, because on a
busy machine the wall time says more of its other programs. `tests/cli/test_refusals.py` runs the same cases, and checks
that none imports torch or MONAI.
"""

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a script's own folder is on the path, not the one above

from bench.timing import conditions, exit_with

LIMIT = 1.0  # processor seconds
RECIPE = "bcss-wsss/cam"
DATA = ("--root", "data", "--out", "run")
SPLIT = ("--split", "val", "--root", "data")

# the words of each command, and a part of what it says
REFUSED = {
    "segment a slide that is not there": (("segment", "nowhere", "nothing.svs", "--out", "maps"), "nothing.svs"),
    "segment without a model": (("segment", "empty", "slide.png", "--out", "maps"), "holds no segmenter"),
    "a recipe mistyped": (("run", "bcss-wss/cam", *DATA), "Did you mean 'bcss-wsss/cam'?"),
    "a key mistyped": (("run", RECIPE, *DATA, "--set", "cam.train.epoch=3"), "Did you mean 'epochs'?"),
    "a setting of the method mistyped": (("run", RECIPE, *DATA, "--set", "cam.losses.aera=1"), "Did you mean 'area'?"),
    "a method mistyped": (("run", RECIPE, *DATA, "--set", "method=clim"), "Did you mean 'clims'?"),
    "a refiner mistyped": (("run", RECIPE, *DATA, "--set", "masks.refiner=paar"), "Did you mean 'par'?"),
    "a key mistyped in a section that is not read": (
        ("train", "cam", RECIPE, *DATA, "--set", "seg.train.epoch=3"),
        "Did you mean 'epochs'?",
    ),
    "a run without data": (("run", RECIPE, "--root", "nowhere", "--out", "run"), "nowhere does not exist"),
    "a run without its judge": (
        ("run", "bcss-wsss/clims", *DATA, "--set", "judge.id=null", "--dry-run"),
        "needs a judge",
    ),
    "train cam on a wrong root": (("train", "cam", RECIPE, "--root", "empty", "--out", "run"), "empty"),
    "train cam without data": (("train", "cam", RECIPE, "--root", "nowhere", "--out", "run"), "nowhere does not exist"),
    "train seg without masks": (("train", "seg", RECIPE, *DATA), "There are no masks"),
    "train boundary without maps": (("train", "boundary", "empty", "--root", "data"), "empty"),
    "cams without a network": (("cams", "empty", *SPLIT, "--dataset", "bcss-wsss"), "camnet.json"),
    "masks without maps": (("masks", "empty", *SPLIT), "empty"),
    "predict without a segmenter": (("predict", "empty", *SPLIT), "holds no segmenter"),
    "evaluate an empty folder": (("evaluate", "empty", "--dataset", "bcss-wsss", *SPLIT), "empty"),
    "evaluate a split mistyped": (
        ("evaluate", "empty", "--dataset", "bcss-wsss", "--split", "vall", "--root", "data"),
        "Did you mean 'val'?",
    ),
    "compare an empty folder": (("compare", "empty"), "holds no config.yaml"),
    "report on an empty folder": (("report", "empty"), "empty"),
    "export an empty folder": (("export", "empty", "--out", "bundle"), "holds no segmenter"),
    "slides info nothing.svs": (("slides", "info", "nothing.svs"), "nothing.svs"),
    "slides tile nothing.svs": (("slides", "tile", "nothing.svs", "--out", "tiles", "--mpp", "0.5"), "nothing.svs"),
    "datasets check a wrong root": (("datasets", "check", "bcss-wsss", "--root", "nowhere"), "nowhere"),
    "corpus build on a wrong root": (
        ("corpus", "build", "bcss-wsss", "--root", "nowhere", "--out", "corpus.jsonl"),
        "nowhere does not exist",
    ),
    "judge probe on a wrong root": (
        ("judge", "probe", "embedded", "--dataset", "bcss-wsss", "--root", "nowhere"),
        "nowhere",
    ),
    "answerer probe on a wrong root": (
        ("answerer", "probe", "retrieval:embedded", "--dataset", "bcss-wsss", "--root", "nowhere"),
        "nowhere",
    ),
    "judge train on a wrong root": (
        ("judge", "train", "--dataset", "bcss-wsss", "--root", "nowhere", "--out", "judge"),
        "nowhere",
    ),
}
SHOWN = {
    "run --dry-run": (("run", RECIPE, *DATA, "--dry-run"), "train the maps"),
    "slides tile --dry-run": (
        (
            "slides",
            "tile",
            "slide.png",
            "--out",
            "tiles",
            "--mpp",
            "1",
            "--slide-mpp",
            "1",
            "--size",
            "64",
            "--dry-run",
        ),
        "slide",
    ),
    "recipes keys": (("recipes", "keys"), "cam.train.epochs"),
    "recipes show": (("recipes", "show", RECIPE), "recipes/bcss-wsss/base"),
    "slides info": (("slides", "info", "slide.png"), "640"),
}
CASES = REFUSED | SHOWN


def prepare(folder: Path) -> None:
    """Make what the commands are given: a data set, a picture as a slide, an empty folder."""
    import numpy as np
    from PIL import Image

    from qaclims_path.data.cards import load_card
    from qaclims_path.data.fake import write_fake

    write_fake(load_card("bcss-wsss"), folder / "data", images=2)
    (folder / "empty").mkdir()
    picture = np.full((480, 640, 3), 255, np.uint8)
    picture[100:380, 150:500] = (200, 100, 180)
    Image.fromarray(picture).save(folder / "slide.png")


def processor_seconds(words: tuple[str, ...], folder: Path) -> float:
    """Return user and system seconds of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-P", "-m", "qaclims_path", *words], check=False, capture_output=True, cwd=folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print the table, and exit with 1 where a case is over the limit."""
    missed = []
    print(f"| case | processor seconds, limit {LIMIT:g} |\n|---|---|")
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name))
        for case, (words, _) in CASES.items():
            seconds = processor_seconds(words, Path(name))
            missed += [case] if seconds > LIMIT else []
            print(f"| {case} | {seconds:.2f} |", flush=True)
    print(f"\n{conditions('pydantic', 'torch', 'monai')}")
    exit_with(missed)


if __name__ == "__main__":
    main()
