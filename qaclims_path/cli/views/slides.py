"""Show slides, tiles that were cut, and plans for cutting them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import RenderableType
from rich.text import Text

from qaclims_path.cli.views.tables import FAINT, pairs, plain_table, warnings_part
from qaclims_path.files.numbers import area_text
from qaclims_path.pipeline.tiling.annotations import ANNOTATIONS, total
from qaclims_path.pipeline.tiling.info import SlideReport
from qaclims_path.pipeline.tiling.report import SlideLine, TileReport
from qaclims_path.pipeline.tiling.slide import SlidePlan
from qaclims_path.report.numbers import size_on_disk, spaced

SHOWN, SLIDES_SHOWN = 10, 6


def info_view(report: SlideReport) -> Iterator[RenderableType]:
    """Facts and levels of a slide."""
    yield Text(report.slide.path, style="bold")
    yield pairs(_facts(report))
    table = plain_table(">level", ">width", ">height", ">downsample", ">um per pixel")
    for index, level in enumerate(report.levels):
        size = "?" if level.mpp is None else _both(level.mpp)
        table.add_row(str(index), spaced(level.width), spaced(level.height), f"{level.downsample:g}", size)
    yield table


def tile_view(report: TileReport) -> Iterator[RenderableType]:
    """Notes and failures slide by slide, what was understood of the labels, then warnings, totals and the next step."""
    counts = Counter(line.status for line in report.slides)
    total = sum(report.tiles.values())
    for line in report.slides:
        for note in line.notes:
            yield Text.assemble((f"{line.name}: ", "yellow"), note)
    for line in report.slides:
        if line.status == "failed":
            yield Text.assemble((f"{line.name} failed: ", "red"), line.error)
    yield from _skipped(report.skipped)
    if report.card is not None:
        yield _understood(report.slides)
        yield Text(f"The same for every slide: {Path(report.out) / ANNOTATIONS}", style=FAINT)
    yield from warnings_part(report.warnings)
    splits = ", ".join(f"{split} {spaced(count)}" for split, count in report.tiles.items())
    yield Text(
        f"{spaced(total)} tiles{f' ({splits})' if splits else ''} from {counts['done']} slides in {report.out}.",
        style="bold red" if counts["failed"] else "green",
    )
    if not report.complete:
        yield Text(
            f"{counts['waiting']} slides wait for other parts of the work; the last part to end merges the manifest."
        )
    elif report.card is None and total:
        yield Text("There is no card without --labels. Give labels to make the tiles a data set.", style=FAINT)
    elif report.card is not None:
        yield Text(f"Check them: qaclims datasets check --card {report.card} --root {report.out}", style=FAINT)
        yield Text(f"Train: qaclims run folder/cam --card {report.card} --root {report.out} --out RUN", style=FAINT)


def _understood(slides: Sequence[SlideLine]) -> RenderableType:
    """Drawn area and tiles of every slide and class; of many slides their sum."""
    done = {line.name: line.classes for line in slides if line.status == "done"}
    shown = done if len(done) <= SLIDES_SHOWN else {f"all {len(done)}": total([*done.values()])}
    table = plain_table("slide", "class", ">drawn", ">present", ">absent", ">unknown")
    for slide, classes in shown.items():
        for number, (name, line) in enumerate(classes.items()):
            area = "" if line.drawn_mm2 is None else area_text(line.drawn_mm2)
            counts = (spaced(count) for count in (line.present, line.absent, line.unknown))
            table.add_row(Text(slide if number == 0 else ""), Text(name), area, *counts)
    return table


def plan_view(plans: Sequence[SlidePlan]) -> Iterator[RenderableType]:
    """Levels, tiles and sizes that are expected, slide by slide."""
    if not plans:
        yield Text("Every slide is done already.", style="green")
        return
    table = plain_table("slide", ">level", ">um per pixel", ">shrunk by", ">grid", ">tiles", ">expected")
    for plan in plans:
        if plan.error:
            table.add_row(Text(plan.name), "", "", "", "", "", Text("fails, see below", style="red"))
        else:
            numbers = (f"{plan.level}", f"{plan.level_mpp:g}", f"{plan.resampled:g}")
            table.add_row(Text(plan.name), *numbers, spaced(plan.lattice), spaced(plan.tiles), size_on_disk(plan.bytes))
    yield table
    for plan in plans:
        if plan.error:
            yield Text.assemble((f"{plan.name} would fail: ", "red"), plan.error)
    total, size = sum(plan.tiles for plan in plans), sum(plan.bytes for plan in plans)
    yield Text(f"{spaced(total)} tiles, about {size_on_disk(size)}. Nothing was written.", style="bold")


def _facts(report: SlideReport) -> Iterator[tuple[str, str]]:
    info = report.slide
    yield "format", f"{info.vendor}, read by {info.backend}"
    yield "size", f"{spaced(info.width)} x {spaced(info.height)} pixels"
    if report.size_mm is not None:
        yield "", f"{report.size_mm[0]:.2f} x {report.size_mm[1]:.2f} mm"
    if info.mpp is None:
        yield "pixel size", "not known: give it with --slide-mpp, or in the column 'mpp' of a slide list"
    else:
        yield "pixel size", f"{_both(info.mpp)} um"
    if info.power is not None:
        yield "objective", f"{info.power:g}x"
    x, y, width, height = info.bounds
    if (x, y, width, height) != (0, 0, info.width, info.height):
        yield "scanned part", f"{spaced(width)} x {spaced(height)} pixels from {spaced(x)}, {spaced(y)}"
    yield "further pictures", ", ".join(info.associated) or "none"


def _skipped(skipped: dict[str, str]) -> Iterator[Text]:
    for path, reason in list(skipped.items())[:SHOWN]:
        yield Text(f"Skipped {path}: {reason}.", style=FAINT)
    if len(skipped) > SHOWN:
        yield Text(f"... and {len(skipped) - SHOWN} more, see summary.md.", style=FAINT)


def _both(size: tuple[float, float]) -> str:
    """A pixel size, once where both sides are alike."""
    x, y = (f"{value:.4g}" for value in size)
    return x if x == y else f"{x} x {y}"
