"""Line charts: numbers in, SVG paths and ticks out. The template draws them as inline SVG."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

LEFT, RIGHT, TOP, BOTTOM = 40, 12, 10, 24  # margins for the ticks
MOST_POINTS = 240  # on a line; more are averaged
Weight = Literal["main", "second", "faint"]
Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """Numbers to draw; a NaN makes a gap.

    Attributes:
        points: x, y pairs in the order of x.
        weight: `main` is the most important line.
        name: Text beside the line, or empty.
    """

    points: Sequence[Point]
    weight: Weight = "main"
    name: str = ""


@dataclass(frozen=True)
class Line:
    """A drawn series: an SVG path, the position of its name, and that of a single point, which has no line."""

    path: str
    weight: Weight
    name: str
    label: Point
    dot: Point | None = None


@dataclass(frozen=True)
class Tick:
    """A number on an axis, and its position on the drawing."""

    at: float
    text: str


@dataclass(frozen=True)
class Mark:
    """A position on the x axis with a label."""

    x: float
    text: str


@dataclass(frozen=True)
class Chart:
    """A drawing.

    Attributes:
        title: Name of the numbers.
        summary: The curve in a sentence, for screen readers.
        size: Width and height.
        color: Colour of the class that the chart is about, or None.
    """

    title: str
    summary: str
    size: tuple[int, int]
    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    marks: tuple[Tick, ...] = ()
    color: tuple[int, int, int] | None = None

    left, top = LEFT, TOP

    @property
    def right(self) -> int:
        """Right end of the drawn area."""
        return self.size[0] - RIGHT

    @property
    def bottom(self) -> int:
        """Lower end of the drawn area."""
        return self.size[1] - BOTTOM


def line_chart(
    title: str,
    series: Sequence[Series],
    *,
    size: tuple[int, int] = (280, 130),
    y_range: tuple[float, float] | None = None,
    marks: Sequence[Mark] = (),
    color: tuple[int, int, int] | None = None,
) -> Chart | None:
    """Draw lines over one x axis; None where there is no number.

    Args:
        title: Name of the numbers.
        series: Lines; the summary is about the first of weight `main`.
        size: Width and height of the drawing.
        y_range: Ends of the y axis; those of the numbers when None.
        marks: Positions on the x axis to label.
        color: Colour of the class that the chart is about.

    Examples:
        >>> line_chart("loss", [Series([(1, 2.0), (2, 1.0)])]).summary
        'loss: from 2 at 1 to 1 at 2, between 1 and 2'
    """
    known = [point for one in series for point in one.points if math.isfinite(point[1])]
    if not known:
        return None
    whole = all(x % 1 == 0 for x, _ in known)  # steps, between which there is nothing
    x_ends = _ends([x for x, _ in known], whole=True)
    y_ends = y_range or _ends([y for _, y in known])
    x_at = _scale(x_ends, LEFT, size[0] - RIGHT)
    y_at = _scale(y_ends, size[1] - BOTTOM, TOP)
    lines = [
        _line(one, points, x_at, y_at)
        for one in series
        if (points := [point for point in _thinned(one.points) if math.isfinite(point[1])])
    ]
    x_values = [value for value in ticks(*x_ends, 4) if not whole or value % 1 == 0]
    return Chart(
        title=title,
        summary=_summary(title, series),
        size=size,
        lines=tuple(lines),
        x_ticks=_written(x_values, x_at),
        y_ticks=_written(ticks(*y_ends, 4), y_at),
        marks=tuple(Tick(round(x_at(mark.x), 1), mark.text) for mark in marks if x_ends[0] <= mark.x <= x_ends[1]),
        color=color,
    )


def ticks(low: float, high: float, most: int) -> list[float]:
    """Choose at most `most` round numbers between two different ends, which may be among them.

    Examples:
        >>> ticks(1, 160, 4)
        [50.0, 100.0, 150.0]
    """
    unit = 10.0 ** math.floor(math.log10((high - low) / most))
    for step in (unit * factor for factor in (1, 2, 5, 10, 20)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            return [factor * step for factor in range(first, last + 1)]
    return []


def short(value: float, digits: int = 3) -> str:
    """Format a number in few characters, for an axis or a caption.

    Examples:
        >>> short(0.30000000004), short(12500.0), short(0.00001)
        ('0.3', '12.5k', '1e-5')
    """
    if 10_000 <= abs(value) < 1e7:
        return f"{value / 1000:.{digits + 1}g}k"
    if value != 0 and abs(value) < 0.001:
        small = digits - 1
        return f"{value:.{small}g}".replace("e-0", "e-") if abs(value) < 1e-4 else f"{value * 1e4:.{small}g}e-4"
    return f"{value:.{digits + (abs(value) >= 100)}g}"


def distinct(values: Sequence[float]) -> list[str]:
    """Format different numbers in as few characters as tell them apart.

    Examples:
        >>> distinct([0.9981, 0.9982]), distinct([1.0, 2.0])
        (['0.9981', '0.9982'], ['1', '2'])
    """
    texts: list[str] = []
    for digits in range(3, 16):
        texts = [short(value, digits) for value in values]
        if len({*texts}) == len(texts):
            break
    return texts


def _ends(values: Sequence[float], *, whole: bool = False) -> Point:
    low, high = min(values), max(values)
    if low == high:
        room = 1.0 if whole else max(abs(low) * 0.1, 1e-9)
        return low - room, high + room
    return low, high


def _scale(ends: Point, start: float, stop: float) -> "_Scale":
    return _Scale(ends[0], start, (stop - start) / (ends[1] - ends[0]))


@dataclass(frozen=True)
class _Scale:
    low: float
    start: float
    step: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) * self.step


def _written(values: Sequence[float], at: _Scale) -> tuple[Tick, ...]:
    return tuple(Tick(round(at(value), 1), text) for value, text in zip(values, distinct(values), strict=True))


def _line(one: Series, points: Sequence[Point], x_at: _Scale, y_at: _Scale) -> Line:
    drawn = [(round(x_at(x), 1), round(y_at(y), 1)) for x, y in points]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in drawn)
    return Line(path, one.weight, one.name, _label(points, x_at, y_at), drawn[0] if len(drawn) == 1 else None)


def _label(points: Sequence[Point], x_at: _Scale, y_at: _Scale) -> Point:
    """Return the position of the name: a third of the way along, because curves over thresholds meet at their end."""
    x, y = points[len(points) // 3]
    return x_at(x), y_at(y)


def _thinned(points: Sequence[Point]) -> Iterator[Point]:
    """Yield the points, or means of runs of points where they are many."""
    run = -(-len(points) // MOST_POINTS)
    for start in range(0, len(points), run) if run else ():
        part = points[start : start + run]
        yield sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)


def _summary(title: str, series: Sequence[Series]) -> str:
    main = next((one for one in series if one.weight == "main"), series[0])
    known = [(x, y) for x, y in main.points if math.isfinite(y)]
    if not known:
        return title
    (first_x, first), (last_x, last) = known[0], known[-1]
    values = [y for _, y in known]
    ends = f"between {short(min(values))} and {short(max(values))}"
    if len(known) == 1:
        return f"{title}: {short(first)} at {short(first_x)}"
    return f"{title}: from {short(first)} at {short(first_x)} to {short(last)} at {short(last_x)}, {ends}"
