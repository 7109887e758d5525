"""Scoring predictions: one pass over a split, one confusion matrix, and everything that follows from it."""

import shutil
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Literal

import numpy as np
from numpy.typing import NDArray

from qaclims_path.data.card import Card
from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import list_records
from qaclims_path.data.protocol import Protocol, load_protocol
from qaclims_path.data.record import Record, truth_of
from qaclims_path.errors import UsageError
from qaclims_path.files.ahead import ahead
from qaclims_path.files.atomic import atomic_path
from qaclims_path.files.progress import track
from qaclims_path.pipeline.evaluation.gates import OpenGate, check_made_with, open_gate
from qaclims_path.pipeline.evaluation.predictions import (
    Found,
    Prediction,
    Problems,
    Unfit,
    find_predictions,
    read_prediction,
)
from qaclims_path.pipeline.evaluation.tally import Tally
from qaclims_path.registry import suggest
from qaclims_path.report.evaluation import EvaluationReport, PublishedRow, write_report

What = Literal["cams", "masks", "seg"]
MadeWith = Literal["none", "oracle", "predicted"]
SPOOLED_BYTES = 16_000_000
PER_IMAGE, COUNTS = "per_image.csv", "counts.csv"


def evaluate(
    pred: str | Path,
    dataset: str | Path | Card,
    root: str | Path,
    split: str,
    *,
    protocol: str | None = None,
    gate: str | Path | None = None,
    made_with_gate: MadeWith | None = None,
    allow_missing: bool = False,
    out: str | Path | None = None,
    what: What | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    sweep: bool = False,
) -> EvaluationReport:
    """Score a folder of predictions against the truth of a split.

    Predictions are named like their images and are all label maps (PNG or TIFF with the codes of the card) or all class
    scores (`.npz`). If any is missing, extra, of the wrong size, wrongly coded or unreadable, all are listed in one
    error, nothing is scored and nothing is written.

    Args:
        pred: Folder of predictions.
        dataset: Name or path of a card, or a card.
        root: The data as its publisher lays it out.
        split: A split with masks.
        protocol: One of the card's protocols; its first when None.
        gate: `none`, `oracle`, or a CSV file of class probabilities; acts on class scores only.
        made_with_gate: Which gate the predictions were made with; a label and nothing else.
        allow_missing: Count images without a prediction as wrong everywhere instead of refusing.
        out: Folder for metrics.json and the tables; nothing is written when None.
        what: What the predictions are, for metrics.json.
        bootstrap: Replicates of the 95 % intervals; 0 for none.
        seed: Of the bootstrap.
        sweep: Score every threshold from 0.01 to 0.99 too (class scores without a background channel).

    Example:
        >>> evaluate("masks", "bcss-wsss", "BCSS-WSSS", "test", protocol="mlps").scores.miou  # doctest: +SKIP
        0.7012
    """
    card = dataset if isinstance(dataset, Card) else load_card(dataset)
    rules = _rules(card, protocol)
    everything = list_records(card, Path(root), _with_masks(card, split))
    records = [record for record in everything if record.mask is not None]
    if not records:
        raise UsageError(f"No image of the split '{split}' of '{card.name}' in {root} has a mask to score against.")
    problems = Problems(Path(pred))
    found = find_predictions(Path(pred), records, everything, problems, allow_missing=allow_missing)
    opened = open_gate(gate, rules, card, records)
    gate_name = check_made_with(opened.kind, made_with_gate, are_scores=found.are_scores)
    _check_sweep(rules, found, wanted=sweep)
    with _spooled() as per_image, _spooled() as counts:
        tally = Tally(card, rules, per_image, counts, replicates=bootstrap, seed=seed, sweep=sweep)
        load = Loader(card, rules, found, opened)
        for item in track(ahead(load, records), "scoring", len(records)):
            if item.problem is not None:
                problems.add(item.problem.kind, str(item.problem))
            elif not problems:
                tally.add(item.id, item.truth, item.prediction, item.patient)
        problems.refuse()
        report = tally.finish(split, gate_name, what, _published(card, rules, split, gate_name, what))
        if out is not None:
            _write_stream(per_image, Path(out) / PER_IMAGE)
            _write_stream(counts, Path(out) / COUNTS)
            write_report(report, Path(out))
    return report


@dataclass(frozen=True)
class Item:
    """One image of the split, read: its truth, and a prediction, none (missing), or what is wrong with it."""

    id: str
    patient: str | None
    truth: NDArray[np.uint8]
    prediction: Prediction | None = None
    problem: Unfit | None = None


@dataclass(frozen=True)
class Loader:
    """Reads one image's truth and prediction; works in threads."""

    card: Card
    rules: Protocol
    found: Found
    gate: OpenGate

    def __call__(self, record: Record) -> Item:
        """Read what belongs to a record; an unreadable truth is an error, a bad prediction is noted."""
        truth = truth_of(self.card, record)
        path = self.found.paths.get(record.id)
        if path is None:
            return Item(record.id, record.patient, truth)
        allowed = self.gate.allowed(record, truth)
        try:
            prediction = read_prediction(path, self.card, self.rules, truth.shape, allowed)
        except Unfit as problem:
            return Item(record.id, record.patient, truth, problem=problem)
        return Item(record.id, record.patient, truth, prediction)


def _rules(card: Card, name: str | None) -> Protocol:
    rules = load_protocol(name or card.protocols[0])
    if rules.name not in card.protocols:
        known = suggest(rules.name, list(card.protocols))
        raise UsageError(
            f"'{card.name}' is not scored under the protocol '{rules.name}'. {known} "
            "A card of your own may list others under `protocols`."
        )
    return rules


def _with_masks(card: Card, split: str) -> str:
    """The split, if its truth may be opened."""
    if card.split(split).supervision == "masks":
        return split
    others = [name for name, each in card.splits.items() if each.supervision == "masks"]
    raise UsageError(
        f"The split '{split}' of '{card.name}' trains on image labels, so it has no masks to score against. "
        f"Splits with masks: {', '.join(others) or 'none'}."
    )


def _check_sweep(rules: Protocol, found: Found, *, wanted: bool) -> None:
    if wanted and not found.are_scores:
        raise UsageError("--sweep needs class scores (.npz); finished label maps have no threshold left to choose.")
    if wanted and not rules.predict_background:
        raise UsageError(
            f"Under the protocol '{rules.name}' background is never predicted, so there is no threshold to sweep."
        )


def _published(card: Card, rules: Protocol, split: str, gate: str, what: str | None) -> tuple[PublishedRow, ...]:
    """The card's published rows that were made in the same way as ours."""
    alike = [
        row
        for row in card.published
        if (row.protocol, row.gate, row.split) == (rules.name, gate, split) and what in (None, row.what)
    ]
    return tuple(
        PublishedRow(**{field.name: getattr(row, field.name) for field in fields(PublishedRow)}) for row in alike
    )


def _spooled() -> "tempfile.SpooledTemporaryFile[str]":
    """A table that grows, in memory while it is small."""
    return tempfile.SpooledTemporaryFile(SPOOLED_BYTES, mode="w+", encoding="utf-8", newline="")


def _write_stream(source: IO[str], path: Path) -> None:
    source.seek(0)
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        shutil.copyfileobj(source, file)
