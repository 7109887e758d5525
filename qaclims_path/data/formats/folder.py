"""A folder of images, optionally a folder of masks with the same names, and labels from a CSV or from the masks."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from qaclims_path.data.card import Card
from qaclims_path.data.formats import FORMATS, FakeItem, Format
from qaclims_path.data.formats.common import (
    SHOWN,
    SplitFiles,
    class_index,
    fake_names,
    image_cell,
    image_key,
    normalised,
    present_in,
    refuse,
    write_item,
)
from qaclims_path.data.record import Record
from qaclims_path.errors import BadFile, DatasetProblem, first_of
from qaclims_path.files.folders import stem_key
from qaclims_path.files.marks import Label, Mark, label_of, read_mark, read_names
from qaclims_path.files.tables import read_csv, write_csv

PATIENT_COLUMNS = ("patient", "case")
SLIDE_COLUMNS = ("slide",)


@dataclass
class Table:
    """Labels, patients and slides of images by `image_key`, from a CSV."""

    labels: dict[str, Label] = field(default_factory=dict)
    patients: dict[str, str] = field(default_factory=dict)
    slides: dict[str, str] = field(default_factory=dict)


def list_split(card: Card, root: Path, name: str) -> list[Record]:
    """List the records of a split; rows of the CSV without an image are ignored."""
    files = SplitFiles(card, root, name)
    folder, names = files.images()
    masks = files.masks(names)
    if files.split.labels_from != "table":
        return files.records(folder, names, masks, None)
    path = files.find("the table of labels", files.split.labels)
    table = read_table(card, path)
    keys = {image: stem_key(image) for image in names}
    refuse([image for image, key in keys.items() if key not in table.labels], f"without a row in {path}", "Add them")
    present = {image: table.labels[key].present for image, key in keys.items()}
    unknown = {image: table.labels[key].unknown for image, key in keys.items()}
    patients = {image: table.patients[key] for image, key in keys.items() if key in table.patients}
    records = files.records(folder, names, masks, present, patients, unknown)
    return [replace(record, slide=table.slides.get(record.id)) for record in records]


def read_table(card: Card, path: Path) -> Table:
    """Read labels: one column of 0, 1 or ? per class (by name, display name or synonym), or one `labels` column.

    Examples:
        `file,patient,tumor,stroma` with `a.png,7,1,?`, or `file,labels` with `a.png,tumor;stroma?`.
    """
    table, problems, index = Table(), [], class_index(card)
    for line, row in enumerate(read_csv(path), start=2):
        cells = {column.casefold(): value for column, value in row.items()}
        image = image_cell(cells, path)
        key = image_key(image)
        try:
            if key in table.labels:
                raise ValueError(f"'{image}' has a second row")
            table.labels[key] = _label(card, index, cells, path)
        except ValueError as error:
            problems.append(f"line {line}: {error}")
        for columns, known in ((PATIENT_COLUMNS, table.patients), (SLIDE_COLUMNS, table.slides)):
            if found := next((cells[column] for column in columns if cells.get(column)), None):
                known[key] = found
    if problems:
        raise DatasetProblem(f"{path}: {first_of(problems, SHOWN, '; ')}.")
    return table


def _label(card: Card, index: Mapping[str, int], cells: Mapping[str, str], path: Path) -> Label:
    if "labels" in cells:
        names = read_names(cells["labels"])
        strange = [name for name in names if normalised(name) not in index]
        if strange:
            raise ValueError(f"there is no class '{strange[0]}' on the card '{card.name}'")
        named = {index[normalised(name)]: mark for name, mark in names.items()}
        return label_of(named.get(k, False) for k in range(len(card.names)))
    columns = {
        index[normalised(column)]: (column, value) for column, value in cells.items() if normalised(column) in index
    }
    missing = [name for i, name in enumerate(card.names) if i not in columns]
    if missing:
        raise BadFile(
            f"{path} needs a column `labels`, or one column per class; {', '.join(missing)} has none. "
            f"Found: {', '.join(cells)}."
        )
    return label_of(_mark(*columns[k]) for k in range(len(card.names)))


def _mark(column: str, text: str) -> Mark:
    try:
        return read_mark(text)
    except ValueError as error:
        raise ValueError(f"{column} is {error}") from error


def write_split(card: Card, root: Path, name: str, items: Iterable[FakeItem]) -> None:
    """Write images, masks and the CSV of labels, or the one that lists the images; existing rows stay."""
    split = card.split(name)
    tables = split.labels if split.labels_from == "table" else [path for path in split.list if path.endswith(".csv")]
    table = root / tables[0] if tables else None
    rows: list[dict[str, object]] = [dict(row) for row in read_csv(table)] if table and table.exists() else []
    for file, item in fake_names(card, root, name, items):
        write_item(card, root, name, file, item)
        present = present_in(item.labels, card)
        bits = {class_name: int(i in present) for i, class_name in enumerate(card.names)}
        rows.append({"file": file, "patient": item.patient, **bits})
    if table:
        write_csv(table, rows, ["file", "patient", *card.names])


FORMATS.add("folder")(Format(records=list_split, write=write_split))
