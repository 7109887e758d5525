"""Measure the package on one GPU, on painted images and with random weights of real sizes; nothing is downloaded.

    python scripts/bench/gpu.py [--out gpu-figures] [--minutes 15] [--only TEXT] [--quick]

Training steps of `cam`, `clims` and `qa-clims-path` with a ResNet-50 and judges of two sizes, a segmenter, and the
stages `cams`, `masks`, `predict` and `segment`, as the commands of the package run them. Beside each of them the bare
models do their forward and backward passes on equal batches in the same process; the ratio counts. The peak that shares
refer to is measured: the fastest product of two large matrices in the precision of the steps. torch's profiler says how
long the GPU waits, and its debug mode for synchronisation how often the host does. Images are decoded in every step,
as in a first epoch.

Compiled trainings come last; rows for which the minutes do not suffice are named. `--only` takes the rows whose name
contains a text. `--quick` runs every row end to end with tiny models on a CPU; its figures mean nothing.

Writes `gpu.json` and the tables `gpu.md`. With a GPU, the exit code is 1 where a bar is missed.
"""

import argparse
import gc
import json
import logging
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a script's own folder is on the path, not the one above

import torch

from bench.gpu_data import Painted, paint
from bench.gpu_measure import HEAD, LARGE, Meter, Row, peak_of
from bench.gpu_stages import Stages, dtype
from bench.gpu_training import cam_row, segmenter_row
from bench.timing import conditions, exit_with
from qaclims_path.engine.guards import OutOfMemory
from qaclims_path.engine.probe import half_precision
from qaclims_path.engine.settings import RunSettings

METHODS, JUDGES = ("cam", "clims", "qa-clims-path"), ("ViT-B-32", LARGE)
LEAST, LEAST_COMPILED = 20, 150  # seconds that must be left for a row
COMPILED = ", compiled"  # in the names of rows
PACKAGES = "torch", "timm", "open_clip_torch", "lightning-fabric"


@dataclass(frozen=True)
class Sizes:
    """How large everything is.

    Attributes:
        backbone: Name of the backbone.
        judge: Appended to the names of judges.
        trainings: Side of the images in pixels, and images of a batch.
        images: Images of each size.
        slide: Side of the slide in pixels.
        lessons: Steps that the segmenter of the stages is trained for.
        steps: Timed steps.
        matrix: Side of the matrices whose product gives the peak.
    """

    backbone: str
    judge: str
    trainings: tuple[tuple[int, int], ...]
    images: int
    slide: int
    lessons: int
    steps: int
    matrix: int


REAL = Sizes("resnet50", "", ((224, 32), (512, 4)), 512, 8192, 40, 20, 8192)
QUICK = Sizes("test_resnet", ":tiny", ((64, 2), (96, 2)), 4, 512, 1, 1, 256)


@dataclass(frozen=True)
class Bench:
    """Everything that the rows share.

    Attributes:
        meter: Measures.
        sizes: How large everything is.
        folder: Folder for everything that is written.
        data: Painted images, by side.
    """

    meter: Meter
    sizes: Sizes
    folder: Path
    data: dict[int, Painted]

    def rows(self) -> Iterator[tuple[str, Callable[[], Row]]]:
        """Yield all rows by name, those that matter most first."""
        plain, compiled = self._running(compiled=False), self._running(compiled=True)
        side, batch = self.sizes.trainings[0]
        sizes = self.sizes
        stages = Stages(self.meter, self.folder, self.data[side], sizes.backbone, sizes.slide, sizes.lessons)
        yield from self._steps(plain, "")
        segmenter = partial(segmenter_row, self.meter, self.data[side], batch, self.sizes.backbone)
        yield "segmenter", partial(segmenter, plain)
        yield from {
            "cams": stages.cams,
            "masks": stages.masks,
            "predict": stages.predict,
            "segment": stages.segment,
        }.items()
        yield from self._steps(compiled, COMPILED)
        yield f"segmenter{COMPILED}", partial(segmenter, compiled)

    def _steps(self, running: RunSettings, note: str) -> Iterator[tuple[str, Callable[[], Row]]]:
        """Yield the training steps of all methods, judges and sizes, language first."""
        for side, batch in self.sizes.trainings:
            for method in reversed(METHODS):
                for judge in (None,) if method == "cam" else JUDGES:
                    given = (method, judge and judge + self.sizes.judge, self.data[side], batch, self.sizes.backbone)
                    name = f"{method}, {judge}, {side} px{note}"
                    yield name, partial(cam_row, self.meter, *given, running)

    def _running(self, *, compiled: bool) -> RunSettings:
        device = self.meter.device
        on_gpu = device.type == "cuda"
        return RunSettings(
            devices=1,
            accelerator="cuda" if on_gpu else "cpu",
            precision=half_precision(device) if on_gpu else "fp32",
            workers="auto" if on_gpu else 0,
            compile=compiled,
            cache="off",  # as in a first epoch
            loggers=(),
            quiet=True,
        )


