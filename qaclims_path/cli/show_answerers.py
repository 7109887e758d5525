"""How what an answerer says is laid out on a screen."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from qaclims_path.recipes.answerer_naming import ProbeRow
from qaclims_path.recipes.answerer_probe import AnswererReport

ASKS = {"foreground": "about", "background": "around"}
LONGEST = 40  # characters shown of an answer


def probe_view(report: AnswererReport) -> Iterator[RenderableType]:
    """Hits beside chance by kind and topic, what is said most, and the speed."""
    if "warning" in report.answerer:
        yield Text(report.answerer["warning"], style="bold yellow")
    how = "the class is not in the question" if report.blind else "the class is in the question"
    model = " ".join(report.answerer.get(key, "") for key in ("answerer", "model")).strip()
    yield Text.assemble((model, "bold"), f" on {report.images} images of '{report.split}' of {report.dataset}; {how}")
    yield _table(report)
    yield Text("hit: share of answers that name a class in the image; chance: the same with the other images' labels.")
    yield Text("\nSaid most", style="bold")
    yield from (_said(row) for row in report.rows if row.most)
    speed = f"{report.images_per_second:.2f} images and {report.answers_per_second:.1f} answers a second"
    yield Text(f"\n{speed}, {report.seconds:.1f} s altogether.")
    for image, reason in report.unread.items():
        yield Text(f"Skipped {image}: {reason}", style="red")


def _table(report: AnswererReport) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bright_black", padding=(0, 2, 0, 0))
    for name in ("asks", "topic"):
        table.add_column(name, no_wrap=True)
    counts = ("hit", "chance", "itself", "present", "absent", "neither", "empty")
    shown = [name for name in counts if not (report.blind and name == "itself")]
    for name in shown:
        table.add_column(name, justify="right", no_wrap=True)
    for row in report.rows:
        cells = [_cell(row, name) for name in shown]
        table.add_row(ASKS[row.kind], Text(row.topic or "any"), *cells)
    return table


def _cell(row: ProbeRow, name: str) -> Text:
    value = getattr(row, name)
    if name not in ("hit", "chance"):
        return Text(str(value) if value else ".")
    poor = name == "hit" and value is not None and row.chance is not None and value <= row.chance
    return Text("-" if value is None else f"{value:.1%}", style="red" if poor else "")


def _said(row: ProbeRow) -> Text:
    most = ", ".join(f"{_short(text)} ({count})" for text, count in row.most)
    return Text.assemble((f"{ASKS[row.kind]} {row.topic}: ", "bright_black"), f"{row.different} different; {most}")


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
