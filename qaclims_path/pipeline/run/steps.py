"""Stages of a run as functions: each calls its stage with the options of the run, and resumes when called again.

Stages are imported when they are done, so that wrong options are refused before torch is imported.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from qaclims_path.config import flat, settings_of
from qaclims_path.data.cards import load_card
from qaclims_path.data.split import SplitData, open_split
from qaclims_path.engine.settings import RunSettings
from qaclims_path.errors import BadFile, Interrupted, QaclimsError
from qaclims_path.files.atomic import write_json
from qaclims_path.files.json_files import read_objects
from qaclims_path.files.processes import wait_for
from qaclims_path.pipeline.cam.map_options import MapOptions
from qaclims_path.pipeline.run.options import PREDICTING, RunOptions
from qaclims_path.pipeline.segmenter.predict_options import PredictOptions

CORPUS, METRICS, REPORT = "corpus.jsonl", "metrics.json", "report.html"
SCORES = {
    "cams": "cams/{}/scores",
    "masks": "masks/{}",
    "seg": "seg/predictions/{}/scores",
}  # folder of the scores by split
SCORED_BY = {"cams": "cams", "masks": "masks", "seg": "predict"}  # stage that scores


@dataclass(frozen=True)
class Run:
    """Options, folders and hardware of a run.

    Attributes:
        options: Options that decide the results.
        root: Folder of the data in the publisher's layout.
        out: Folder of the run.
        corpus: File of answers; it replaces the stage `corpus`.
        running: Devices, precision, workers; they change no hash.
        threads: Images that the dense CRF refines at a time.
    """

    options: RunOptions
    root: Path
    out: Path
    corpus: Path | None = None
    running: RunSettings = RunSettings()  # noqa: RUF009 - frozen
    threads: int = 1

    @property
    def dataset(self) -> str:
        """Name or path of the card."""
        return self.options.shared.dataset

    @property
    def protocol(self) -> str:
        """Name of the protocol."""
        return self.options.evaluate.protocol or load_card(self.dataset).protocols[0]

    def open(self, split: str) -> SplitData:
        """List a split of the data."""
        return open_split(self.dataset, self.root, split, self.protocol)


def do_corpus(run: Run) -> None:
    """Build the corpus."""
    from qaclims_path.pipeline.corpus.build import build_corpus

    if run.options.corpus is None:
        return
    report = build_corpus(run.options.corpus, run.root, run.out / CORPUS)
    if report.failed:
        raise BadFile(
            f"{report.failed} of {report.images} images could not be read, such as {report.failures[0]} Repair or "
            "remove them, and run the same command again: it asks about these images only."
        )


def do_cam(run: Run) -> None:
    """Train the network of the maps, and the one it starts from."""
    from qaclims_path.pipeline.cam.train import train_cam

    corpus = run.corpus or (run.out / CORPUS if run.options.corpus is not None else None)
    if _several(run.running):
        words = [run.options.recipe, "--out", str(run.out), *(["--corpus", str(corpus)] if corpus else [])]
        _train_in_command(run, "cam", [*words, *_hardware(run.running)], run.options.settings)
    else:
        train_cam(run.options.training_of_maps, run.root, run.out, corpus=corpus, running=run.running)


def do_cams(run: Run, split: str) -> None:
    """Make the maps of a split."""
    from qaclims_path.pipeline.cam.maps import make_cams
    from qaclims_path.pipeline.evaluation.stages import score_cams

    section = run.options.cams
    options = MapOptions(
        classes=classes_of(run, split), scales=section.scales, grid=section.grid, precision=run.running.precision
    )
    images = run.open(split)
    report = make_cams(run.out, images, options)
    score_cams(Path(report.folder), images)


def classes_of(run: Run, split: str) -> Literal["present", "all"]:
    """Choose the classes that get a map: present ones on the training split and where `cams.gate` says so, else all."""
    gate = run.options.cams.gate
    published = gate == "auto" and load_card(run.dataset).domain != "pathology"
    return "present" if split == run.options.shared.split or gate == "oracle" or published else "all"


def do_boundary(run: Run) -> None:
    """Train the boundary network, if the refiner needs one."""
    from qaclims_path.pipeline.masks.boundary import train_boundary

    options = run.options.boundary
    if options is None:
        return
    if _several(run.running):
        words = [str(run.out), "--split", options.split, "--dataset", run.dataset, "--protocol", run.protocol]
        settings = settings_of(flat({"masks": {"boundary": options.model_dump(mode="json")}}))
        _train_in_command(run, "boundary", [*words, *_hardware(run.running), "--threads", str(run.threads)], settings)
    else:
        train_boundary(run.out, run.open(options.split), options, running=run.running, threads=run.threads)


def do_masks(run: Run, split: str) -> None:
    """Turn the maps of a split into masks."""
    from qaclims_path.pipeline.evaluation.stages import score_masks
    from qaclims_path.pipeline.masks.make import make_masks

    images = run.open(split)
    report = make_masks(run.out, images, run.options.masks, threads=run.threads)
    score_masks(Path(report.folder), images)


def do_seg(run: Run) -> None:
    """Train the segmenter."""
    from qaclims_path.pipeline.segmenter.train import train_seg

    options = run.options.seg
    if _several(run.running):
        words = [run.options.recipe, "--out", str(run.out), *_hardware(run.running)]
        _train_in_command(run, "seg", words, run.options.settings)
    else:
        train_seg(options, run.root, run.out, running=run.running)


def do_predict(run: Run, split: str) -> None:
    """Label the images of a split with the segmenter."""
    from qaclims_path.pipeline.evaluation.stages import score_labels
    from qaclims_path.pipeline.segmenter.predict import predict

    section = run.options.evaluate.model_dump(include={*PREDICTING})
    options = PredictOptions(**section, precision=run.running.precision)
    images = run.open(split)
    report = predict(run.out, images, options)
    score_labels(Path(report.folder), images)


def do_evaluate(run: Run) -> None:
    """Gather the scores of maps, masks and predictions into one file."""
    section = run.options.evaluate
    folders = [run.out / SCORES[what].format(split) for what in section.what for split in section.splits]
    write_json(run.out / METRICS, [entry for folder in folders for entry in read_metrics(folder / METRICS)])


def do_report(run: Run) -> None:
    """Write the page of the run."""
    from qaclims_path.pipeline.run.report import ELSEWHERE, write_run_report

    if run.corpus is None:
        (run.out / ELSEWHERE).unlink(missing_ok=True)  # written by an earlier run with --corpus
    write_run_report(run.out, run.root, corpus=run.corpus)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read the entries of a `metrics.json`."""
    return read_objects(path, "Repeat the stage that writes it, with --from.")


def _several(running: RunSettings) -> bool:
    """Return whether a training takes more than one process."""
    if running.devices == "auto":
        import torch

        return torch.cuda.device_count() > 1
    return running.devices > 1


def _hardware(running: RunSettings) -> list[str]:
    """Write the settings of a training as options of its command; defaults are left out."""
    words = []
    for name, value in running.model_dump(exclude={"quiet", "nodes"}, exclude_defaults=True).items():
        option = "--logger" if name == "loggers" else f"--{name.replace('_', '-')}"
        for each in value if isinstance(value, tuple) else [value]:
            words += [option] if each is True else [option, str(each)]
    return words


def _train_in_command(run: Run, stage: str, words: Sequence[str], settings: Sequence[str]) -> None:
    """Train in a separate command, because a training on several processes starts its command again in each."""
    overrides = [word for setting in settings for word in ("--set", setting)]
    command = ["train", stage, *words, "--root", str(run.root), *overrides]
    code, stopped = wait_for([sys.executable, "-P", "-m", "qaclims_path", *command])
    if stopped or code == Interrupted.exit_code:
        raise Interrupted("The training was stopped; run the same command again to continue.")
    if code:
        raise QaclimsError(f"`qaclims {' '.join(command)}` failed; see above.")