def measured(bench: Bench, only: str, until: float) -> tuple[list[Row], dict[str, str]]:
    """Measure and print the rows whose name contains `only`; also return why others are left out."""
    rows: list[Row] = []
    left_out: dict[str, str] = {}
    for name, work in (row for row in bench.rows() if only in row[0]):
        if time.monotonic() > until - (LEAST_COMPILED if COMPILED in name else LEAST):
            left_out[name] = "no time was left"
            continue
        torch.manual_seed(0)
        try:
            rows.append(work())
        except (OutOfMemory, torch.OutOfMemoryError) as error:
            left_out[name] = f"the memory does not suffice: {error}"
        else:
            print(rows[-1].as_markdown(), flush=True)
        if bench.meter.device.type == "cuda":
            gc.collect()
            torch.compiler.reset()
            torch.cuda.empty_cache()
    return rows, left_out


def loader_table(rows: list[Row]) -> list[str]:
    """Return the lines of a table of the loader, a line for each size and task."""
    parts = next(row.loader_ms for row in rows if row.loader_ms)
    head = [f"| ms of one core per image | {' | '.join(parts)} | together |", "|---|" + "---|" * (len(parts) + 1)]
    found = [row for row in rows if row.loader_ms and not row.compiled]
    return head + [
        f"| {row.what} | {' | '.join(f'{row.loader_ms[part]:.2f}' for part in parts)} | "
        f"{sum(row.loader_ms.values()):.2f} |"
        for row in found
    ]


def write(out: Path, facts: dict[str, Any], rows: list[Row], left_out: dict[str, str], note: str) -> None:
    """Write JSON and tables."""
    out.mkdir(parents=True, exist_ok=True)
    content = {**facts, "rows": [row.as_json() for row in rows], "left_out": left_out}
    (out / "gpu.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    lines = [note, "", HEAD, *(row.as_markdown() for row in rows)]
    if any(row.loader_ms for row in rows):
        lines += ["", *loader_table(rows)]
    lines += ["", *(f"- Left out: {name}; {why}." for name, why in left_out.items())]
    (out / "gpu.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu-figures"))
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--only", default="", metavar="TEXT")
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    until = time.monotonic() + 60 * asked.minutes
    if not asked.quick and not torch.cuda.is_available():
        sys.exit("There is no GPU that torch can use. Ask `qaclims doctor` why, or try the script with --quick.")
    sizes = QUICK if asked.quick else REAL
    device = torch.device("cpu") if asked.quick else torch.device("cuda", 0)
    logging.disable(logging.WARNING)  # open_clip warns that weights are random
    peak = peak_of(device, dtype(device), sizes.matrix, sizes.steps)
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "CPU"
    said = conditions(*PACKAGES, threads=f"{torch.get_num_threads()} thread(s) of {os.cpu_count()} cores")
    facts = {"device": card, "quick": asked.quick, "peak_tflops": peak / 1e12, "conditions": said}
    side = f"product of two square matrices of side {sizes.matrix}"
    note = f"{card}, {said}; peak {peak / 1e12:.4g} TFLOP/s ({side})."
    print(f"{note}\n\n{HEAD}", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = {side: paint(folder / f"painted-{side}", side, sizes.images) for side, _ in sizes.trainings}
        bench = Bench(Meter(device, peak, sizes.steps), sizes, folder, data)
        with torch.compiler.set_stance("force_eager") if asked.quick else nullcontext():
            rows, left_out = measured(bench, asked.only, until)
    write(asked.out, facts, rows, left_out, note)
    exit_with([] if asked.quick else [sentence for row in rows for sentence in row.missed])


if __name__ == "__main__":
    main()
