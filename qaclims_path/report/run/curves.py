"""Learning curves from the tables that trainings write."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from qaclims_path.data.card import Card
from qaclims_path.files.tables import read_csv
from qaclims_path.report.run.charts import Chart, Point, Series, line_chart
from qaclims_path.report.run.scored import title_of

LOG = "log.csv"
EPOCH = "epoch/"
POSITION, SPEED = ("step", "epoch"), "images_per_s"
CONTROLS = ("lr", "grad_norm")
OPEN = 8  # charts; a larger group is folded
TITLES = {
    "cam": "Activation maps",
    "init/cam": "Activation maps, the initialiser",
    "boundary": "Boundary network",
    "seg": "Segmenter",
}


@dataclass(frozen=True)
class Group:
    """Charts of one kind, shown or folded."""

    title: str
    charts: tuple[Chart, ...]

    @property
    def shown(self) -> bool:
        """Whether the group is small enough to be shown without a click."""
        return len(self.charts) <= OPEN


@dataclass(frozen=True)
class Training:
    """The curves of one training; `speed` is the median of the logged images per second, or None."""

    title: str
    epochs: int
    steps: int
    speed: float | None
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Log:
    """The table that one training wrote: its title, and a row per logged step or epoch."""

    title: str
    rows: Sequence[Mapping[str, str]]

    def points(self, name: str) -> list[Point]:
        """Step and value wherever a column has a value."""
        return [(_number(row["step"]), _number(row[name])) for row in self.rows if row.get(name)]


def read_logs(run: Path) -> tuple[Log, ...]:
    """Read the tables of all trainings below the folder of a run, in the order of the trainings, without empty ones."""
    found = {_folder_of(path, run): path for path in sorted(run.rglob(LOG))}
    order = [*TITLES]
    names = sorted(found, key=lambda name: (order.index(name) if name in order else len(order), name))
    logs = (Log(TITLES.get(name, name), tuple(read_csv(found[name], POSITION))) for name in names)
    return tuple(log for log in logs if log.rows)


def training_of(log: Log, card: Card | None) -> Training:
    """Draw the curves of one training.

    Args:
        log: Table of the training.
        card: Gives titles and colours of the classes; None where the card cannot be read.
    """
    first, last = log.rows[0], log.rows[-1]
    names = [name for name in first if name not in (*POSITION, SPEED) and not name.startswith(EPOCH)]
    names += [name for each in first if each.startswith(EPOCH) and (name := each[len(EPOCH) :]) not in names]
    speeds = [y for _, y in log.points(SPEED) if math.isfinite(y)]
    return Training(
        title=log.title,
        epochs=int(_number(last["epoch"])),
        steps=int(_number(last["step"])),
        speed=statistics.median(speeds) if speeds else None,
        groups=_groups({name: chart for name in names if (chart := _chart(log, name, card)) is not None}),
    )


def _groups(charts: Mapping[str, Chart]) -> tuple[Group, ...]:
    """Group charts: losses first, then values by class, then the optimiser."""
    groups: dict[str, list[Chart]] = {"losses": []}
    for name, chart in charts.items():
        before, _, after = name.partition("/")
        kind = before if after else "optimiser" if name in CONTROLS else "losses"
        groups.setdefault(kind, []).append(chart)
    groups["optimiser"] = groups.pop("optimiser", [])
    return tuple(Group(name.replace("_", " "), tuple(each)) for name, each in groups.items() if each)


def _chart(log: Log, name: str, card: Card | None) -> Chart | None:
    """Draw steps as a faint line below the means of epochs; where only one of the two exists, as the main line."""
    steps, means = log.points(name), log.points(EPOCH + name)
    title, color = title_of(name.rpartition("/")[2], card)
    series = [Series(steps, "faint"), Series(means)] if len(means) > 1 else [Series(steps or means)]
    return line_chart(title if color else title.replace("_", " "), series, color=color)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _folder_of(path: Path, run: Path) -> str:
    """Return the folder of a table in the run, without the `training` that some stages put theirs into."""
    parts = path.parent.relative_to(run).parts
    return "/".join(parts[:-1] if len(parts) > 1 and parts[-1] == "training" else parts) or "run"
