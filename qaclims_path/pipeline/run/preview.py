"""Preview of a run for `--dry-run`: recipe, data, judge, trainings, stages, and rough time and disk."""

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qaclims_path.data.card import Card
from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import list_records
from qaclims_path.engine.settings import TrainOptions
from qaclims_path.models.judges import place_of
from qaclims_path.pipeline.run.estimate import Cost, Listed, costs_of, sees_gpu
from qaclims_path.pipeline.run.stages import PlannedStage
from qaclims_path.pipeline.run.steps import Run
from qaclims_path.pipeline.run.warnings import run_warnings

SHORT = Cost(2.0)  # a stage that only gathers what others made


@dataclass(frozen=True)
class Fact:
    """One line about a run.

    Attributes:
        name: What it is about.
        value: What will be done, in words.
        settings: Keys of the recipe that decide it, as `--set` takes them.
    """

    name: str
    value: str
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunPlan:
    """Preview of a run.

    Attributes:
        recipe: Name or path of the recipe.
        out: Folder of the run.
        images: Number of images by split.
        epochs: Epochs of every training that is planned.
        judge: Id of the judge and where it would come from; both None without a judge.
        facts: Lines for people.
        stages: The stages.
        costs: Expected seconds and bytes of each planned stage.
        free: Free bytes where the folder lies.
        warnings: What a person should know before the trainings begin.
    """

    recipe: str
    out: str
    images: Mapping[str, int]
    epochs: Mapping[str, int]
    judge: Mapping[str, str | None]
    facts: Sequence[Fact]
    stages: Sequence[PlannedStage]
    costs: Mapping[str, Cost]
    free: int
    warnings: Sequence[str] = ()

    @property
    def seconds(self) -> float:
        """Expected seconds of all planned stages."""
        return sum(cost.seconds for cost in self.costs.values())

    @property
    def bytes(self) -> int:
        """Expected bytes on disk of all planned stages."""
        return sum(cost.bytes for cost in self.costs.values())

    def as_json(self) -> dict[str, Any]:
        """Convert to values that JSON can hold."""
        return {
            "recipe": self.recipe,
            "out": self.out,
            "images": dict(self.images),
            "epochs": dict(self.epochs),
            "judge": dict(self.judge),
            "facts": [asdict(fact) for fact in self.facts],
            "stages": [
                {**each.as_json(), "seconds": round(self.costs[each.stage.name].seconds, 1)}
                if each.stage.name in self.costs
                else each.as_json()
                for each in self.stages
            ],
            "warnings": list(self.warnings),
            "expected": {"seconds": round(self.seconds), "bytes": self.bytes, "free_bytes": self.free},
        }


def preview(run: Run, stages: Sequence[PlannedStage]) -> RunPlan:
    """Describe a run and its planned stages; images are counted, none is opened but the first of each split."""
    options, card = run.options, load_card(run.dataset)
    splits = dict.fromkeys((options.shared.split, options.seg.split, *options.evaluate.splits))
    listed = {split: _listed(card, run.root, split) for split in splits}
    known = costs_of(options, listed, len(card.classes), gpu=sees_gpu(run.running.accelerator))
    planned = [each.stage.name for each in stages if each.action != "skip"]
    judge, epochs = options.shared.judge, _epochs(run, planned, listed[options.shared.split].images)
    return RunPlan(
        recipe=options.recipe,
        out=str(run.out),
        images={split: each.images for split, each in listed.items()},
        epochs=epochs,
        judge={"id": judge.id, "place": None if judge.id is None else place_of(judge.id, judge.revision)},
        facts=[*_about_data(run, card, listed), *_about_training(run, planned, epochs), _about_scores(run)],
        stages=stages,
        costs={name: known.get(name, SHORT) for name in planned},
        free=shutil.disk_usage(_existing(run.out)).free,
        warnings=run_warnings(run),
    )


