"""Figures of a run for a paper, one column wide: scores, curves and examples, each as vector PDF and 300 dpi PNG.

Figures do not rely on colour: stages differ by their marker, classes by their number. The same input gives the same
bytes. matplotlib is imported by the functions, so that a run that draws nothing does not load it.
"""

import io
import math
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qaclims_path.compute.colours import SAFE
from qaclims_path.files.atomic import write_bytes
from qaclims_path.report.evaluation import EvaluationReport
from qaclims_path.report.run.curves import EPOCH, Log
from qaclims_path.report.run.scored import Scored

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CM = 1 / 2.54  # inches
COLUMN = 8.5  # cm
DPI = 300
FORMATS: Mapping[str, Mapping[str, Any]] = {  # without dates and versions, so that equal figures are equal files
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    "png": {"Software": None},
}
OWN = re.compile(r"((scores|table)-.+|curves|examples)\.(pdf|png)")  # names that are drawn here
STYLE: Mapping[str, Any] = {
    "font.family": "DejaVu Sans",  # matplotlib brings it along
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "xtick.labelsize": 6,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1,
    "pdf.fonttype": 42,  # embeds TrueType, as publishers ask
    "text.parse_math": False,  # a class name may hold a dollar sign
}
MARKERS = "osD^"
COLOURS = [tuple(part / 255 for part in colour) for colour in (SAFE[1], SAFE[0], SAFE[2], SAFE[6])]
FAINT, RULE = "0.7", "0.85"
NAME_WIDTH, TITLE_WIDTH, NOTE_WIDTH = 20, 32, 66  # letters on a line
LINE = 0.36  # cm between lines of a table
Drawings = Mapping[str, Callable[[], "Figure"]]


def write_figures(folder: Path, drawings: Drawings) -> tuple[Path, ...]:
    """Draw and write figures, and remove those of an earlier call that are not drawn again.

    Args:
        folder: Is made where it is missing.
        drawings: A function for each figure, by the name of its files.

    Returns:
        The files: a PDF and a PNG for each figure.
    """
    written = []
    for name, draw in drawings.items():
        with _style():
            figure = draw()
            for kind, metadata in FORMATS.items():
                buffer = io.BytesIO()
                figure.savefig(buffer, format=kind, dpi=DPI, metadata=dict(metadata))
                written.append(folder / f"{name}.{kind}")
                write_bytes(written[-1], buffer.getvalue())
    for path in {*folder.glob("*.*")} - {*written}:
        if OWN.fullmatch(path.name):
            path.unlink()
    return tuple(written)


@contextmanager
def _style() -> Iterator[None]:
    """Use `STYLE` whatever the user's own settings are, and draw boxes for letters that the font does not have."""
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)  # type: ignore[arg-type]  # keys of matplotlib 3.11 have a type of their own
        yield


def new_figure(height: float, **settings: Any) -> "Figure":  # noqa: ANN401 - passed on
    """Return an empty figure of one column's width and a height in cm; it needs no display."""
    from matplotlib.figure import Figure

    return Figure((COLUMN * CM, height * CM), **settings)


def comparable(scored: Sequence[Scored]) -> dict[str, list[Scored]]:
    """Group evaluations that share split, protocol and gate, first stage first, by a name for files.

    Scores under different protocols or gates do not belong into one figure.
    """
    groups: dict[str, list[Scored]] = {}
    for one in reversed(scored):
        report = one.report
        groups.setdefault(f"{report.split}-{report.protocol}-{report.gate}", []).append(one)
    return groups


