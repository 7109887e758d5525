"""Content of the page of a run, and the page itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from qaclims_path.report.corpus import Part
from qaclims_path.report.numbers import interval_text, percent
from qaclims_path.report.pages import page_html
from qaclims_path.report.run.curves import Training
from qaclims_path.report.run.scored import WHAT, Color, Scored
from qaclims_path.report.slides import SlideShown, SlideTable

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
    """One image in several layers.

    Attributes:
        remark: Text beside its name.
        size: Width and height of the pictures.
        opens: Name of the layer that is shown first, beside the image.
    """

    image: str
    remark: str
    size: tuple[int, int]
    layers: tuple[Layer, ...]
    opens: str = ""


@dataclass(frozen=True)
class ExampleGroup:
    """Images that were chosen for the same reason."""

    title: str
    examples: tuple[Example, ...]


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
        notes: Sentences about parts of a published recipe that nobody published.
        facts: The main settings of the run.
        examples_note: Sentence that says how the examples were chosen.
        legend: Title and colour of every class.
        corpus_made: Answerer and questions of the corpus.
        corpus_warnings: Warnings of the answerer.
        config: All settings by dotted key.
        environment: Versions and devices by dotted key.
    """

    title: str
    name: str
    warning: str = ""
    notes: tuple[str, ...] = ()
    facts: Facts = ()
    scored: tuple[Scored, ...] = ()
    examples: tuple[ExampleGroup, ...] = ()
    examples_note: str = ""
    legend: tuple[tuple[str, Color], ...] = ()
    trainings: tuple[Training, ...] = ()
    corpus: tuple[Part, ...] = ()
    corpus_made: Facts = ()
    corpus_warnings: tuple[str, ...] = ()
    slides: tuple[SlideShown, ...] = ()
    cohort: SlideTable | None = None
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
        scripts=["tables.js", "viewers.js", "enlarge.js"],
        page=page,
        sections=SECTIONS,
        percent=percent,
        interval_text=interval_text,
    )
