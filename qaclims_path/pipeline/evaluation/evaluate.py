"""Scoring of predictions: one pass over a split, one confusion matrix, and all scores that follow from it."""

import shutil
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from qaclims_path.compute.refiners.crf_settings import CrfSettings
from qaclims_path.config import parse
from qaclims_path.data.card import Card
from qaclims_path.data.protocol import Protocol
from qaclims_path.data.record import Record, truth_of
from qaclims_path.data.split import SplitData, open_split
from qaclims_path.errors import UsageError
from qaclims_path.files.ahead import ahead
from qaclims_path.files.atomic import atomic_path
from qaclims_path.files.cores import threads_beside
from qaclims_path.files.progress import track
from qaclims_path.models.segmenters.crf import NONE, find_crf
from qaclims_path.pipeline.evaluation.gates import OpenGate, check_made_with, open_gate
from qaclims_path.pipeline.evaluation.options import COUNTS, PER_IMAGE, MadeWith, ScoreOptions, What
from qaclims_path.pipeline.evaluation.predictions import Prediction, Predictions, Problems, Unfit, read_prediction
from qaclims_path.pipeline.evaluation.refining import check_crf, refined_scores
from qaclims_path.pipeline.evaluation.sources import open_predictions
from qaclims_path.report.evaluation import EvaluationReport, write_report

SPOOLED_BYTES = 16_000_000


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
    crf: str = NONE,
    sweep: bool = False,
) -> EvaluationReport:
    """Score a folder of predictions against the truth of a split.

    Predictions are named like their images and are all label maps (PNG or TIFF with the codes of the card) or all class
    scores (`.npz`); or they are the maps that `qaclims cams` stores. If any is missing, extra, of the wrong size,
    wrongly coded or unreadable, all are listed in one error, nothing is scored and nothing is written.

    Args:
        pred: Folder of predictions.
        dataset: Name or path of a card, or a card.
        root: Folder of the data in the publisher's layout.
        split: A split with masks.
        protocol: Name of one of the card's protocols; the first when None.
        gate: `none`, `oracle`, or a CSV file of class probabilities; acts on class scores only.
        made_with_gate: Gate that the predictions were made with; labels the table and changes no number.
        allow_missing: Count images without a prediction as wrong everywhere instead of refusing.
        out: Folder for metrics.json and the tables; nothing is written when None.
        what: Kind of the predictions, for metrics.json.
        bootstrap: Replicates of the 95 % intervals; 0 for none.
        seed: Seed of the bootstrap.
        crf: Dense CRF that first refines class probabilities with their images, see `ScoreOptions`.
        sweep: Score every threshold from 0.01 to 0.99 too (class scores without a background channel).

    Examples:
        >>> evaluate("masks", "bcss-wsss", "BCSS-WSSS", "test", protocol="mlps").scores.miou  # doctest: +SKIP
        0.7012
    """
    data = open_split(dataset, root, split, protocol)
    chosen = {
        "gate": gate,
        "made_with_gate": made_with_gate,
        "allow_missing": allow_missing,
        "what": what,
        "bootstrap": bootstrap,
        "seed": seed,
        "crf": crf,
        "sweep": sweep,
    }
    options = parse(ScoreOptions, chosen, "The options")
    return score_predictions(open_predictions(Path(pred), data), data, options, Path(out) if out is not None else None)


def score_predictions(
    source: Predictions, split: SplitData, options: ScoreOptions, out: Path | None = None, *, note: str = ""
) -> EvaluationReport:
    """Score predictions against the truth of a split; memory does not grow with the images.

    Args:
        source: The predictions.
        split: A split with masks.
        options: Options of scoring.
        out: Folder for metrics.json and the tables; nothing is written when None.
        note: Sentence on the predictions or the model that made them, for tables.
    """
    records = split.scored_records()
    problems = _mismatches(source, records, allow_missing=options.allow_missing)
    gate = open_gate(options.gate, split.rules, split.card, records)
    gate_name = check_made_with(gate.kind, options.made_with_gate, are_scores=source.are_scores)
    crf = check_crf(options.crf, source)
    _check_sweep(split.rules, source, wanted=options.sweep)
    from qaclims_path.pipeline.evaluation.tally import Tally  # its libraries take two seconds to import

    with _spooled() as per_image, _spooled() as counts:
        tally = Tally(split, options, per_image, counts, note)
        pairs = ahead(PairLoader(split, source, gate, find_crf(options.crf)), records, threads_beside(None))
        for pair in track(pairs, "scoring", len(records)):
            if pair.problem is not None:
                problems.add(pair.problem.kind, str(pair.problem))
            elif not problems:
                tally.add(pair.image, pair.truth, pair.prediction, pair.patient)
        problems.refuse()
        report = tally.finish(gate_name, crf)
        if out is not None:
            _write_stream(per_image, out / PER_IMAGE)
            _write_stream(counts, out / COUNTS)
            write_report(report, out)
    return report


@dataclass(frozen=True)
class Pair:
    """Truth and prediction of one image; the prediction is None where it is missing or has a problem."""

    image: str
    patient: str | None
    truth: NDArray[np.uint8]
    prediction: Prediction | None = None
    problem: Unfit | None = None


@dataclass(frozen=True)
class PairLoader:
    """Reads the truth and the prediction of one image; works in threads."""

    split: SplitData
    source: Predictions
    gate: OpenGate
    crf: CrfSettings | None = None

    def __call__(self, record: Record) -> Pair:
        """Read a pair; an unreadable truth or image is an error, a bad prediction is noted."""
        card, rules = self.split.card, self.split.rules
        truth = truth_of(card, record)
        if record.id not in self.source:
            return Pair(record.id, record.patient, truth)
        allowed = self.gate.allowed(record, truth)
        refine = None if self.crf is None else partial(refined_scores, record, crf=self.crf)
        try:
            prediction = read_prediction(self.source, record.id, card, rules, truth.shape, allowed, refine)
        except Unfit as problem:
            return Pair(record.id, record.patient, truth, problem=problem)
        return Pair(record.id, record.patient, truth, prediction)


def _mismatches(source: Predictions, records: list[Record], *, allow_missing: bool) -> Problems:
    """Return predictions without an image, and images without a prediction."""
    problems = Problems(source.folder)
    for kind, text in source.strays:
        problems.add(kind, text)
    for record in records if not allow_missing else ():
        if record.id not in source:
            problems.add("missing", record.id)
    return problems


def _check_sweep(rules: Protocol, source: Predictions, *, wanted: bool) -> None:
    if wanted and not source.are_scores:
        raise UsageError("--sweep needs class scores (.npz); finished label maps have no threshold left to choose.")
    if wanted and not rules.predict_background:
        raise UsageError(
            f"Under the protocol '{rules.name}' background is never predicted, so there is no threshold to sweep."
        )


def _spooled() -> "tempfile.SpooledTemporaryFile[str]":
    """Return a table that grows, in memory while it is small."""
    return tempfile.SpooledTemporaryFile(SPOOLED_BYTES, mode="w+", encoding="utf-8", newline="")


def _write_stream(source: IO[str], path: Path) -> None:
    source.seek(0)
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        shutil.copyfileobj(source, file)
