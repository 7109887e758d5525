"""Sums over the images of a split, and the report made from them."""

import csv
from dataclasses import fields
from typing import IO

import numpy as np
from numpy.typing import NDArray

from qaclims_path.compute.bootstrap import Intervals, PoissonBootstrap, Sources, about_intervals
from qaclims_path.compute.boundary import BoundaryIoU
from qaclims_path.compute.confusion import NO_CLASS, Confusion
from qaclims_path.compute.scores import Scores, class_counts, dice_of, foreground_counts, iou_of, mean_of, score
from qaclims_path.compute.sweep import Sweep
from qaclims_path.data.card import BACKGROUND_NAME
from qaclims_path.data.protocol import Protocol
from qaclims_path.data.split import SplitData
from qaclims_path.errors import BadConfig, UsageError
from qaclims_path.files.tables import cell
from qaclims_path.models.segmenters.crf import NONE, about_crf
from qaclims_path.pipeline.evaluation.gates import NOT_STATED
from qaclims_path.pipeline.evaluation.options import ScoreOptions
from qaclims_path.pipeline.evaluation.predictions import Prediction
from qaclims_path.registry import suggest
from qaclims_path.report import evaluation as report

LEVEL = 0.95
METHOD = "Poisson bootstrap over {}"


class Tally:
    """Adds up the images of a split; memory does not grow with them.

    Args:
        split: Gives classes and protocol.
        options: Intervals and sweep.
        per_image: Gets one CSV row for every image.
        counts: Gets one CSV row for every image and class that it has: pixels that are right, in the truth, predicted.
            All scores of any subset of images follow from them, so runs can be compared image by image.
        note: Sentence on the predictions or the model that made them; may be empty.
    """

    def __init__(
        self, split: SplitData, options: ScoreOptions, per_image: IO[str], counts: IO[str], note: str = ""
    ) -> None:
        card, rules = split.card, split.rules
        classes = len(card.classes)
        self.split, self.card, self.rules, self.what = split.name, card, rules, options.what
        self.about = (note,) if note else ()
        self.names = (*card.names, BACKGROUND_NAME) if rules.background == "score" else card.names
        self.headline = _headline(rules, self.names)
        self.images = self.missing = 0
        self.confusion = Confusion(classes)
        self.boundary = BoundaryIoU(classes, rules.boundary_width, rules.background)
        self.bootstrap = (
            PoissonBootstrap(len(self.names), options.bootstrap, options.seed) if options.bootstrap else None
        )
        self.sources = Sources()
        self.sweep = Sweep(classes) if options.sweep else None
        self._never_predicted = Confusion(classes)
        self._means = _RunningMeans()
        self._rows = csv.writer(per_image, lineterminator="\n")
        means = [field.name for field in fields(report.Means) if not field.name.endswith("_all")]
        self._rows.writerow(["image", "patient", "missing", *means, *(f"iou {name}" for name in self.names)])
        self._counts = csv.writer(counts, lineterminator="\n")
        self._counts.writerow(["image", "class", "right", "truth", "predicted"])

    def add(
        self, image: str, truth: NDArray[np.uint8], prediction: Prediction | None, patient: str | None = None
    ) -> None:
        """Count one image; without a prediction every pixel is wrong."""
        labels = np.full_like(truth, NO_CLASS) if prediction is None else prediction.labels
        matrix = self.confusion.add(truth, labels)
        self.boundary.add(truth, labels)
        counts = class_counts(matrix, self.rules.background)
        found = zip(self.names, counts.tolist(), strict=True)
        self._counts.writerows([image, name, *three] for name, three in found if any(three))
        if self.bootstrap is not None:
            self.bootstrap.add(self.sources.number(image, patient), counts)
        if self.sweep is not None:
            self._add_to_sweep(self.sweep, image, truth, prediction)
        scores = score(matrix, self.rules.background, self.headline)
        self._means.add(scores)
        self.images += 1
        self.missing += prediction is None
        values = (scores.miou, scores.mean_dice, scores.fwiou, scores.pixel_accuracy, *scores.iou)
        missing = "yes" if prediction is None else "no"
        self._rows.writerow([image, patient or "", missing, *(cell(float(value)) for value in values)])

    def _add_to_sweep(self, sweep: Sweep, image: str, truth: NDArray[np.uint8], prediction: Prediction | None) -> None:
        if prediction is None:
            self._never_predicted.add(truth, np.full_like(truth, NO_CLASS))
            return
        if prediction.scores is None or self.card.background_index in prediction.channels:
            raise UsageError(
                f"--sweep needs class scores without a background channel, but those of '{image}' have one, "
                "which already decides where background is."
            )
        sweep.add(prediction.scores, prediction.channels, truth)

    def finish(self, gate: str, crf: str = NONE) -> report.EvaluationReport:
        """Compute all scores; gate and CRF are the names in tables."""
        scores = score(self.confusion.matrix, self.rules.background, self.headline)
        several = self.bootstrap is not None and len(self.sources.names) > 1
        ends = self.bootstrap.intervals(self.headline, LEVEL) if self.bootstrap and several else None
        boundary = iou_of(self.boundary.scored())
        rows = self._sweep_rows()
        # `max` keeps the first of equal rows: the lowest threshold
        best = max((row for row in rows if row.miou == row.miou), key=lambda row: row.miou, default=None)
        return report.EvaluationReport(
            dataset=self.card.name,
            split=self.split,
            protocol=self.rules.name,
            protocol_title=self.rules.title,
            gate=gate,
            what=self.what,
            images=self.images,
            expected_images=self.card.split(self.split).count,
            missing=self.missing,
            mean_over=tuple(self.names[index] for index in self.headline),
            scores=_means_of(scores),
            per_class=_class_rows(self.names, scores, boundary, ends),
            absent=tuple(name for name, absent in zip(self.names, scores.absent, strict=True) if absent),
            per_image_means=self._means.result(),
            boundary_iou=report.BoundaryMean(self.rules.boundary_width, float(mean_of(boundary, self.headline))),
            intervals=self._intervals(ends),
            foreground=self._foreground() if self.rules.foreground else None,
            best_threshold=report.Best(report.BEST_NOTE, best.threshold, best.miou) if best else None,
            sweep=rows,
            confusion=self.confusion.matrix,
            confusion_rows=(*self.card.names, BACKGROUND_NAME),
            published=self.card.published_like(self.split, self.rules.name, gate, self.what),
            notes=self._notes(gate, crf),
            crf=crf,
        )

    def _sweep_rows(self) -> tuple[report.SweepRow, ...]:
        if self.sweep is None:
            return ()
        matrices = self.sweep.matrices() + self._never_predicted.matrix
        scores = score(matrices, self.rules.background, self.headline)
        columns = (self.sweep.thresholds, scores.miou, scores.mean_dice, scores.iou)
        return tuple(
            report.SweepRow(_short(threshold), float(miou), float(dice), tuple(map(float, iou)))
            for threshold, miou, dice, iou in zip(*columns, strict=True)
        )

    def _intervals(self, ends: Intervals | None) -> report.Bootstrap | None:
        if ends is None or self.bootstrap is None:
            return None
        means = (ends.miou, ends.mean_dice, ends.miou_all, ends.mean_dice_all)
        replicates = len(self.bootstrap.sums)
        method = METHOD.format(self.sources.kind)
        return report.Bootstrap(method, LEVEL, replicates, self.bootstrap.seed, *(_pair(mean) for mean in means))

    def _foreground(self) -> report.Foreground:
        counts = foreground_counts(self.confusion.matrix)
        iou = iou_of(counts)
        return report.Foreground(
            iou=float(iou[0]), dice=float(dice_of(counts)[0]), background_iou=float(iou[1]), miou=float(mean_of(iou))
        )

    def _notes(self, gate: str, crf: str) -> tuple[str, ...]:
        about = about_intervals(self.sources.names) if self.bootstrap is not None else ""
        notes = [about] if about else []
        if gate == NOT_STATED:
            notes.append(
                "No published results are shown, because the gate that made these label maps is not stated: "
                "say --made-with-gate none, oracle or predicted."
            )
        elif gate != self.rules.gate.kind:
            notes.append(
                f"Published numbers of the protocol '{self.rules.name}' were made with gate {self.rules.gate.kind}."
            )
        return (*self.about, *filter(None, [about_crf(crf)]), *notes)


