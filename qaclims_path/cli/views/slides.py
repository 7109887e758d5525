"""How slides, and what was made of them, are laid out on a screen."""

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from qaclims_path.pipeline.tiling.info import SlideReport
from qaclims_path.pipeline.tiling.report import TileReport
from qaclims_path.pipeline.tiling.slide import SlidePlan
from qaclims_path.report.numbers import spaced

SHOWN = 10


def info_view(report: SlideReport) -> Iterator[RenderableType]:
    """Facts and levels of a slide."""
    info = report.slide
    facts = Table.grid(padding=(0, 2))
    for key, value in _facts(report):
        facts.add_row(Text(key, style="bright_black"), Text(value))
    yield Text(info.path, style="bold")
    yield facts
    table = _table(">level", ">width", ">height", ">downsample", ">um per pixel")
    for number, level in enumerate(report.levels):
        size = "?" if level.mpp is None else _pair(level.mpp)
        table.add_row(str(number), spaced(level.width), spaced(level.height), f"{level.downsample:g}", size)
    yield table


def tile_view(report: TileReport) -> Iterator[RenderableType]:
    """Totals, then everything that somebody should look at."""
    counts = Counter(line.status for line in report.slides)
    total = sum(report.tiles.values())
    splits = ", ".join(f"{split} {spaced(count)}" for split, count in report.tiles.items())
    verdict = "green" if not counts["failed"] else "bold red"
    said = f"{spaced(total)} tiles{f' ({splits})' if splits else ''} from {counts['done']} slides in {report.out}."
    for line in report.slides:
        for note in line.notes:
            yield Text.assemble((f"{line.name}: ", "yellow"), note)
    for line in report.slides:
        if line.status == "failed":
            yield Text.assemble((f"{line.name} failed: ", "red"), line.error)
    yield from _skipped(report.skipped)
    yield Text(said, style=verdict)
    if not report.complete:
        yield Text(
            f"{counts['waiting']} slides wait for other parts of the work; the last part to end merges the manifest."
        )
    elif report.card is None and total:
        yield Text("Without --labels there is no card: give it to make the tiles a data set.", style="bright_black")
    elif report.card is not None:
        yield Text(f"Check them: qaclims datasets check --card {report.card} --root {report.out}", style="bright_black")


def plan_view(plans: Sequence[SlidePlan]) -> Iterator[RenderableType]:
    """What would be done, slide by slide."""
    if not plans:
        yield Text("Every slide is done already.", style="green")
        return
    table = _table("slide", ">level", ">um per pixel", ">shrunk by", ">grid", ">tiles", ">expected")
    for plan in plans:
        if plan.error:
            table.add_row(Text(plan.name), "", "", "", "", "", Text("fails, see below", style="red"))
        else:
            numbers = (f"{plan.level}", f"{plan.level_mpp:g}", f"{plan.resampled:g}")
            table.add_row(Text(plan.name), *numbers, spaced(plan.lattice), spaced(plan.tiles), _bytes(plan.bytes))
    yield table
    for plan in plans:
        if plan.error:
            yield Text.assemble((f"{plan.name} would fail: ", "red"), plan.error)
    total, size = sum(plan.tiles for plan in plans), sum(plan.bytes for plan in plans)
    yield Text(f"{spaced(total)} tiles, about {_bytes(size)}. Nothing was written.", style="bold")


def _facts(report: SlideReport) -> Iterator[tuple[str, str]]:
    info = report.slide
    yield "format", f"{info.vendor}, read by {info.backend}"
    yield "size", f"{spaced(info.width)} x {spaced(info.height)} pixels"
    if report.size_mm is not None:
        yield "", f"{report.size_mm[0]:.2f} x {report.size_mm[1]:.2f} mm"
    if info.mpp is None:
        yield "pixel size", "not known: give it with --slide-mpp, or in the column 'mpp' of a slide list"
    else:
        yield "pixel size", f"{_pair(info.mpp)} um"
    if info.power is not None:
        yield "objective", f"{info.power:g}x"
    x, y, width, height = info.bounds
    if (x, y, width, height) != (0, 0, info.width, info.height):
        yield "scanned part", f"{spaced(width)} x {spaced(height)} pixels from {spaced(x)}, {spaced(y)}"
    yield "further pictures", ", ".join(info.associated) or "none"


def _skipped(skipped: dict[str, str]) -> Iterator[Text]:
    for path, reason in list(skipped.items())[:SHOWN]:
        yield Text(f"Passed over {path}: {reason}.", style="bright_black")
    if len(skipped) > SHOWN:
        yield Text(f"... and {len(skipped) - SHOWN} more, see summary.md.", style="bright_black")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bright_black", padding=(0, 2, 0, 0))
    for name in columns:
        right = name.startswith(">")
        table.add_column(Text(name.lstrip(">")), justify="right" if right else "left", no_wrap=right, overflow="fold")
    return table


def _pair(size: tuple[float, float]) -> str:
    x, y = (f"{value:.4g}" for value in size)
    return x if x == y else f"{x} x {y}"


def _bytes(size: int) -> str:
    """A size in the unit that suits it.

    Example:
        >>> _bytes(1_400_000)
        '1.4 MB'
    """
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size / 1e3:.0f} kB"
