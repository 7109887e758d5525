"""One command for the whole recipe: corpus, maps, masks, segmenter, scores, report; what is done is not done again.

Every split has stages of its own (`cams` is that of the images that are trained on, `cams-val` that of a scored split),
so that scoring one more split trains nothing again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import yaml

from qaclims_path.config import Tree, read_yaml
from qaclims_path.data.card import Card
from qaclims_path.data.cards import load_card
from qaclims_path.files.atomic import write_text
from qaclims_path.files.lock import locked
from qaclims_path.files.made_with import check_same
from qaclims_path.pipeline.configs import CONFIG, refuse_earlier_run
from qaclims_path.pipeline.run.checks import check_asked, check_fit, check_maps, check_masks, check_seg
from qaclims_path.pipeline.run.fingerprints import (
    content_of,
    corpus_depends,
    facts_of,
    images_of,
    maps_depend,
    named,
    rules_of,
)
from qaclims_path.pipeline.run.options import FROM_ANSWERS, RunOptions
from qaclims_path.pipeline.run.report import ELSEWHERE, write_run_report
from qaclims_path.pipeline.run.stages import STAGES, Stage, Step, execute, plan
from qaclims_path.pipeline.run.steps import (
    CORPUS,
    METRICS,
    REPORT,
    SCORED_BY,
    Run,
    classes_of,
    do_boundary,
    do_cam,
    do_cams,
    do_corpus,
    do_evaluate,
    do_masks,
    do_predict,
    do_seg,
    read_metrics,
)

LOCK = "run.lock"


@dataclass(frozen=True)
class RunReport:
    """How a run ended.

    Attributes:
        run: Its folder.
        done: Stages that were done now.
        skipped: Stages that were done before, or not asked for.
        metrics: The scores.
    """

    run: str
    done: tuple[str, ...]
    skipped: tuple[str, ...]
    metrics: tuple[dict[str, Any], ...]

    @property
    def missing(self) -> int:
        """Scored images without a prediction, which count as wrong."""
        return sum(entry.get("missing", 0) for entry in self.metrics)


def plan_run(run: Run, *, first: str | None = None, only: str | None = None) -> list[Step]:
    """Say what will become of every stage, without doing anything."""
    refuse_earlier_run(run.out)
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
        ('cam', 'cams', 'cams-val', 'masks', 'masks-val', 'seg', 'predict-val', 'evaluate', 'report')
    """
    refuse_earlier_run(run.out)
    stages = stages_of(run)
    plan(stages, run.out, first=first, only=only)  # what is wrong is said before a folder is made for the lock
    with locked(run.out / LOCK):
        steps = plan(stages, run.out, first=first, only=only)
        _note(run)
        execute(steps, run.out, say)
    metrics = run.out / METRICS
    return RunReport(
        run=str(run.out),
        done=tuple(step.stage.name for step in steps if step.action != "skip"),
        skipped=tuple(step.stage.name for step in steps if step.action == "skip"),
        metrics=tuple(read_metrics(metrics)) if metrics.is_file() else (),
    )


def stages_of(run: Run) -> list[Stage]:
    """The stages that this run has, in order.

    Raises:
        UsageError: The options of its stages do not fit together, or the data.
    """
    options, card = run.options, load_card(run.dataset)
    check_fit(run, card)
    what = options.evaluate.what
    about = _About(run, card)
    pseudo = _needs_masks(options)
    stages: list[Stage] = []
    if "cams" in what or pseudo:
        stages += _map_stages(run, about)
    if pseudo:
        stages += _mask_stages(run, about)
    if "seg" in what:
        stages += _seg_stages(run, about)
    scored = tuple(_name(run, SCORED_BY[each], split) for each in what for split in options.evaluate.splits)
    order = options.evaluate.model_dump(mode="json", include={"what", "splits"})
    return [
        *stages,
        Stage("evaluate", "gather the scores", 1, order, scored, (METRICS,), partial(do_evaluate, run)),
        Stage("report", "write the page", 1, {}, ("evaluate",), (REPORT,), lambda: _report(run)),
    ]


def _needs_masks(options: RunOptions) -> bool:
    """Whether maps are refined: to be scored, or to teach a segmenter."""
    what = options.evaluate.what
    return "masks" in what or ("seg" in what and not options.seg.truth)


class _About:
    """What stages depend on beside their options: card, images, protocol; every split is listed once."""

    def __init__(self, run: Run, card: Card) -> None:
        self.card = card
        self._facts = facts_of(card)
        self._images = cache(partial(images_of, card, run.root))
        self.rules = {"protocol": rules_of(run.protocol)}

    def __call__(self, *splits: str) -> Tree:
        return {"card": self._facts, "images": {split: self._images(split) for split in splits}}

    def scored(self, split: str) -> Tree:
        """The protocol, where a split shows its masks, because what is made of it is scored at once."""
        return self.rules if self.card.split(split).supervision == "masks" else {}