class _RunningMeans:
    """Means of three scores over the images that have something to score."""

    def __init__(self) -> None:
        self._sums = np.zeros(3)
        self._images = 0

    def add(self, scores: Scores) -> None:
        values = np.array([scores.miou, scores.mean_dice, scores.pixel_accuracy], np.float64)
        if not np.isnan(values).any():
            self._sums += values
            self._images += 1

    def result(self) -> report.PerImageMeans:
        means = self._sums / self._images if self._images else np.full(3, np.nan)
        return report.PerImageMeans(self._images, *map(float, means))


def _headline(rules: Protocol, names: tuple[str, ...]) -> tuple[int, ...]:
    """Return indices of the classes of the headline means."""
    unknown = [name for name in rules.mean_over if name not in names]
    if unknown:
        raise BadConfig(
            f"The protocol '{rules.name}' averages over '{unknown[0]}', which is not scored here. "
            f"{suggest(unknown[0], list(names))}"
        )
    return tuple(names.index(name) for name in rules.mean_over or names)


def _means_of(scores: Scores) -> report.Means:
    return report.Means(**{field.name: float(getattr(scores, field.name)) for field in fields(report.Means)})


def _class_rows(
    names: tuple[str, ...], scores: Scores, boundary: NDArray[np.float64], ends: Intervals | None
) -> tuple[report.ClassRow, ...]:
    return tuple(
        report.ClassRow(
            name=name,
            absent=bool(scores.absent[i]),
            iou=float(scores.iou[i]),
            dice=float(scores.dice[i]),
            precision=float(scores.precision[i]),
            recall=float(scores.recall[i]),
            support=int(scores.support[i]),
            boundary_iou=float(boundary[i]),
            iou_interval=_pair(ends.iou[i]) if ends else None,
            dice_interval=_pair(ends.dice[i]) if ends else None,
        )
        for i, name in enumerate(names)
    )


def _pair(ends: NDArray[np.float64]) -> report.Interval:
    return float(ends[0]), float(ends[1])


def _short(threshold: np.float32) -> float:
    """Return the shortest decimal that is this float32: 0.1, not 0.10000000149."""
    return float(str(threshold))
