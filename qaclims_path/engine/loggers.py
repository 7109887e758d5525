"""Loggers of numbers and pictures: CSV and PNG, TensorBoard, and those of plug-ins."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from qaclims_path.files.atomic import append_text, write_text
from qaclims_path.files.images import write_image
from qaclims_path.registry import Registry

Row = dict[str, str]
POSITION = ("step", "epoch")


class Logger(Protocol):
    """Logs numbers and pictures. Only the leader has loggers."""

    def numbers(self, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """Log numbers by name, after `step` steps and `epoch` epochs."""
        ...

    def picture(self, step: int, name: str, picture: NDArray[np.uint8]) -> None:
        """Log an H W 3 picture under a name."""
        ...

    def close(self) -> None:
        """Write buffered values at the end of a training."""
        ...


# Takes the folder of the run, the step it continues from (later entries are from a killed run), and its settings.
Maker = Callable[[Path, int, Mapping[str, Any]], Logger]
LOGGERS: Registry[Maker] = Registry("logger", "qaclims_path.loggers")


@LOGGERS.add("csv")
class CsvLogger:
    """Writes `log.csv`, one row per call and one column per name, and PNG files below `pictures/`."""

    def __init__(self, folder: Path, step: int, settings: Mapping[str, Any]) -> None:  # noqa: ARG002 - the signature of a Maker
        self.folder = folder
        self.path = folder / "log.csv"
        self.columns: list[str] = [*POSITION]
        rows = self._earlier(step)
        self._write(rows)

    def numbers(self, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """Append a row; a new name becomes a new column."""
        row = {"step": str(step), "epoch": str(epoch), **{name: repr(float(value)) for name, value in values.items()}}
        new = [name for name in row if name not in self.columns]
        if new:
            self._add_columns(new)
        append_text(self.path, _text([[row.get(name, "") for name in self.columns]]))

    def picture(self, step: int, name: str, picture: NDArray[np.uint8]) -> None:
        """Write a PNG named after the step."""
        write_image(self.folder / "pictures" / name / f"{step:08d}.png", picture)

    def close(self) -> None:
        """Do nothing: every row is written at once."""

    def _write(self, rows: Iterable[Row]) -> None:
        values = ([row.get(name, "") for name in self.columns] for row in rows)
        write_text(self.path, _text([self.columns]) + _text(values))

    def _earlier(self, step: int) -> list[Row]:
        """Return rows up to the step that the run continues from."""
        if not self.path.is_file() or step == 0:
            return []
        rows = self._rows()
        self.columns = [*rows[0]] if rows else self.columns
        return [row for row in rows if row["step"].isdecimal() and int(row["step"]) <= step]

    def _rows(self) -> list[Row]:
        with self.path.open(encoding="utf-8", newline="") as file:
            return [{key: value or "" for key, value in row.items() if key} for row in csv.DictReader(file)]

    def _add_columns(self, new: Sequence[str]) -> None:
        rows = self._rows()
        self.columns += new
        self._write(rows)


@LOGGERS.add("tensorboard")
class TensorBoardLogger:
    """Writes event files to `tensorboard/`."""

    def __init__(self, folder: Path, step: int, settings: Mapping[str, Any]) -> None:  # noqa: ARG002 - the signature of a Maker
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else None)

    def numbers(self, step: int, epoch: int, values: Mapping[str, float]) -> None:  # noqa: ARG002 - the signature of a Logger
        """Add scalars."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, picture: NDArray[np.uint8]) -> None:
        """Add an image."""
        self.writer.add_image(name, picture, step, dataformats="HWC")

    def close(self) -> None:
        """Write the buffered events."""
        self.writer.close()


def _text(rows: Iterable[Sequence[str]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()