def score_figure(group: Sequence[Scored]) -> "Figure":
    """Draw IoU per class and its mean, with 95 % intervals, for every stage that was scored alike."""
    from matplotlib.ticker import MaxNLocator

    names = [*(_wrapped(one.title) for one in group[0].classes), _mean_name(group[0].report)]
    figure = new_figure(1.9 + 0.65 * len(names), layout="constrained")
    axes = figure.add_subplot()
    for number, one in enumerate(group):
        rows = [(row.iou, row.iou_interval) for row in (shown.row for shown in one.classes)]
        rows.append((one.report.scores.miou, one.report.intervals.miou if one.report.intervals else None))
        shift = 0.26 * (number - (len(group) - 1) / 2)
        _draw_scores(axes, [(at + shift, *row) for at, row in enumerate(rows)], number, one.what)
    axes.axhline(len(names) - 1.5, color=RULE, linewidth=0.5)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, min(100, axes.get_xlim()[1]))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.grid(axis="x", color=RULE, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.set_xlabel(f"IoU in %, 95 % intervals\n{_conditions(group[0].report)}")
    figure.legend(loc="outside upper center", ncols=len(group), handletextpad=0.2, columnspacing=1)
    return figure


def _draw_scores(axes: "Axes", rows: Sequence[tuple[float, float, Any]], number: int, name: str) -> None:
    """One stage: position, score and interval of each class; NaN draws nothing."""
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
    for at, _, interval in rows:
        if interval is not None:
            axes.plot([100 * end for end in interval], [at, at], color=colour, linewidth=0.8)
    values = [100 * value for _, value, _ in rows]
    axes.plot(values, [at for at, _, _ in rows], marker, color=colour, markersize=3.5, label=name, clip_on=False)


def table_figure(group: Sequence[Scored]) -> "Figure":
    """Draw IoU and Dice per class and their means as a table, two columns per stage."""
    names = [*(_wrapped(one.title) for one in group[0].classes), _mean_name(group[0].report)]
    tops = [3.2]
    for name in names:
        tops.append(tops[-1] + name.count("\n") + 1)
    note = textwrap.fill(f"IoU and Dice in %. {_conditions(group[0].report)}", NOTE_WIDTH)
    height = (tops[-1] + note.count("\n") + 1) * LINE
    figure = new_figure(height)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, COLUMN), ylim=(height / LINE, 0))
    axes.axis("off")
    for line, width in ((0.4, 0.8), (2.6, 0.4), (tops[-2] - 0.6, 0.4), (tops[-1] - 0.4, 0.8)):
        axes.plot([0.1, COLUMN - 0.1], [line, line], color="black", linewidth=width)
    for at, name in zip(tops, names, strict=False):
        axes.text(0.15, at + name.count("\n") / 2, name, va="center")
    wide = (COLUMN - 2.8) / len(group)
    for number, one in enumerate(group):
        left = 2.7 + number * wide
        axes.text(left + (1.9 / 2) * wide, 1, one.what, ha="right", va="center", fontsize=6.5)
        scores = [(shown.row.iou, shown.row.dice) for shown in one.classes]
        scores.append((one.report.scores.miou, one.report.scores.mean_dice))
        cells = [("IoU", "Dice"), *((_percent(iou), _percent(dice)) for iou, dice in scores)]
        for at, pair in zip((2, *tops), cells, strict=False):
            for column, text in enumerate(pair):
                axes.text(left + (column + 0.9) * wide / 2, at, text, ha="right", va="center")
    axes.text(0.15, tops[-1], note, va="top", fontsize=6)
    return figure


def curve_figure(logs: Sequence[Log]) -> "Figure":
    """Draw the loss of every training by step, and the mIoU of the split that was watched, two panels in a row."""
    from matplotlib.ticker import MaxNLocator

    panels = [(log, name) for log in logs for name in ("loss", *_watched(log)) if _curves(log, name)]
    rows = (len(panels) + 1) // 2
    figure = new_figure(0.6 + 3.4 * rows, layout="constrained")
    for number, (log, name) in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, 2, number)
        for label, (points, style) in _curves(log, name).items():
            axes.plot(*zip(*points, strict=True), label=label, **style)
        axes.set_title(_wrapped(log.title, TITLE_WIDTH))
        axes.set_ylabel(name.rpartition("/")[2])
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    handles = {text: line for one in figure.axes for line, text in zip(*one.get_legend_handles_labels(), strict=True)}
    figure.legend([*handles.values()], [*handles], loc="outside upper center", ncols=len(handles))
    return figure


def _watched(log: Log) -> list[str]:
    """Return columns that hold a score of a split."""
    return [name for name in log.rows[0] if name.rpartition("/")[2] == "miou"]


def _curves(log: Log, name: str) -> dict[str, tuple[Sequence[tuple[float, float]], Mapping[str, Any]]]:
    """Return points and style of single steps and of the means of epochs, without those that were not logged."""
    dots: Mapping[str, Any] = {"marker": "o", "markersize": 2.5}
    steps, means = log.points(name), log.points(EPOCH + name)
    main = {"color": COLOURS[0], **(dots if len(means or steps) < 30 else {})}
    curves = {"step": (steps, {"color": FAINT, "linewidth": 0.6} if means else main), "mean of an epoch": (means, main)}
    return {label: curve for label, curve in curves.items() if curve[0]}


def _conditions(report: EvaluationReport) -> str:
    return f"{report.dataset}, {report.split}, {report.rules}"


def _mean_name(report: EvaluationReport) -> str:
    return f"mean of {len(report.mean_over)} classes" if report.miou_is_partial else "mean"


def _percent(value: float) -> str:
    return "" if math.isnan(value) else f"{100 * value:.1f}"


def _wrapped(name: str, width: int = NAME_WIDTH) -> str:
    return textwrap.fill(name, width, max_lines=2, placeholder="…")
