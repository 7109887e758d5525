"""Show segmented slides and images."""

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from qaclims_path.cli.views.tables import FAINT, plain_table
from qaclims_path.files.numbers import area_text
from qaclims_path.pipeline.inference.cohort import CohortRow, SegmentReport
from qaclims_path.report.numbers import number

SHOWN = 20


def segment_view(report: SegmentReport) -> Iterator[RenderableType]:
    """Areas of slides and shares of images, then notes and failures, then the totals."""
    done = [row for row in report.rows if row.status == "done"]
    for kind in ("slide", "image"):
        rows = [row for row in done if row.kind == kind]
        if rows:
            yield _areas(rows[:SHOWN], report)
        if len(rows) > SHOWN:
            yield Text(f"... and {len(rows) - SHOWN} more in {report.table}.", style=FAINT)
    for row in report.rows:
        for note in row.notes:
            yield Text.assemble((f"{row.name}: ", "yellow"), note)
    for row in report.rows:
        if row.status == "failed":
            yield Text.assemble((f"{row.name} failed: ", "red"), row.error)
    yield from (Text(note, style="yellow") for note in report.notes)
    for path, reason in list(report.skipped.items())[:SHOWN]:
        yield Text(f"Skipped {path}: {reason}.", style=FAINT)
    failed = any(row.status == "failed" for row in report.rows)
    yield Text(_totals(Counter(row.kind for row in done), report), style="bold red" if failed else "green")
    if not report.complete:
        waiting = sum(row.status == "waiting" for row in report.rows)
        yield Text(f"{waiting} wait for other parts of the work; each part brings {report.table} up to date.")
    yield Text(f"Open {report.page} to look at them.")


def _totals(done: Counter[str], report: SegmentReport) -> str:
    counts = " and ".join(f"{count} {kind}{'s' * (count > 1)}" for kind, count in sorted(done.items(), reverse=True))
    at = f", looked at with {report.mpp:g} um per pixel" if report.mpp and done["slide"] else ""
    return f"{counts or 'Nothing'} done in {report.out}{at} ({report.precision}, {report.device})."


def _areas(rows: Sequence[CohortRow], report: SegmentReport) -> Table:
    table = plain_table(rows[0].kind, ">um per pixel", ">area", *(f">{name}" for name in report.classes))
    for row in rows:
        area = row.mm2(*report.classes)
        shares = (row.percent(name) for name in report.classes)
        table.add_row(
            Text(row.name),
            number(row.mpp, ".4g", "?"),
            "?" if area is None else area_text(area),
            *("-" if share is None else f"{share:.1f} %" for share in shares),
        )
    return table
