"""Labelling the images of a split with a trained segmenter, resumed when stopped, ready to be scored."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from qaclims_path.compute.devices import Precision, device_of, precision_of
from qaclims_path.config import read_yaml
from qaclims_path.data.card import BACKGROUND_NAME, Card
from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import list_records
from qaclims_path.data.loading import Failed, Loaded, Loader, batches
from qaclims_path.data.protocol import Protocol, load_protocol
from qaclims_path.data.record import Record
from qaclims_path.engine.guards import memory_watched
from qaclims_path.errors import UsageError
from qaclims_path.files.ahead import ahead
from qaclims_path.files.atomic import write_json
from qaclims_path.files.digest import digest_of_file
from qaclims_path.files.images import write_mask
from qaclims_path.files.lock import locked
from qaclims_path.files.made_with import INDEX, begin
from qaclims_path.files.progress import track
from qaclims_path.files.scores import write_scores
from qaclims_path.models.segmenters.predicting import Predictor, for_inference
from qaclims_path.models.segmenters.segmenter import Segmenter, check_classes, find_segmenter
from qaclims_path.models.segmenters.spec import WEIGHTS, SegmenterSpec, read_spec
from qaclims_path.pipeline.evaluation.evaluate import evaluate
from qaclims_path.pipeline.segmenter.train import CONFIG
from qaclims_path.report.evaluation import EvaluationReport
from qaclims_path.slides.grid import MPP_OF_1X

SETTINGS, SCORES, PREDICTIONS = "predictions.json", "scores", "predictions"
LESS = "Lower --batch, or look at large images through --window 512; what is finished is kept."
SAME_SCALE = 0.05  # pixel sizes that differ by less are taken as equal


@dataclass(frozen=True)
class PredictOptions:
    """How images are labelled.

    Attributes:
        write: `labels` are PNG files in the codes of the data set, `scores` class probabilities as `.npz`.
        scales: Factors at which an image is looked at.
        flip: Whether its mirror image is looked at, too.
        window: Side of half overlapping squares in which larger images are looked at; None looks at all at once.
        stride: Pixels per cell of stored scores.
        precision: `auto` takes what the hardware is fastest at.
        batch: Images of 224 px at a time; of larger ones fewer.
        device: `auto`, `cpu`, `cuda`, ...
    """

    write: Literal["labels", "scores"] = "labels"
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    window: int | None = None
    stride: int = 4
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    batch: int = 16
    device: str = "auto"


@dataclass(frozen=True)
class PredictReport:
    """What was made.

    Attributes:
        folder: Of the predictions.
        images: With a prediction.
        kept: Of these, made by an earlier, interrupted command.
        failed: Why images have none, by name.
        precision: Of the network.
        seconds: Spent on new ones.
        notes: What there is to say, such as that images were scaled to the pixel size of the model.
        scores: Against the masks, where the split has them.
    """

    folder: str
    dataset: str
    split: str
    images: int
    kept: int
    failed: dict[str, str]
    precision: Precision
    seconds: float
    notes: tuple[str, ...]
    scores: EvaluationReport | None

    def as_json(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        return {**self.__dict__, "scores": self.scores.as_json() if self.scores else None}


def predict_seg(
    model: Path | str,
    split: str,
    root: Path,
    *,
    dataset: str | Path | Card | None = None,
    out: Path | None = None,
    options: PredictOptions = PredictOptions(),
    protocol: str | None = None,
    score: bool = True,
) -> PredictReport:
    """Label every image of a split, and score the labels where the split shows its masks; no gate is ever used.

    Args:
        model: Folder of a run, with its segmenter in `seg`; a segmenter's own folder; or its name on the hub.
        split: Of the data set.
        root: The data as its publisher lays it out.
        dataset: Name or path of a card, or a card; that of the model when None.
        out: Where to write; `seg/predictions/<split>` in the run when None.
        options: How.
        protocol: How to score; the one that the model was trained for when None.
        score: Whether to compare with masks, where the split has them.

    Example:
        >>> predict_seg(Path("run"), "test", Path("BCSS-WSSS")).scores.scores.miou  # doctest: +SKIP
        0.68
    """
    start = time.perf_counter()
    place = find_segmenter(model)
    spec = read_spec(place)
    card = dataset if isinstance(dataset, Card) else load_card(dataset or _dataset_of(place, spec))
    check_classes(spec, card.names, model)
    rules = _rules(spec, card, protocol)
    records = list_records(card, root, split)
    device = device_of(options.device)
    precision = precision_of(options.precision, device)
    factor, notes = _factor(spec, card)
    folder = out or _place(model, place) / split
    with locked(folder / ".lock"):
        begin(folder / SETTINGS, _settings(options, place, card, split, precision, factor), ".*.part.*")
        segmenter = for_inference(Segmenter.from_pretrained(place), device, precision)
        scales = tuple(scale * factor for scale in options.scales)
        predict = Predictor(segmenter, scales=scales, flip=options.flip, window=options.window)
        writer = _Writer(folder, card, spec, options)
        todo = [record for record in records if not writer.has(record.id)]
        failed = _write(writer, todo, predict, options.batch)
        write_json(folder / INDEX, {"images": len(records) - len(failed), "failed": failed})
    seconds = time.perf_counter() - start
    scored = score and card.split(split).supervision == "masks" and len(failed) < len(records)
    return PredictReport(
        folder=str(folder),
        dataset=card.name,
        split=split,
        images=len(records) - len(failed),
        kept=len(records) - len(todo),
        failed=failed,
        precision=precision,
        seconds=round(seconds, 2),
        notes=notes,
        scores=_scored(folder, card, root, split, rules, missing=bool(failed)) if scored else None,
    )


class _Writer:
    """Writes the prediction of one image in one step."""

    def __init__(self, folder: Path, card: Card, spec: SegmenterSpec, options: PredictOptions) -> None:
        self.folder, self.card, self.options = folder, card, options
        self.names = [*spec.classes, *([BACKGROUND_NAME] if spec.has_background else [])]
        self.suffix = ".png" if options.write == "labels" else ".npz"

    def has(self, image: str) -> bool:
        """Whether an image is done."""
        return self._path(image).is_file()

    def write(self, image: str, probabilities: Tensor) -> None:
        """Write K H W probabilities, or the labels that they mean."""
        if self.options.write == "labels":
            labels = probabilities.argmax(0).to(torch.uint8).cpu().numpy()
            write_mask(self._path(image), self.card.encode(labels), self.card.code_palette)
            return
        height, width = (int(side) for side in probabilities.shape[-2:])
        cells = [-(-side // self.options.stride) for side in (height, width)]
        small = F.interpolate(probabilities[None], cells, mode="area")[0].half().cpu().numpy()
        write_scores(self._path(image), small, self.names, size=(height, width))

    def _path(self, image: str) -> Path:
        return self.folder / f"{image}{self.suffix}"


def _write(writer: _Writer, records: Sequence[Record], predict: Predictor, tiles: int) -> dict[str, str]:
    """Make the predictions that are not there; returns why images have none."""
    failed: dict[str, str] = {}
    load = Loader(writer.card, (1.0,), labels=False)

    def opened() -> Iterator[Loaded]:
        for item in track(ahead(load, records), "labelling", len(records)):
            if isinstance(item, Failed):
                failed[item.image] = item.why
            else:
                yield item

    with memory_watched(LESS, "these images"):
        for batch in batches(opened(), tiles):
            for item, found in zip(batch, predict(np.stack([each.scales[0] for each in batch])), strict=True):
                writer.write(item.image, found)
    return failed


def _dataset_of(place: Path, spec: SegmenterSpec) -> str:
    """The card that a segmenter was trained with: as it was given, where the training is at hand, else by name."""
    config = place / CONFIG
    name = read_yaml(config).get("dataset") if config.is_file() else spec.about.get("dataset")
    if not isinstance(name, str):
        raise UsageError(f"{place} does not say which data set it was trained on. Name one with --dataset.")
    return name


def _factor(spec: SegmenterSpec, card: Card) -> tuple[float, tuple[str, ...]]:
    """By how much images are scaled to the pixel size of the model, and what is to be said about it."""
    mpp = card.mpp or (MPP_OF_1X / card.magnification if card.magnification else None)
    if mpp is None or spec.mpp is None:
        return 1.0, ()
    factor = mpp / spec.mpp
    if abs(factor - 1) <= SAME_SCALE:
        return 1.0, ()
    said = (
        f"Images have {mpp:g} um per pixel, the model was trained at {spec.mpp:g}: it saw them scaled by {factor:.3g}."
    )
    return factor, (said,)


def _rules(spec: SegmenterSpec, card: Card, name: str | None) -> Protocol:
    trained = spec.about.get("protocol")
    wanted = name or (trained if trained in card.protocols else card.protocols[0])
    rules = load_protocol(str(wanted))
    if rules.background == "score" and not spec.has_background:
        raise UsageError(
            f"The protocol '{rules.name}' scores background, for which this segmenter has no channel: it was trained "
            f"for '{trained}'. Train one for it with --set seg.protocol={rules.name}, or choose another --protocol."
        )
    return rules


def _place(model: Path | str, found: Path) -> Path:
    """Where predictions go that were given no place."""
    if Path(model).is_dir():
        return found / PREDICTIONS
    raise UsageError(f"{model} is no folder to write predictions into. Say where they go with --out.")


def _settings(
    options: PredictOptions, place: Path, card: Card, split: str, precision: Precision, factor: float
) -> dict[str, Any]:
    """All that predictions depend on."""
    return {
        **{key: value for key, value in asdict(options).items() if key not in ("batch", "device")},
        "precision": precision,
        "factor": round(factor, 6),
        "dataset": card.name,
        "split": split,
        "model": digest_of_file(place / WEIGHTS),
    }


def _scored(folder: Path, card: Card, root: Path, split: str, rules: Protocol, *, missing: bool) -> EvaluationReport:
    return evaluate(
        folder,
        card,
        root,
        split,
        protocol=rules.name,
        made_with_gate="none",
        allow_missing=missing,
        out=folder / SCORES,
        what="seg",
    )
