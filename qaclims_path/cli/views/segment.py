"""How the results of `qaclims segment` are laid out on a screen."""

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from qaclims_path.pipeline.inference.cohort import CohortRow, SegmentReport

SHOWN = 20


def segment_view(report: SegmentReport) -> Iterator[RenderableType]:
    """Areas of the slides, shares of the images, then everything that somebody should look at."""
    done = [row for row in report.rows if row.status == "done"]
    counts = Counter((row.kind, row.status) for row in report.rows)
    for kind in ("slide", "image"):
        rows = [row for row in done if row.kind == kind]
        if rows:
            yield _areas(rows[:SHOWN], report)
        if len(rows) > SHOWN:
            yield Text(f"... and {len(rows) - SHOWN} more in {report.table}.", style="bright_black")
    for row in report.rows:
        for note in row.notes:
            yield Text.assemble((f"{row.name}: ", "yellow"), note)
    for row in report.rows:
        if row.status == "failed":
            yield Text.assemble((f"{row.name} failed: ", "red"), row.error)
    yield from (Text(note, style="yellow") for note in report.notes)
    for path, reason in list(report.skipped.items())[:SHOWN]:
        yield Text(f"Passed over {path}: {reason}.", style="bright_black")
    each = {kind: counts[kind, "done"] for kind in ("slide", "image")}
    made = " and ".join(f"{count} {kind}{'s' * (count > 1)}" for kind, count in each.items() if count)
    at = f", looked at with {report.mpp:g} um per pixel" if report.mpp and each["slide"] else ""
    failed = any(row.status == "failed" for row in report.rows)
    yield Text(
        f"{made or 'Nothing'} done in {report.out}{at} ({report.precision}, {report.device}).",
        style="bold red" if failed else "green",
    )
    if not report.complete:
        waiting = sum(row.status == "waiting" for row in report.rows)
        yield Text(f"{waiting} wait for other parts of the work; each part brings {report.table} up to date.")


def _areas(rows: Sequence[CohortRow], report: SegmentReport) -> Table:
    kind = rows[0].kind
    table = Table(box=None, pad_edge=False, header_style="bright_black", padding=(0, 2, 0, 0))
    table.add_column(kind, overflow="fold")
    for column in ("um per pixel", "mm2", *report.classes):
        table.add_column(Text(column), justify="right")
    for row in rows:
        area = row.mm2(*report.classes)
        shares = (row.percent(name) for name in report.classes)
        table.add_row(
            Text(row.name),
            "?" if row.mpp is None else f"{row.mpp:.4g}",
            "?" if area is None else f"{area:.3f}",
            *("-" if share is None else f"{share:.1f} %" for share in shares),
        )
    return table