def _map_stages(run: Run, about: _About) -> list[Stage]:
    """Corpus, training, maps."""
    options, taught = run.options, run.options.shared.split
    stages: list[Stage] = []
    depends: Tree = {**maps_depend(options.training_of_maps, about.card), **about(taught)}
    if options.corpus is not None and run.corpus is None:
        asked = {"corpus": corpus_depends(options.corpus, run.root), **about(taught)}
        made: tuple[str, ...] = (CORPUS, "corpus.config.yaml")
        check = partial(check_asked, options.corpus)
        stages.append(Stage("corpus", "ask about every image", 1, asked, (), made, partial(do_corpus, run), check))
    elif run.corpus is not None and options.shared.words.source in FROM_ANSWERS:
        depends["answers"] = content_of(run.corpus)
    made = ("cam", "init") if options.cam.init.start == "cam" else ("cam",)
    reads = tuple(stage.name for stage in stages)
    work, check = partial(do_cam, run), partial(check_maps, options.cam, options.shared.judge)
    stages.append(Stage("cam", "train the maps", 1, depends, reads, made, work, check))
    shown = {"cams", "masks"} & set(options.evaluate.what)
    refined = (taught,) if _needs_masks(options) else ()
    for split in dict.fromkeys((*refined, *(options.evaluate.splits if shown else ()))):
        how = {"scales": list(options.cams.scales), "classes": classes_of(run, split)}
        depends = {"cams": how, **about(split), **about.scored(split)}
        name, work = _name(run, "cams", split), partial(do_cams, run, split)
        stages.append(Stage(name, f"make the maps of {split}", 1, depends, ("cam",), (f"cams/{split}",), work))
    return stages


def _mask_stages(run: Run, about: _About) -> list[Stage]:
    """Boundaries where the refiner needs them, and masks."""
    options, taught = run.options, run.options.shared.split
    stages: list[Stage] = []
    if options.boundary is not None:
        depends = {"masks": {"boundary": named(options.boundary)}, **about(taught), **about.rules}
        work = partial(do_boundary, run)
        stages.append(Stage("boundary", "train the boundaries", 1, depends, ("cams",), ("boundary",), work))
    walked = tuple(stage.name for stage in stages)
    how = options.masks.model_dump(mode="json", exclude={"batch"})
    for split in dict.fromkeys((taught, *(options.evaluate.splits if "masks" in options.evaluate.what else ()))):
        depends = {"masks": how, **about(split), **about.rules}
        reads = (_name(run, "cams", split), *walked)
        name, work = _name(run, "masks", split), partial(do_masks, run, split)
        check = partial(check_masks, options.masks, run.protocol, about.card.split(split))
        stages.append(Stage(name, f"refine the maps of {split}", 1, depends, reads, (f"masks/{split}",), work, check))
    return stages


def _seg_stages(run: Run, about: _About) -> list[Stage]:
    """Segmenter, and what it says of every scored split."""
    seg, section = run.options.seg, run.options.evaluate
    watched = (seg.validate_on,) if seg.validate_on else ()
    learnt = {key: value for key, value in named(seg).items() if key != "protocol"}  # stands below, with what it says
    depends = {"seg": learnt, **about(seg.split, *watched), **about.rules}
    reads = () if seg.truth else ("masks",)
    work, check = partial(do_seg, run), partial(check_seg, seg)
    stages = [Stage("seg", "train the segmenter", 1, depends, reads, ("seg",), work, check)]
    how = section.model_dump(mode="json", include={"scales", "flip", "window"})
    for split in section.splits:
        depends = {"evaluate": how, **about(split), **about.rules}
        name, work = _name(run, "predict", split), partial(do_predict, run, split)
        stages.append(Stage(name, f"label {split}", 1, depends, ("seg",), (f"seg/predictions/{split}",), work))
    return stages


def _name(run: Run, stage: str, split: str) -> str:
    """Name a stage of one split: maps and masks of the training images have no split in their name."""
    return stage if stage != "predict" and split == run.options.shared.split else f"{stage}-{split}"


def _report(run: Run) -> None:
    if run.corpus is None:
        (run.out / ELSEWHERE).unlink(missing_ok=True)  # noted by a run with other options
    write_run_report(run.out, run.root, corpus=run.corpus)


def _note(run: Run) -> None:
    """Write down the resolved options; other commands' work with others is not gone on with."""
    path, tree = run.out / CONFIG, run.options.tree
    if path.is_file() and not (run.out / STAGES).is_file():
        before = read_yaml(path)  # of `train cam`, which knows no other sections
        check_same(run.out, before, {key: tree[key] for key in tree if key in before})
    write_text(path, yaml.safe_dump(tree, sort_keys=False, allow_unicode=True))
