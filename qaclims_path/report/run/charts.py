"""Line charts as places on a drawing: numbers in, paths and ticks out. The template draws them as inline SVG."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

LEFT, RIGHT, TOP, BOTTOM = 40, 12, 10, 24  # room for the ticks
MOST_POINTS = 240  # of a line; more are averaged, nobody can see them
Weight = Literal["main", "second", "faint"]
Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """Numbers to draw; a NaN makes a gap.

    Attributes:
        points: x, y pairs in the order of x.
        weight: `main` is the line to look at.
        name: Written beside it, where there is one.
    """

    points: Sequence[Point]
    weight: Weight = "main"
    name: str = ""


@dataclass(frozen=True)
class Line:
    """A drawn series: an SVG path, and where its name stands."""

    path: str
    weight: Weight
    name: str
    label: Point


@dataclass(frozen=True)
class Tick:
    """A number on an axis, and where it stands on the drawing."""

    at: float
    text: str


@dataclass(frozen=True)
class Mark:
    """A place on the x axis with a word about it."""

    x: float
    text: str


@dataclass(frozen=True)
class Chart:
    """A drawing.

    Attributes:
        title: What the numbers are.
        summary: The same in a sentence, for those who do not see it.
        size: Width and height.
        color: Of the class that it is about, where it is about one.
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
        """Where the drawn area ends."""
        return self.size[0] - RIGHT

    @property
    def bottom(self) -> int:
        """Where the drawn area ends."""
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
        title: What the numbers are.
        series: At least one of weight `main`, which the summary is about.
        size: Width and height of the drawing.
        y_range: Ends of the y axis; those of the numbers when None.
        marks: Places to point at.
        color: Of the class that the chart is about.

    Example:
        >>> line_chart("loss", [Series([(1, 2.0), (2, 1.0)])]).summary
        'loss: from 2 at 1 to 1 at 2, between 1 and 2'
    """
    known = [point for one in series for point in one.points if math.isfinite(point[1])]
    if not known:
        return None
    whole = all(x % 1 == 0 for x, _ in known)  # steps, between which there is nothing
    x_ends = _ends([x for x, _ in known], whole=True)
    y_ends = y_range or _ends([y for _, y in known])
    x_place = _scale(x_ends, LEFT, size[0] - RIGHT)
    y_place = _scale(y_ends, size[1] - BOTTOM, TOP)
    lines = [
        Line(_path(points, x_place, y_place), one.weight, one.name, _label(points, x_place, y_place))
        for one in series
        if (points := [point for point in _thinned(one.points) if math.isfinite(point[1])])
    ]
    return Chart(
        title=title,
        summary=_summary(title, series),
        size=size,
        lines=tuple(lines),
        x_ticks=tuple(
            Tick(round(x_place(value), 1), short(value)) for value in ticks(*x_ends, 4) if not whole or value % 1 == 0
        ),
        y_ticks=tuple(Tick(round(y_place(value), 1), short(value)) for value in ticks(*y_ends, 4)),
        marks=tuple(Tick(round(x_place(mark.x), 1), mark.text) for mark in marks if x_ends[0] <= mark.x <= x_ends[1]),
        color=color,
    )


def ticks(low: float, high: float, most: int) -> list[float]:
    """As many round numbers between two different ends as are allowed, the ends included where they are round.

    Example:
        >>> ticks(1, 160, 4)
        [50.0, 100.0, 150.0]
    """
    unit = 10.0 ** math.floor(math.log10((high - low) / most))
    for step in (unit * factor for factor in (1, 2, 5, 10, 20)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            return [place * step for place in range(first, last + 1)]
    return []


def short(value: float) -> str:
    """A number in few letters, as it is written at an axis or in a caption.

    Example:
        >>> short(0.30000000004), short(12500.0), short(0.00001)
        ('0.3', '12.5k', '1e-5')
    """
    if 10_000 <= abs(value) < 1e7:
        return f"{value / 1000:.4g}k"
    if value != 0 and abs(value) < 0.001:
        return f"{value:.2g}".replace("e-0", "e-") if abs(value) < 1e-4 else f"{value * 1e4:.2g}e-4"
    return f"{value:.4g}" if abs(value) >= 100 else f"{value:.3g}"


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


def _path(points: Iterable[Point], x_place: _Scale, y_place: _Scale) -> str:
    """An SVG path; a single point is a line without length, which round ends make a dot."""
    places = [f"{x_place(x):.1f} {y_place(y):.1f}" for x, y in points]
    return f"M{places[0]}" + "".join(f"L{place}" for place in places[1:] or places)


def _label(points: Sequence[Point], x_place: _Scale, y_place: _Scale) -> Point:
    """A third of the way along; curves of thresholds meet at their end."""
    x, y = points[len(points) // 3]
    return x_place(x), y_place(y)


def _thinned(points: Sequence[Point]) -> Iterator[Point]:
    """The points, or the means of equal runs of them where they are many."""
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
