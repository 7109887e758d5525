"""Small tables as CSV: read with clear errors, written in one step."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from qaclims_path.errors import BadFile
from qaclims_path.files.atomic import write_text

HEADER = 1_000_000  # characters of the header, at most


def read_csv(path: Path, needed: Sequence[str] = ()) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV with a header; the columns in `needed` must exist.

    A byte-order mark and surrounding blanks are dropped. Semicolons separate values where the header has them and no
    comma, as spreadsheets write it in countries with decimal commas.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline(HEADER)
            separator, called = (";", "semicolons") if ";" in header and "," not in header else (",", "commas")
            file.seek(0)
            reader = csv.DictReader(file, delimiter=separator)
            columns = [(name or "").strip() for name in reader.fieldnames or []]
            _refuse_mixed(path, columns, called)
            missing = [name for name in needed if name not in columns]
            if missing:
                found = ", ".join(columns) or "none"
                raise BadFile(f"{path} has no column {', '.join(missing)}. Columns found: {found}.")
            twice = sorted({name for name in columns if columns.count(name) > 1})
            if twice:
                raise BadFile(f"{path} has the column {', '.join(twice)} twice, so its values are ambiguous.")
            reader.fieldnames = columns
            for row in reader:
                if None in row or None in row.values():
                    raise BadFile(
                        f"{path}, line {reader.line_num}: expected {len(columns)} values separated by {called}."
                    )
                yield {name: value.strip() for name, value in row.items()}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadFile(f"{path} cannot be read as CSV: {getattr(error, 'strerror', None) or error}.") from error


def _refuse_mixed(path: Path, columns: Sequence[str], called: str) -> None:
    """Refuse a header with another separator inside a name."""
    for name in columns:
        if marks := [title for mark, title in (("\t", "tabs"), (";", "semicolons")) if mark in name]:
            raise BadFile(
                f"{path} seems to be separated by {marks[0]}, at least at {name!r} in its first line, where {called} "
                "are expected. Save it as CSV, with the same separator in every line."
            )


def write_csv(path: Path, rows: Iterable[Mapping[str, object]], columns: Sequence[str]) -> None:
    """Write rows under a header in one step; None becomes an empty cell, floats keep six digits."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: cell(row.get(name)) for name in columns})
    write_text(path, buffer.getvalue())


def cell(value: object) -> str:
    """One value as CSV text.

    Examples:
        >>> cell(0.1234567), cell(float("nan")), cell(None)
        ('0.123457', '', '')
    """
    if value is None or (isinstance(value, float) and value != value):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
