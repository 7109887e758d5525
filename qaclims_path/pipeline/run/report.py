"""Page of a run: the results of its stages so far, in one file."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from qaclims_path.config import Tree, flat, read_yaml
from qaclims_path.data.card import BACKGROUND_NAME, Card
from qaclims_path.data.cards import load_card
from qaclims_path.errors import BadFile, QaclimsError, UsageError
from qaclims_path.files.atomic import write_bytes, write_text
from qaclims_path.files.images import read_image
from qaclims_path.files.tables import read_csv
from qaclims_path.language.corpus import printable
from qaclims_path.pipeline.configs import CONFIG, read_run_config
from qaclims_path.pipeline.corpus.options import ShowOptions, config_path
from qaclims_path.pipeline.corpus.show import part_of, pictures_of, provenance_of, show_corpus, warnings_of
from qaclims_path.pipeline.inference.pictures import slide_pictures
from qaclims_path.pipeline.run.demonstration import warning_about
from qaclims_path.pipeline.run.examples import Chosen, examples_of
from qaclims_path.pipeline.run.figures import draw_figures
from qaclims_path.pipeline.run.published import read_notes
from qaclims_path.pipeline.run.stages import STAGES, read_records
from qaclims_path.report.corpus import Part
from qaclims_path.report.run.curves import read_logs, training_of
from qaclims_path.report.run.evaluations import Evaluated, read_evaluations
from qaclims_path.report.run.page import Facts, RunPage, StageShown, run_page
from qaclims_path.report.run.scored import Color, scored, title_of
from qaclims_path.report.slides import SlideShown, SlideTable, picture_of, slide_table

PAGE, ENVIRONMENT, CORPUS, SLIDES = "report.html", "environment.json", "corpus.jsonl", "slides"
ELSEWHERE = "corpus.path"  # path of answers outside the run
OWN_STAGE = "report"
MOST_SLIDES, SLIDE_SIDE = 6, 1000
MOST_ROWS = 60
TERMS, MANY_CLASSES = 8, 8
HEADER = {
    "dataset": "data set",
    "method": "method",
    "judge.id": "judge",
    "cam.network.backbone": "backbone",
    "seg.network.architecture": "segmenter",
    "cam.train.epochs": "epochs",
    "seed": "seed",
}
EMPTY = {
    "config": f"{CONFIG} is missing; the run has not begun.",
    "card": "The data set of this run is not known.",
    "scores": "Nothing was scored yet; `qaclims evaluate` does it.",
    "examples": "No image has a map or a mask yet.",
    "training": "No training has logged anything yet; `qaclims train cam` starts one.",
    "corpus": "This run has no corpus; `qaclims corpus build` makes one.",
    "slides": (
        f"The folder `{SLIDES}` of this run holds no segmented slide, and slides are looked for nowhere else. "
        f"`qaclims segment RUN SLIDES --out RUN/{SLIDES}` writes them there; those of another --out appear here when "
        f"that folder is moved to RUN/{SLIDES}."
    ),
    "figures": "There are no scores, trainings or masks to draw yet.",
    "stages": f"{STAGES} is missing; `qaclims run` writes it, single commands do not.",
    "environment": f"{ENVIRONMENT} is missing.",
}
T = TypeVar("T")


@dataclass(frozen=True)
class ReportMade:
    """A written page.

    Attributes:
        page: Path of the file.
        kilobytes: Size of the page.
        evaluations: Evaluations on it, as result, split, protocol and gate.
        images: Number of example images on it.
        missing: Reason for each empty section.
        figures: Files of the figures for a paper.
    """

    page: str
    kilobytes: float
    evaluations: tuple[tuple[str, str, str, str], ...]
    images: int
    missing: dict[str, str]
    figures: tuple[str, ...] = ()


def write_run_report(
    run: Path, root: Path | None = None, *, corpus: Path | None = None, figures: bool = False
) -> ReportMade:
    """Write `report.html` into the folder of a run; sections without results say why they are empty.

    Args:
        run: Folder of the run.
        root: Folder of the data in the publisher's layout, for example images.
        corpus: File of answers outside the run, whose path is stored in the run; None takes the run's own.
        figures: Also draw figures for a paper, into the folder `figures` of the run.

    Examples:
        >>> write_run_report(Path("runs/bcss"), Path("BCSS-WSSS")).missing  # doctest: +SKIP
        {'slides': 'The folder `slides` of this run holds no segmented slide, ...'}
    """
    _check(run)
    if corpus is not None:
        write_bytes(run / ELSEWHERE, os.fsencode(corpus.absolute()))
    page = _gathered(run, root)
    drawn = _figures(run, root) if figures else ()
    html = run_page(page)
    write_text(run / PAGE, html)
    reports = [one.report for one in page.scored]
    return ReportMade(
        page=str(run / PAGE),
        kilobytes=round(len(html.encode()) / 1000, 1),
        evaluations=tuple((each.what or "", each.split, each.protocol, each.gate) for each in reports),
        images=sum(len(group.examples) for group in page.examples),
        missing=dict(page.missing) | ({"figures": EMPTY["figures"]} if figures and not drawn else {}),
        figures=tuple(map(str, drawn)),
    )


def _check(run: Path) -> None:
    if not run.is_dir():
        raise UsageError(f"{run} is not a folder. Give the folder of a run, as `qaclims run --out` writes it.")
    if not any(
        (run / name).exists() for name in (CONFIG, STAGES, "metrics.json", CORPUS, "cam", "cams", "masks", "seg")
    ):
        raise UsageError(f"{run} holds nothing of a run. Give the folder that `qaclims run --out` writes.")


def _figures(run: Path, root: Path | None) -> tuple[Path, ...]:
    """Draw the figures without damaged results, which the page names."""
    gather = _Gatherer()
    config = gather("config", lambda: _config(run), "") or {}
    card = gather("card", lambda: _card(config), "")
    found = gather("scores", lambda: read_evaluations(run), "") or ()
    logs = gather("training", lambda: read_logs(run), "") or ()
    return draw_figures(run, root, card, found, logs)


class _Gatherer:
    """Makes each section; one that fails is missing with a sentence, and the others are still made."""

    def __init__(self) -> None:
        self.missing: dict[str, str] = {}

    def __call__(self, section: str, make: Callable[[], T], sentence: str) -> T | None:
        """Call `make`; if it fails or returns nothing, note the reason."""
        try:
            made = make()
        except QaclimsError as error:
            self.missing[section] = str(error)
            return None
        if not made:
            self.missing[section] = sentence
        return made


def _gathered(run: Path, root: Path | None) -> RunPage:
    gather = _Gatherer()
    config = gather("config", lambda: _config(run), EMPTY["config"]) or {}
    card = gather("card", lambda: _card(config), EMPTY["card"])
    found = gather("scores", lambda: read_evaluations(run), EMPTY["scores"]) or ()
    chosen = gather("examples", lambda: _examples(run, root, card, found), EMPTY["examples"])
    if chosen and chosen.problems:
        gather.missing["examples"] = " ".join(chosen.problems)
    logs = gather("training", lambda: read_logs(run), EMPTY["training"]) or ()
    language = gather("corpus", lambda: _corpus(run, root, card), EMPTY["corpus"])
    return RunPage(
        title=card.title if card else str(config.get("dataset", "Run")),
        name=run.resolve().name,
        warning=gather("models", lambda: warning_about(run, card), "") or "",
        notes=tuple(gather("notes", lambda: read_notes(run), "") or ()),
        facts=_header(config, card),
        scored=tuple(scored(each.report, card) for each in found),
        examples=chosen.groups if chosen else (),
        examples_note=chosen.note if chosen else "",
        legend=_legend(card),
        trainings=tuple(training_of(log, card) for log in logs),
        corpus=language.parts if language else (),
        corpus_made=language.made if language else (),
        corpus_warnings=language.warnings if language else (),
        slides=gather("slides", lambda: _slides(run / SLIDES), EMPTY["slides"]) or (),
        cohort=gather("cohort", lambda: _cohort(run / SLIDES, card), ""),
        stages=gather("stages", lambda: _stages(run), EMPTY["stages"]) or (),
        config=_texts(config),
        environment=gather("environment", lambda: _environment(run), EMPTY["environment"]) or (),
        missing={key: sentence for key, sentence in gather.missing.items() if sentence},
    )


def _header(config: Tree, card: Card | None) -> Facts:
    """Return settings in the header of the page."""
    texts = dict(_texts(config)) | ({"dataset": card.name} if card else {})
    return tuple((name, texts[key]) for key, name in HEADER.items() if texts.get(key, "none") != "none")


def _config(run: Path) -> Tree:
    return read_run_config(run / CONFIG) if (run / CONFIG).is_file() else {}


def _card(config: Tree) -> Card | None:
    return load_card(str(config["dataset"])) if "dataset" in config else None


def _examples(run: Path, root: Path | None, card: Card | None, found: tuple[Evaluated, ...]) -> Chosen | None:
    if card is None:
        raise UsageError("The data set of this run is not known, so its images cannot be shown.")
    if root is None:
        raise UsageError("Pictures need the images: `qaclims report RUN --root DIR` shows them.")
    return examples_of(run, root, card, found)


@dataclass(frozen=True)
class _Language:
    """Answers by class, where they come from, and warnings about them."""

    parts: tuple[Part, ...]
    made: Facts
    warnings: tuple[str, ...]


def _corpus(run: Path, root: Path | None, card: Card | None) -> _Language | None:
    path, note = run / CORPUS, run / ELSEWHERE
    if not path.is_file():
        if not note.is_file():
            return None
        path = Path(os.fsdecode(note.read_bytes()))
    few = card is not None and len(card.classes) <= MANY_CLASSES
    report = show_corpus(path, ShowOptions(terms=TERMS, examples=2 if few else 1))
    made = read_yaml(config_path(path)) if config_path(path).exists() else {}
    drawn = pictures_of(report, card, root, str(made.get("split", "train")))
    parts = tuple(part_of(one, card, drawn) for one in report.classes)
    return _Language(parts, tuple(provenance_of(report).items()), warnings_of(report))


def _slides(folder: Path) -> tuple[SlideShown, ...]:
    """Read pictures of slides below a folder; if there are many, of an even selection."""
    paths = sorted(path for path in folder.rglob("*") if "overlay" in path.stem and path.suffix in (".png", ".jpg"))
    indices = np.unique(np.linspace(0, len(paths) - 1, min(MOST_SLIDES, len(paths))).round().astype(int))
    return tuple(_slide(paths[index], folder) for index in indices)


def _slide(path: Path, folder: Path) -> SlideShown:
    name = path.stem.replace("overlay", "").strip("-_. ") or str(path.parent.relative_to(folder))
    pictures = slide_pictures(path.parent.parent, name, f"The slide {name}", SLIDE_SIDE)
    return SlideShown(
        name, pictures or (picture_of(read_image(path), f"The slide {name} under its classes", SLIDE_SIDE),)
    )


def _cohort(folder: Path, card: Card | None) -> SlideTable | None:
    """Read the table of all slides."""
    paths = sorted(folder.glob("*.csv"))
    titles = {name: title_of(name, card)[0] for name in (*card.names, BACKGROUND_NAME)} if card else {}
    return slide_table(paths[0].name, list(read_csv(paths[0])), titles, MOST_ROWS) if paths else None


def _stages(run: Path) -> tuple[StageShown, ...]:
    return tuple(
        StageShown(name, record.state, record.seconds, record.peak_mib, record.error)
        for name, record in read_records(run).items()
        if name != OWN_STAGE
    )


def _environment(run: Path) -> Facts:
    path = run / ENVIRONMENT
    if not path.is_file():
        return ()
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadFile(f"{path} cannot be read: {error}.") from error
    return _texts(tree) if isinstance(tree, dict) else ()


def _legend(card: Card | None) -> tuple[tuple[str, Color], ...]:
    if card is None:
        return ()
    classes = [(info.title, info.color) for info in card.classes]
    return (*classes, *([(card.background.display, card.background.color)] if card.background else []))


def _texts(tree: Tree) -> Facts:
    """Dotted keys with their values as text."""
    return tuple((str(key), _text(value)) for key, value in flat(tree).items())


def _text(value: Any) -> str:  # noqa: ANN401 - any plain value
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return printable(", ".join(map(_text, value)) if isinstance(value, list) else str(value))
