"""Do one run, in a process of its own so that its memory is measured alone, and count its results."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from qaclims_path.compute.confusion import confusion_matrix
from qaclims_path.compute.scores import class_counts
from qaclims_path.config import parse, read_yaml
from qaclims_path.data.card import Card
from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import list_records
from qaclims_path.data.protocol import Protocol, load_protocol
from qaclims_path.data.pseudo import LABELS
from qaclims_path.data.record import MaskFile, Record, truth_of
from qaclims_path.data.split import open_split
from qaclims_path.engine.settings import RunSettings
from qaclims_path.files.atomic import atomic_path, write_json
from qaclims_path.models.judges import load_judge
from qaclims_path.pipeline.corpus.build import build_corpus
from qaclims_path.pipeline.corpus.options import CorpusOptions
from qaclims_path.pipeline.judge.options import JudgeProbeOptions, JudgeTrainOptions
from qaclims_path.pipeline.judge.probe import probe_judge
from qaclims_path.pipeline.judge.train import train_judge
from qaclims_path.pipeline.masks.make import make_masks
from qaclims_path.pipeline.masks.options import MaskOptions
from qaclims_path.pipeline.run.pipeline import do_run, plan_run
from qaclims_path.pipeline.run.steps import Run
from reproduce.glands import gather
from reproduce.plan import HERE, START, Job, Set

COUNTS = "counts.npz"
PROBE = "judge-probe.json"
SPLIT = "val"
ABOUT = "evaluate", "report"  # stages that do not change maps, masks or predictions


def do_job(job: Job, threads: int) -> None:
    """Do a run, or the rest of it, and count its results; the counts are written last."""
    prepare(threads)
    if job.row not in (START, "supervised"):
        _start(job, threads)
    options = job.options()
    corpus = _corpus(job, options.corpus) if options.corpus is not None else None
    run = replace(_run(job, threads), options=options, corpus=corpus)
    if any(step.action != "skip" and step.stage.name not in ABOUT for step in plan_run(run)):
        (job.out / COUNTS).unlink(missing_ok=True)  # counts of maps, masks or predictions that are made again
    if do_run(run, say=_say).done or not (job.out / COUNTS).is_file():
        _count(job)


def do_judge(job: Job, threads: int) -> None:
    """Train the judge of a tissue from image-level labels, and probe it on regions of the validation images."""
    prepare(threads)
    card, plan = load_card(job.card), job.plan
    if not plan.judge and job.of.judge == "trained":
        tree = read_yaml(HERE / "recipes" / job.of.recipes / "judge.yaml") | ({"epochs": 1} if plan.quick else {})
        options = parse(JudgeTrainOptions, tree, "judge.yaml")
        weights = plan.data / "weights" / f"{options.tower}.imagenet.safetensors"
        start = weights if weights.is_file() else None
        running = RunSettings(precision=plan.precision, loggers=("csv",))
        taught, root = job.lesson
        if job.of.taught:
            gather(taught.parent, plan.data, root)
        lesson = load_card(taught)
        train_judge(
            lesson, root, job.judge_folder, options=options, split="train", image_weights=start, running=running
        )
    judge = load_judge(str(job.options().shared.judge.id))
    found = probe_judge(judge, card, job.root, JudgeProbeOptions(split=SPLIT))
    regions = found.regions
    write_json(
        plan.out / job.of.name / PROBE,
        {
            "judge": found.judge,
            "revision": found.revision,
            "regions_balanced_accuracy": regions.balanced_accuracy if regions else None,
            "regions_auc": dict(zip(found.classes, regions.auc, strict=True)) if regions else {},
            "images_auc": dict(zip(found.classes, found.images.auc, strict=True)),
        },
    )


def prepare(threads: int) -> None:
    """Prepare a process: set its threads, and register the bridge judges where they are not installed."""
    torch.set_num_threads(threads)
    folder = str(HERE.parent / "bridge_judge")
    if folder not in sys.path:
        sys.path.append(folder)
    from qaclims_bridge import register

    register()


def _count(job: Job) -> None:
    """Count every validation image under maps, masks and segmenter (N n 3 each), in one file.

    Counts of an earlier run that are not requested now are kept.
    """
    card = load_card(job.card)
    rules = load_protocol(card.protocols[0])
    records = list_records(card, job.root, SPLIT)
    what, found = job.options().evaluate.what, {}
    if "cams" in what:
        found["cams"] = _labelled_maps(job, card, rules)
    if "masks" in what:
        found["masks"] = job.out / "masks" / SPLIT / LABELS
    if "seg" in what:
        found["seg"] = job.out / "seg" / "predictions" / SPLIT
    counts = {what: _counts(folder, card, rules, records) for what, folder in found.items()}
    if (job.out / COUNTS).is_file():
        with np.load(job.out / COUNTS, allow_pickle=False) as file:
            counts = {name: file[name] for name in file if name != "images"} | counts
    names = np.array([record.id for record in records])
    with atomic_path(job.out / COUNTS) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, images=names, **counts)


def names_of(of: Set) -> tuple[str, ...]:
    """The scored classes, in the order of the counts."""
    card = load_card(HERE / "cards" / f"{of.card}.yaml")
    scored = load_protocol(card.protocols[0]).background == "score"
    return (*card.names, "background") if scored else card.names


def _labelled_maps(job: Job, card: Card, rules: Protocol) -> Path:
    """Label maps: each image at the threshold that is best on all others, because a fixed one favours some rows."""
    folder = job.out / "cams-labelled" / SPLIT
    shutil.rmtree(folder, ignore_errors=True)
    threshold = "cross-fitted" if rules.predict_background else "protocol"
    options = parse(MaskOptions, {"refiner": "none", "threshold": threshold}, "maps as labels")
    make_masks(job.out, open_split(card, job.root, SPLIT), options, out=folder)
    return folder / LABELS


def _counts(folder: Path, card: Card, rules: Protocol, records: list[Record]) -> NDArray[np.int64]:
    """N n 3: numbers of correct, true and predicted pixels of every image and scored class."""
    found = []
    for record in records:
        path = folder / f"{record.id}.png"
        labels = card.decode(MaskFile(path).codes(), path)
        found.append(class_counts(confusion_matrix(truth_of(card, record), labels, len(card.names)), rules.background))
    return np.stack(found)


def _corpus(job: Job, options: CorpusOptions) -> Path:
    """Build the corpus; it is shared by all rows and seeds with the same judge and answerer."""
    judge = "control" if job.row == "control" else "judge"
    path = job.plan.out / job.of.name / f"answers-{judge}.jsonl"
    build_corpus(options, job.root, path)
    return path


def _run(job: Job, threads: int) -> Run:
    running = RunSettings(precision=job.plan.precision, loggers=("csv",))
    return Run(job.options(), job.root, job.out, running=running, threads=threads)


def _start(job: Job, threads: int) -> None:
    """Train the network that the row starts from, where that is not done."""
    run = _run(Job(job.plan, job.of, START, job.seed), threads)
    if any(step.stage.name == "cam" and step.action != "skip" for step in plan_run(run)):
        do_run(run, only="cam", say=_say)


def _say(line: str) -> None:
    if not line.endswith("not asked for"):
        print(f"    {line}", flush=True)
