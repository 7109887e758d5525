"""Learning curves, from the tables that trainings write."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from qaclims_path.files.tables import read_csv
from qaclims_path.report.run.charts import Chart, Point, Series, line_chart

LOG = "log.csv"
EPOCH = "epoch/"
PLACE, SPEED = ("step", "epoch"), "images_per_s"
CONTROLS = ("lr", "grad_norm")
OPEN = 8  # charts of a group that are shown at once
TITLES = {
    "cam": "Activation maps",
    "init/cam": "Activation maps, the initialiser",
    "boundary": "Boundary network",
    "seg": "Segmenter",
}
Color = tuple[int, int, int]


@dataclass(frozen=True)
class Group:
    """Charts that belong together; `shown` at once or folded."""

    title: str
    charts: tuple[Chart, ...]

    @property
    def shown(self) -> bool:
        """Whether they are few."""
        return len(self.charts) <= OPEN


@dataclass(frozen=True)
class Training:
    """The curves of one training.

    Attributes:
        speed: Images per second, the median of what was logged; None where it was not.
    """

    title: str
    epochs: int
    steps: int
    speed: float | None
    groups: tuple[Group, ...]


def read_trainings(run: Path, colors: Mapping[str, Color]) -> tuple[Training, ...]:
    """The curves of all trainings below a run, in the order in which they are made.

    Args:
        run: Folder of the run.
        colors: Of the classes, by name.
    """
    found = {_place(path, run): path for path in sorted(run.rglob(LOG))}
    order = [*TITLES]
    names = sorted(found, key=lambda name: (order.index(name) if name in order else len(order), name))
    trainings = (read_training(found[name], TITLES.get(name, name), colors) for name in names)
    return tuple(each for each in trainings if each is not None)


def read_training(path: Path, title: str, colors: Mapping[str, Color]) -> Training | None:
    """The curves of one table; None where nothing is logged yet."""
    rows = list(read_csv(path, PLACE))
    if not rows:
        return None
    names = [name for name in rows[0] if name not in (*PLACE, SPEED) and not name.startswith(EPOCH)]
    names += [name for each in rows[0] if each.startswith(EPOCH) and (name := each[len(EPOCH) :]) not in names]
    speeds = [y for _, y in _points(rows, SPEED) if math.isfinite(y)]
    return Training(
        title=title,
        epochs=int(_number(rows[-1]["epoch"])),
        steps=int(_number(rows[-1]["step"])),
        speed=statistics.median(speeds) if speeds else None,
        groups=_groups({name: chart for name in names if (chart := _chart(rows, name, colors)) is not None}),
    )


def _groups(charts: Mapping[str, Chart]) -> tuple[Group, ...]:
    """Losses first, then what is told by class, then what the optimiser did."""
    groups: dict[str, list[Chart]] = {"losses": []}
    for name, chart in charts.items():
        before, _, after = name.partition("/")
        kind = before if after else "optimiser" if name in CONTROLS else "losses"
        groups.setdefault(kind, []).append(chart)
    groups["optimiser"] = groups.pop("optimiser", [])
    return tuple(Group(name.replace("_", " "), tuple(each)) for name, each in groups.items() if each)


def _chart(rows: Sequence[Mapping[str, str]], name: str, colors: Mapping[str, Color]) -> Chart | None:
    """Steps as a faint line below the means of epochs; either alone is the line to look at."""
    steps, means = _points(rows, name), _points(rows, EPOCH + name)
    last = name.rpartition("/")[2]
    series = [Series(steps, "faint"), Series(means)] if len(means) > 1 else [Series(steps or means)]
    return line_chart(last if last in colors else last.replace("_", " "), series, color=colors.get(last))


def _points(rows: Sequence[Mapping[str, str]], name: str) -> list[Point]:
    """Step and value wherever there is a value."""
    return [(_number(row["step"]), _number(row[name])) for row in rows if row.get(name)]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _place(path: Path, run: Path) -> str:
    """What a table is of: its folder in the run, without the `training` that some stages put theirs into."""
    parts = path.parent.relative_to(run).parts
    return "/".join(parts[:-1] if len(parts) > 1 and parts[-1] == "training" else parts) or "run"
