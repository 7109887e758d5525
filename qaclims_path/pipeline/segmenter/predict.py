"""Labels of the images of a split from a trained segmenter, resumable, ready to be scored."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from qaclims_path.compute.devices import Precision, device_of, precision_of
from qaclims_path.compute.labels import labels_and_confidence
from qaclims_path.compute.refiners.crf_settings import CrfSettings
from qaclims_path.data.card import BACKGROUND_NAME, Card
from qaclims_path.data.loading import Failed, ImageLoader, Loaded, batches
from qaclims_path.data.protocol import Protocol
from qaclims_path.data.pseudo import CONFIDENCE
from qaclims_path.data.record import Record
from qaclims_path.data.split import SplitData
from qaclims_path.engine.guards import memory_watched
from qaclims_path.errors import UsageError
from qaclims_path.files.ahead import ahead
from qaclims_path.files.atomic import write_json
from qaclims_path.files.cores import threads_beside
from qaclims_path.files.digest import digest_of_file
from qaclims_path.files.images import write_mask
from qaclims_path.files.lock import locked
from qaclims_path.files.made_with import INDEX, begin
from qaclims_path.files.progress import track
from qaclims_path.files.scores import write_scores
from qaclims_path.models.segmenters.crf import NONE, find_crf
from qaclims_path.models.segmenters.predicting import Predictor, for_inference
from qaclims_path.models.segmenters.refining import results
from qaclims_path.models.segmenters.segmenter import Segmenter
from qaclims_path.models.segmenters.spec import WEIGHTS, SegmenterSpec, check_classes, find_segmenter, read_spec
from qaclims_path.pipeline.evaluation.sources import PREDICTED
from qaclims_path.pipeline.evaluation.stages import SUPERVISED
from qaclims_path.pipeline.segmenter.predict_options import PredictOptions
from qaclims_path.slides.grid import MPP_OF_1X, SAME_SCALE

PREDICTIONS = "predictions"
YOUNGER = {"crf": NONE, "average": "probabilities"}  # options that older folders lack, and what was done then
LESS = "Lower --batch, or look at large images through --window 512; finished results are kept."


@dataclass(frozen=True)
class PredictReport:
    """Predictions that were made.

    Attributes:
        folder: Folder of the predictions.
        images: Images with a prediction.
        kept: Images that an earlier, interrupted command has labelled.
        failed: Reason for each image without a prediction, by name.
        precision: Numeric precision of the network.
        seconds: Time spent on new predictions.
        notes: Sentences for the user, such as that images were scaled to the pixel size of the model.
        crf: Dense CRF that refined the probabilities, or `none`.
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
    crf: str = NONE

    def as_json(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        return dict(self.__dict__)


def predict(
    model: Path | str,
    split: SplitData,
    options: PredictOptions = PredictOptions(),  # noqa: B008 - frozen
    *,
    out: Path | None = None,
) -> PredictReport:
    """Label every image of a split; no gate is used.

    Args:
        model: Folder of a run, with its segmenter in `seg`; a segmenter's own folder; or its name on the hub.
        split: Images to label.
        options: Options of the prediction.
        out: Folder to write; `seg/predictions/<split>` in the run when None.

    Examples:
        >>> predict(Path("run"), open_split("bcss-wsss", "BCSS-WSSS", "test")).images  # doctest: +SKIP
        4986
    """
    start, source = time.perf_counter(), find_segmenter(model)
    spec, card, device = read_spec(source), split.card, device_of(options.device)
    check_classes(spec, card.names, model)
    _check_background(spec, split.rules)
    precision = precision_of(options.precision, device)
    factor, notes = _factor(spec, card)
    folder = out or _default_folder(model, source) / split.name
    with locked(folder / ".lock"):
        about = {key: spec.about[key] for key in (SUPERVISED,) if spec.about.get(key)}
        settings = _settings(options, source, split, precision, factor) | about
        begin(folder / PREDICTED, settings, ".*.part.*", defaults=YOUNGER)
        segmenter = for_inference(Segmenter.from_pretrained(source), device, precision)
        scales = tuple(scale * factor for scale in options.scales)
        predictor = Predictor(
            segmenter, scales=scales, flip=options.flip, average=options.average, window=options.window
        )
        writer = _Writer(folder, card, spec, options)
        todo = [record for record in split.records if not writer.has(record.id)]
        failed = _write(writer, todo, predictor, options.batch, find_crf(options.crf))
        images = len(split.records) - len(failed)
        write_json(folder / INDEX, {"images": images, "failed": failed})
    return PredictReport(
        folder=str(folder),
        dataset=card.name,
        split=split.name,
        images=images,
        kept=len(split.records) - len(todo),
        failed=failed,
        precision=precision,
        seconds=round(time.perf_counter() - start, 2),
        notes=notes,
        crf=options.crf,
    )


class _Writer:
    """Writes the prediction of one image; of labels also a small picture of their probability, for people."""

    def __init__(self, folder: Path, card: Card, spec: SegmenterSpec, options: PredictOptions) -> None:
        self.folder, self.card, self.options = folder, card, options
        self.names = [*spec.classes, *([BACKGROUND_NAME] if spec.has_background else [])]
        self.suffix = ".png" if options.write == "labels" else ".npz"

    def has(self, image: str) -> bool:
        """Return whether an image is done."""
        return self._path(image).is_file()

    def wanted(self, probabilities: Tensor) -> Tensor:
        """Return what is written of probabilities B K H W.

        Returns:
            Labels and 255 times their probability, B 2 H W bytes; or small probabilities, B K h w in fp16.
        """
        if self.options.write == "labels":
            return labels_and_confidence(probabilities)
        cells = [-(-side // self.options.stride) for side in probabilities.shape[-2:]]
        return F.interpolate(probabilities, cells, mode="area").half()

    def write(self, image: str, size: tuple[int, int], found: NDArray[Any]) -> None:
        """Write what `wanted` returned for an image of a size (height, width); labels come last."""
        if self.options.write == "labels":
            labels, confidence = found
            small = np.ascontiguousarray(confidence[:: self.options.stride, :: self.options.stride])
            write_mask(self.folder / CONFIDENCE / f"{image}.png", small)
            write_mask(self._path(image), self.card.encode(labels), self.card.code_palette)
        else:
            write_scores(self._path(image), found, self.names, size=size)

    def _path(self, image: str) -> Path:
        return self.folder / f"{image}{self.suffix}"


def _write(
    writer: _Writer, records: Sequence[Record], predictor: Predictor, tiles: int, crf: CrfSettings | None
) -> dict[str, str]:
    """Make the missing predictions; return the reason for each image without one."""
    failed: dict[str, str] = {}
    load = ImageLoader(writer.card, (1.0,), labels=False)
    threads = threads_beside(predictor.device.type)

    def opened() -> Iterator[Loaded]:
        for item in track(ahead(load, records, threads), "labelling", len(records)):
            if isinstance(item, Failed):
                failed[item.image] = item.why
            else:
                yield item

    with memory_watched(LESS, "these images"):
        predicted = (
            (batch, predictor(np.stack([each.scales[0] for each in batch]))) for batch in batches(opened(), tiles)
        )
        found = results(predicted, writer.wanted, lambda item: item.scales[0], crf, threads)
        for item, result in found:
            if isinstance(result, str):
                failed[item.image] = result
            else:
                writer.write(item.image, item.size, result)
    return failed


def _factor(spec: SegmenterSpec, card: Card) -> tuple[float, tuple[str, ...]]:
    """Return the factor that scales images to the pixel size of the model, and a note where it is not 1."""
    mpp = card.mpp or (MPP_OF_1X / card.magnification if card.magnification else None)
    if mpp is None or spec.mpp is None:
        return 1.0, ()
    factor = mpp / spec.mpp
    if abs(factor - 1) <= SAME_SCALE:
        return 1.0, ()
    note = f"Images have {mpp:g} um per pixel, the model was trained at {spec.mpp:g}: they were scaled by {factor:.3g}."
    return factor, (note,)


def _check_background(spec: SegmenterSpec, rules: Protocol) -> None:
    """Refuse a protocol that scores background where the segmenter has no channel for it."""
    if rules.background == "score" and not spec.has_background:
        raise UsageError(
            f"The protocol '{rules.name}' scores background, for which this segmenter has no channel: it was trained "
            f"for '{spec.about.get('protocol')}'. Train one for it with --set seg.protocol={rules.name}, or choose "
            "another --protocol."
        )


def _default_folder(model: Path | str, source: Path) -> Path:
    """Return the folder of the predictions of a model on disk."""
    if Path(model).is_dir():
        return source / PREDICTIONS
    raise UsageError(f"{model} is no folder to write predictions into. Choose one with --out.")


def _settings(
    options: PredictOptions, source: Path, split: SplitData, precision: Precision, factor: float
) -> dict[str, Any]:
    """Return all options that predictions depend on, and the hash of the weights."""
    return {
        **{key: value for key, value in options.model_dump().items() if key not in ("batch", "device")},
        "precision": precision,
        "factor": round(factor, 6),
        "dataset": split.card.name,
        "split": split.name,
        "model": digest_of_file(source / WEIGHTS),
    }
