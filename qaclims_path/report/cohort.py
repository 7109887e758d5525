"""The page of segmented slides and images: pictures, areas, failures, links to the files beside it."""

from dataclasses import dataclass, field

from qaclims_path.report.pages import page_html
from qaclims_path.report.slides import Color, SlideShown, SlideTable


@dataclass(frozen=True)
class Failed:
    """A slide or image that failed, and why."""

    name: str
    why: str


@dataclass(frozen=True)
class CohortPage:
    """Content of the page.

    Attributes:
        title: Heading.
        state: How many are done, failed and waiting.
        facts: Facts about the model, as pairs.
        warnings: Warnings about the model and the inputs, as sentences.
        legend: Title and colour of every class.
        slides: Slides with pictures; `unpictured` more are in the table.
        failed: Failures; `more_failed` more are in the table.
        table: All of them, as far as a page holds them.
    """

    title: str
    state: str
    facts: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    legend: tuple[tuple[str, Color], ...] = ()
    slides: tuple[SlideShown, ...] = ()
    unpictured: int = 0
    failed: tuple[Failed, ...] = field(default_factory=tuple)
    more_failed: int = 0
    table: SlideTable | None = None


def cohort_page(page: CohortPage) -> str:
    """Write the page as HTML.

    Examples:
        >>> "<h1>Segmented slides</h1>" in cohort_page(CohortPage("Segmented slides", "0 of 2 done"))
        True
    """
    return page_html("cohort.html", styles=["page.css", "run.css"], scripts=["tables.js"], page=page)
