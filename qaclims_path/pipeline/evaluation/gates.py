"""Gates: the classes that a prediction may use, from the truth or from a table of predicted class probabilities."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qaclims_path.data.card import Card
from qaclims_path.data.protocol import GateKind, Protocol
from qaclims_path.data.record import Record, classes_in
from qaclims_path.errors import BadFile, UsageError
from qaclims_path.files.tables import read_csv

NOT_STATED = "not stated"
SHOWN = 10
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class OpenGate:
    """A gate: its kind, and a function from record and truth to the classes allowed (C, bool), or None for all."""

    kind: GateKind
    allowed: Callable[[Record, NDArray[np.uint8]], Mask | None]


def open_gate(gate: str | Path | None, rules: Protocol, card: Card, records: Sequence[Record]) -> OpenGate:
    """Open a gate.

    Args:
        gate: `none` or None, `oracle`, or a CSV file with the column `image` and one for each class.
        rules: Gives the threshold, and whether the most probable class always passes.
        card: Gives the classes.
        records: Images that need a row in the file.
    """
    if gate is None or str(gate) == "none":
        return OpenGate("none", lambda _record, _truth: None)
    if str(gate) == "oracle":
        return OpenGate("oracle", lambda record, truth: _true_classes(card, record, truth))
    if not Path(gate).suffix:
        raise UsageError(f"--gate is none, oracle, or a CSV file of class probabilities, not '{gate}'.")
    from qaclims_path.compute.gates import allowed_classes

    table = read_probabilities(Path(gate), card, records)
    kept = {
        image: allowed_classes(row, rules.gate.threshold, keep_highest=rules.gate.keep_highest)
        for image, row in table.items()
    }
    return OpenGate("predicted", lambda record, _truth: kept[record.id])


def read_probabilities(path: Path, card: Card, records: Sequence[Record]) -> dict[str, NDArray[np.float64]]:
    """Read class probabilities (C) by image id, for all records; `image` is the id or the name of the image file."""
    ids = {record.image.name: record.id for record in records} | {record.id: record.id for record in records}
    table: dict[str, NDArray[np.float64]] = {}
    for line, row in enumerate(read_csv(path, ["image", *card.names]), start=2):
        image = ids.get(row["image"])
        if image is None:  # the table may cover other splits
            continue
        if image in table:
            raise BadFile(f"{path}, line {line}: the image '{row['image']}' is listed twice.")
        table[image] = _probabilities(path, line, [row[name] for name in card.names])
    missing = [record.id for record in records if record.id not in table]
    if missing:
        more = ", ..." if len(missing) > SHOWN else ""
        raise BadFile(f"{path} has no row for {len(missing)} images: {', '.join(missing[:SHOWN])}{more}.")
    return table


def check_made_with(kind: GateKind, made_with_gate: str | None, *, are_scores: bool) -> str:
    """Return the name of the gate in tables.

    Args:
        kind: Gate that acts on the scores now.
        made_with_gate: Gate that the predictions were made with, if it was stated.
        are_scores: Whether the predictions are class scores.

    Examples:
        >>> check_made_with("none", "oracle", are_scores=False)
        'oracle'
        >>> check_made_with("none", None, are_scores=False)
        'not stated'
    """
    if not are_scores and kind != "none":
        raise UsageError(
            "--gate acts on class scores (.npz), but these predictions are finished label maps, which a gate cannot "
            "change. To state the gate they were made with, use --made-with-gate: it only labels the table."
        )
    if made_with_gate is None:
        return kind if are_scores else NOT_STATED
    if kind != "none":
        raise UsageError("Give --gate or --made-with-gate, not both: scores are gated here, or were gated before.")
    return made_with_gate


def _true_classes(card: Card, record: Record, truth: NDArray[np.uint8]) -> Mask:
    present = record.present if record.present is not None else classes_in(card, truth)
    allowed = np.zeros(len(card.classes), np.bool_)
    allowed[[*present, *record.unknown]] = True  # what is not known is not forbidden
    return allowed


def _probabilities(path: Path, line: int, cells: list[str]) -> NDArray[np.float64]:
    try:
        row = np.array([float(cell) for cell in cells])
    except ValueError as error:
        raise BadFile(f"{path}, line {line}: class probabilities are numbers in 0..1 ({error}).") from error
    if not ((row >= 0) & (row <= 1)).all():
        raise BadFile(f"{path}, line {line}: class probabilities are numbers in 0..1.")
    return row
