"""One command for the whole recipe: corpus, maps, masks, segmenter, scores, report; what is done is not done again."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from qaclims_path.config import Tree
from qaclims_path.data.card import Card
from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import list_records
from qaclims_path.engine.settings import RunSettings
from qaclims_path.errors import QaclimsError, UsageError
from qaclims_path.files.atomic import write_json, write_text
from qaclims_path.files.hub import revision_of
from qaclims_path.recipes.cams import MapOptions, make_cams
from qaclims_path.recipes.corpus_build import How, build_corpus
from qaclims_path.recipes.masks import make_masks
from qaclims_path.recipes.predict_seg import PredictOptions, predict_seg
from qaclims_path.recipes.report import write_run_report
from qaclims_path.recipes.run_options import RunOptions
from qaclims_path.recipes.stages import Stage, Step, execute, plan
from qaclims_path.recipes.train_boundary import train_boundary
from qaclims_path.recipes.train_cam import train_cam
from qaclims_path.recipes.train_seg import train_seg

CONFIG, CORPUS, METRICS, REPORT = "config.yaml", "corpus.jsonl", "metrics.json", "report.html"
FACTS = {"published", "licence", "citation", "get", "notes", "unknown", "title", "public"}  # of a card, beside the data


@dataclass(frozen=True)
class Run:
    """Where a run reads and writes, and how it computes.

    Attributes:
        options: What decides its results.
        root: The data as its publisher lays it out.
        out: Its folder.
        corpus: Answers that were made before, instead of a stage of their own.
        running: Devices, precision, workers; changes no hash.
        threads: Images that the dense CRF works on at once.
    """

    options: RunOptions
    root: Path
    out: Path
    corpus: Path | None = None
    running: RunSettings = RunSettings()  # noqa: RUF009 - frozen
    threads: int = 1


@dataclass(frozen=True)
class RunReport:
    """How a run ended: its folder, what was done in it, and the scores."""

    run: str
    done: tuple[str, ...]
    skipped: tuple[str, ...]
    metrics: tuple[dict[str, Any], ...]


def plan_run(run: Run, *, first: str | None = None, only: str | None = None) -> list[Step]:
    """Say what will become of every stage, without doing anything."""
    return plan(stages_of(run), run.out, first=first, only=only)


def do_run(
    run: Run, *, first: str | None = None, only: str | None = None, say: Callable[[str], None] = lambda _: None
) -> RunReport:
    """Do what is not done yet.

    Args:
        run: What, and where.
        first: Stage to begin again with.
        only: The one stage to do.
        say: Is told what begins.

    Example:
        >>> do_run(Run(load_run("phantom/cam"), Path("phantom"), Path("run"))).done  # doctest: +SKIP
        ('cam', 'cams', 'masks', 'seg', 'evaluate', 'report')
    """
    steps = plan_run(run, first=first, only=only)
    _check_dataset(run)
    text = yaml.safe_dump(run.options.tree, sort_keys=False, allow_unicode=True)
    write_text(run.out / CONFIG, text)
    execute(steps, run.out, say)
    metrics = run.out / METRICS
    return RunReport(
        run=str(run.out),
        done=tuple(step.stage.name for step in steps if step.action != "skip"),
        skipped=tuple(step.stage.name for step in steps if step.action == "skip"),
        metrics=tuple(json.loads(metrics.read_text(encoding="utf-8"))) if metrics.is_file() else (),
    )


def stages_of(run: Run) -> list[Stage]:
    """The stages that this run has, in order."""
    options, card = run.options, load_card(run.options.cam.dataset)
    what = options.evaluate.what
    facts = _facts(card)
    train = {**facts, "train": _images(card, run.root, options.cam.split)}
    scored = {**facts, **{split: _images(card, run.root, split) for split in options.evaluate.splits}}
    stages: list[Stage] = []
    if what != ("seg",) or not options.seg.truth:
        stages += _map_stages(run, card, train, scored)
    if "masks" in what or ("seg" in what and not options.seg.truth):
        stages += _mask_stages(run, scored)
    if "seg" in what:
        depends = {"seg": _named(options.seg.model_dump(mode="json")), **train}
        reads: tuple[str, ...] = () if options.seg.truth else ("masks",)
        stages.append(Stage("seg", "train the segmenter", 1, depends, reads, ("seg",), lambda: _seg(run)))
    reads = tuple(stage.name for stage in stages if stage.name in what)
    depends = {"evaluate": options.evaluate.model_dump(mode="json"), **scored}
    stages.append(Stage("evaluate", "score", 1, depends, reads, (METRICS,), lambda: _evaluate(run)))
    stages.append(Stage("report", "write the page", 1, {}, ("evaluate",), (REPORT,), lambda: _report(run)))
    return stages


def _map_stages(run: Run, card: Card, train: Tree, scored: Tree) -> list[Stage]:
    """Corpus, training, maps."""
    options, answers = run.options, run.options.corpus
    stages: list[Stage] = []
    if answers is not None and run.corpus is None:
        depends = {"corpus": _named(answers.model_dump(mode="json")), **train}
        made: tuple[str, ...] = (CORPUS, "corpus.config.yaml")
        stages.append(Stage("corpus", "ask about every image", 1, depends, (), made, lambda: _corpus(run)))
    depends = {"cam": _named(options.cam.model_dump(mode="json")), **train}
    if run.corpus is not None:
        depends["answers"] = _sum(run.corpus)
    made = ("cam", "init") if options.cam.init.start == "cam" else ("cam",)
    reads = tuple(stage.name for stage in stages)
    stages.append(Stage("cam", "train the maps", 1, depends, reads, made, lambda: _train_cam(run)))
    how = options.cams.model_dump(mode="json", exclude={"overlays"})
    depends = {"cams": how, "protocol": options.evaluate.protocol, **train, **scored}
    stages.append(Stage("cams", "make the maps", 1, depends, ("cam",), ("cams",), lambda: _cams(run, card)))
    return stages


def _mask_stages(run: Run, scored: Tree) -> list[Stage]:
    """Boundaries where the refiner needs them, and masks."""
    options = run.options
    rules = {"protocol": options.evaluate.protocol, **scored}
    stages: list[Stage] = []
    if options.boundary is not None:
        depends = {"boundary": _named(options.boundary.model_dump(mode="json")), **rules}
        made = ("boundary",)
        stages.append(Stage("boundary", "train the boundaries", 1, depends, ("cams",), made, lambda: _boundary(run)))
    depends = {"masks": options.masks.model_dump(mode="json", exclude={"batch"}), **rules}
    reads = ("cams", *(stage.name for stage in stages))
    stages.append(Stage("masks", "refine maps to masks", 1, depends, reads, ("masks",), lambda: _masks(run)))
    return stages


def _corpus(run: Run) -> None:
    if run.options.corpus is not None:
        build_corpus(run.options.corpus, run.root, run.out / CORPUS, How())


def _train_cam(run: Run) -> None:
    corpus = run.corpus or (run.out / CORPUS if run.options.corpus is not None else None)
    if _several(run.running):
        _elsewhere(run, "cam", ["--corpus", str(corpus)] if corpus else [])
    else:
        train_cam(run.options.cam, run.root, run.out, corpus=corpus, running=run.running)


def _cams(run: Run, card: Card) -> None:
    section = run.options.cams
    oracle = section.gate == "oracle" or (section.gate == "auto" and card.domain != "pathology")
    options = MapOptions(scales=section.scales, precision=run.running.precision, protocol=run.options.evaluate.protocol)
    for split in dict.fromkeys((run.options.cam.split, *run.options.evaluate.splits)):
        trained = split == run.options.cam.split
        chosen = replace(options, classes="present" if trained or oracle else "all")
        make_cams(run.out, split, run.root, dataset=run.options.cam.dataset, options=chosen, overlays=section.overlays)


def _boundary(run: Run) -> None:
    options = run.options.boundary
    if options is not None:
        train_boundary(
            run.out, run.root, options, dataset=run.options.cam.dataset, running=run.running, threads=run.threads
        )


def _masks(run: Run) -> None:
    scored = run.options.evaluate.splits if "masks" in run.options.evaluate.what else ()
    for split in dict.fromkeys((run.options.cam.split, *scored)):
        make_masks(
            run.out,
            split,
            run.root,
            dataset=run.options.cam.dataset,
            options=run.options.masks,
            protocol=run.options.evaluate.protocol,
            threads=run.threads,
        )


def _seg(run: Run) -> None:
    if _several(run.running):
        _elsewhere(run, "seg", [])
    else:
        train_seg(run.options.seg, run.root, run.out, running=run.running)
    section = run.options.evaluate
    how = PredictOptions(
        scales=section.scales, flip=section.flip, window=section.window, precision=run.running.precision
    )
    for split in section.splits:
        predict_seg(run.out, split, run.root, dataset=run.options.cam.dataset, options=how, protocol=section.protocol)


def _evaluate(run: Run) -> None:
    """Gather what lies beside maps, masks and predictions into one file."""
    entries: list[dict[str, Any]] = []
    for what in run.options.evaluate.what:
        for split in run.options.evaluate.splits:
            found = sorted((run.out / what).rglob(METRICS))
            mine = [entry for path in found for entry in _entries(path) if entry.get("split") == split]
            if not mine:
                raise QaclimsError(f"{run.out / what} holds no scores of the split '{split}'. Run with --from {what}.")
            entries += mine
    write_json(run.out / METRICS, entries)


def _report(run: Run) -> None:
    write_run_report(run.out, run.root)


def _entries(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _several(running: RunSettings) -> bool:
    """Whether a training takes more than one process."""
    if running.devices == "auto":
        import torch

        return torch.cuda.device_count() > 1 or running.nodes not in ("auto", 1)
    return running.devices > 1


def _elsewhere(run: Run, what: str, more: Sequence[str]) -> None:
    """Train in a command of its own, because several processes begin by starting their command again."""
    words = ["train", what, run.options.recipe, "--root", str(run.root), "--out", str(run.out), *more]
    words += ["--precision", run.running.precision]
    words += [] if run.running.devices == "auto" else ["--devices", str(run.running.devices)]
    words += [] if run.running.nodes == "auto" else ["--nodes", str(run.running.nodes)]
    words += [part for setting in run.options.settings for part in ("--set", setting)]
    command = [sys.executable, "-P", "-m", "qaclims_path", *words]
    if subprocess.run(command, check=False).returncode:  # noqa: S603 - our own command
        raise QaclimsError(f"`qaclims {' '.join(words)}` failed; see above.")


def _check_dataset(run: Run) -> None:
    for name, dataset in (("seg", run.options.seg.dataset), ("corpus", getattr(run.options.corpus, "dataset", None))):
        if dataset not in (None, run.options.cam.dataset):
            raise UsageError(f"'{name}.dataset' is {dataset}, but the run is about {run.options.cam.dataset}.")


def _facts(card: Card) -> dict[str, Any]:
    tree = card.model_dump(mode="json", exclude=FACTS)
    return {"card": hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:12]}


def _images(card: Card, root: Path, split: str) -> str:
    """Which images a split has, as a number and a hash; none is opened."""
    names = [record.id for record in list_records(card, root, split)]
    return f"{len(names)} images {hashlib.sha256(chr(10).join(names).encode()).hexdigest()[:12]}"


def _named(tree: Tree) -> Tree:
    """Options with what lies on this disk named by its content, because paths are different elsewhere."""
    return {key: _named(value) if isinstance(value, dict) else _by_content(value) for key, value in tree.items()}


def _by_content(value: Any) -> Any:  # noqa: ANN401 - any option
    path = Path(value.removeprefix("local-dir:")) if isinstance(value, str) and "/" in value else None
    if path is None or not path.exists():
        return value
    return f"{path.name} {revision_of(path) if path.is_dir() else _sum(path)}"


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]