def _listed(card: Card, root: Path, split: str) -> Listed:
    records = list_records(card, root, split)
    known = [len(record.present) for record in records if record.present is not None]
    width, height = records[0].image.size() if records else (0, 0)
    classes = sum(known) / len(known) if known else len(card.classes) / 2
    return Listed(len(records), classes, width * height)


def _epochs(run: Run, planned: Sequence[str], images: int) -> dict[str, int]:
    """Return the epochs of every planned training on a number of images, the last one begun."""
    options = run.options
    found = {"cam": options.cam.train, "seg": options.seg.train}
    if options.cam.init.start == "cam":
        found = {"init": options.cam.first_train, **found}
    if options.boundary is not None:
        found["boundary"] = options.boundary.train
    return {
        name: math.ceil(train.passes(images))
        for name, train in found.items()
        if ("cam" if name == "init" else name) in planned
    }


def _about_data(run: Run, card: Card, listed: Mapping[str, Listed]) -> list[Fact]:
    counts = ", ".join(f"{split} {each.images}" for split, each in listed.items())
    return [
        Fact("recipe", f"{run.options.recipe}: method {run.options.shared.method}", ("method",)),
        Fact("data set", f"{card.name}, {len(card.classes)} classes, in {run.root}", ("dataset",)),
        Fact("images", counts, ("split", "evaluate.splits")),
    ]


def _about_training(run: Run, planned: Sequence[str], epochs: Mapping[str, int]) -> list[Fact]:
    options, facts = run.options, []
    if "cam" in planned:
        facts += _about_language(run)
        first = f", after {epochs['init']} epochs of plain maps" if "init" in epochs else ""
        side = options.cam.network.side.stages
        heads = f" with heads on stages {', '.join(map(str, side))}" if side else ""
        more = ["cam.init.train.epochs"] * ("init" in epochs) + ["cam.network.side.stages"] * bool(side)
        value = f"{options.cam.network.backbone}{heads}, {_passes(options.cam.train)}{first}"
        facts.append(Fact("maps", value, ("cam.network.backbone", "cam.train.epochs", "cam.train.batch", *more)))
    if any(name.startswith("masks") for name in planned):
        facts.append(Fact("masks", f"refined by {options.masks.refiner}", ("masks.refiner",)))
    if "seg" in planned:
        network = options.seg.network
        value = f"{network.architecture} on {network.encoder}, {_passes(options.seg.train)}"
        facts.append(Fact("segmenter", value, ("seg.network.architecture", "seg.train.epochs", "seg.train.batch")))
    return facts


def _passes(train: TrainOptions) -> str:
    length = f"{train.epochs} epochs" if train.steps is None else f"{train.steps} steps"
    return f"{length} with {train.batch} images a step"


def _about_language(run: Run) -> list[Fact]:
    options, judge = run.options, run.options.shared.judge
    if options.cam.losses["method"] == "cam" or judge.id is None:
        return []
    keys = ("words.source", *(("corpus.config",) if options.shared.words.need_corpus else ()))
    place = place_of(judge.id, judge.revision)
    return [Fact("judge", f"{judge.id}, {place}", ("judge.id",)), Fact("words", _words(run), keys)]


def _words(run: Run) -> str:
    words, corpus = run.options.shared.words, run.options.corpus
    if not words.need_corpus:
        return words.source
    if run.corpus is not None:
        return f"{words.source} of {run.corpus}"
    return f"{words.source}, asked of {corpus.answerer.kind}" if corpus is not None else words.source


def _about_scores(run: Run) -> Fact:
    options = run.options.evaluate
    splits = ", ".join(options.splits)
    value = f"{', '.join(options.what)} on {splits}, protocol {run.protocol}" if splits else "none: no split has masks"
    return Fact("scores", value, ("evaluate.what", "evaluate.splits", "evaluate.protocol"))


def _existing(path: Path) -> Path:
    """Return the nearest folder above a path that exists."""
    return next(each for each in (path.absolute(), *path.absolute().parents) if each.exists())
