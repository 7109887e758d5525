"""Content of the page of a run, and the page itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from qaclims_path.report.corpus import Part
from qaclims_path.report.numbers import interval_text, percent
from qaclims_path.report.pages import page_html
from qaclims_path.report.run.curves import Training
from qaclims_path.report.run.scored import WHAT, Color, Scored

SECTIONS = {
    "scores": "Scores",
    "examples": "Examples",
    "training": "Training",
    "corpus": "Language",
    "slides": "Slides",
    "stages": "Stages",
    "settings": "Settings",
}
Facts = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Layer:
    """One layer of an image: its name, the picture as a `data:` address, and its description."""

    name: str
    picture: str
    alt: str


@dataclass(frozen=True)
class Example:
    """One image in several layers; `remark` is shown beside its name, `size` is width and height of the pictures."""

    image: str
    remark: str
    size: tuple[int, int]
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class ExampleGroup:
    """Images that were chosen for the same reason."""

    title: str
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Legend:
    """Title and colour of a class or of background."""

    title: str
    color: Color


@dataclass(frozen=True)
class Slide:
    """A whole slide under its class map."""

    name: str
    picture: str
    size: tuple[int, int]


@dataclass(frozen=True)
class PlainTable:
    """A table of a file, unchanged; `left_out` rows are not shown."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: int = 0


@dataclass(frozen=True)
class StageShown:
    """One stage: its state, time and memory, and its error."""

    name: str
    state: str
    seconds: float
    peak_mib: float
    error: str


@dataclass(frozen=True)
class RunPage:
    """Content of the page; `missing` gives the reason for each empty section.

    Attributes:
        title: Title of the data set.
        warning: Warning about the models of the run, such as that they are for demonstration only.
        facts: The main settings of the run.
        examples_note: Sentence that says how the examples were chosen.
        corpus_made: Answerer and questions of the corpus.
        config: All settings by dotted key.
        environment: Versions and devices by dotted key.
    """

    title: str
    name: str
    warning: str = ""
    facts: Facts = ()
    scored: tuple[Scored, ...] = ()
    examples: tuple[ExampleGroup, ...] = ()
    examples_note: str = ""
    legend: tuple[Legend, ...] = ()
    trainings: tuple[Training, ...] = ()
    corpus: tuple[Part, ...] = ()
    corpus_made: Facts = ()
    slides: tuple[Slide, ...] = ()
    cohort: PlainTable | None = None
    stages: tuple[StageShown, ...] = ()
    config: Facts = ()
    environment: Facts = ()
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def tiles(self) -> tuple[Scored, ...]:
        """The first evaluation of every stage, in the order of the stages."""
        first = {each.report.what: each for each in reversed(self.scored)}
        return tuple(first[what] for what in WHAT if what in first)

    @property
    def seconds(self) -> float:
        """Time spent on all stages."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def slowest(self) -> float:
        """The longest time of a stage, and never zero."""
        return max((stage.seconds for stage in self.stages), default=0.0) or 1.0

    @property
    def progress(self) -> str:
        """Progress of the run as a sentence."""
        done = sum(stage.state == "done" for stage in self.stages)
        if not self.stages:
            return ""
        failed = [stage.name for stage in self.stages if stage.state == "failed"]
        progress = f"{done} of {len(self.stages)} stages done" if done < len(self.stages) else f"all {done} stages done"
        return f"{progress}, {', '.join(failed)} failed" if failed else progress


def run_page(page: RunPage) -> str:
    """Write the page as HTML in one file.

    Examples:
        >>> "<h1>Phantom slides</h1>" in run_page(RunPage("Phantom slides", "run"))
        True
    """
    return page_html(
        "run.html",
        styles=["page.css", "run.css"],
        scripts=["run.js"],
        page=page,
        sections=SECTIONS,
        percent=percent,
        interval_text=interval_text,
    )
