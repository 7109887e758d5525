"""Label single images: for each a PNG in the codes of the data set, and one of its confidence."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qaclims_path.compute.labels import labels_and_confidence
from qaclims_path.data.loading import TILE_PIXELS, Failed, Loaded, batches
from qaclims_path.engine.guards import memory_watched
from qaclims_path.errors import QaclimsError
from qaclims_path.files.ahead import ahead
from qaclims_path.files.cores import threads_beside
from qaclims_path.files.images import read_image, write_mask
from qaclims_path.files.progress import track
from qaclims_path.models.segmenters.crf import find_crf
from qaclims_path.models.segmenters.refining import results
from qaclims_path.pipeline.inference.inputs import CONFIDENCE, LABELS, SegmentTask
from qaclims_path.pipeline.inference.model import OUTSIDE, SegmentModel
from qaclims_path.pipeline.inference.slides import LESS
from qaclims_path.slides.cohort.state import SlideState, record

Pixels = NDArray[np.uint8]


def process_images(tasks: Sequence[SegmentTask], model: SegmentModel, batch: int) -> Iterator[SlideState]:
    """Label images and yield the state of each when it ends.

    Args:
        tasks: The images.
        model: The segmenter.
        batch: Number of images of the model's tile size in a batch; of smaller images there are more.
    """
    labelled = _ImageLabels(model)
    crf, threads = find_crf(model.options.crf), threads_beside(model.device.type)
    limit = max(1, round(batch * model.options.size**2 / TILE_PIXELS))
    for factor, group in groupby(sorted(tasks, key=lambda task: factor_of(task, model)), lambda t: factor_of(t, model)):
        by_name = {task.name: task for task in group}
        predict = model.of_images(factor)
        failed: list[Failed] = []
        opened = ahead(partial(_open, model), list(by_name.values()), threads)
        shown = track(opened, "labelling images", len(by_name))
        with memory_watched(LESS, "these images"):
            predicted = (
                (items, predict(np.stack([item.scales[0] for item in items])))
                for items in batches(_good(shown, failed), limit)
            )
            for item, found in results(predicted, labels_and_confidence, lambda item: item.scales[0], crf, threads):
                if isinstance(found, str):
                    failed.append(Failed(item.image, found))
                else:
                    task = by_name[item.image]
                    yield _done(task, labelled(task, item.scales[0], *found))
        for each in failed:
            state = SlideState(each.image, "failed", by_name[each.image].fingerprint, 1, each.why)
            record(by_name[each.image].out, state)
            yield state


def factor_of(task: SegmentTask, model: SegmentModel) -> float:
    """Return the factor by which an image is scaled for the model."""
    return model.scale_of(task.entry.mpp or task.slide_mpp)


class _ImageLabels:
    """Writes the two files of an image; the label map comes last, so an image that has one is complete."""

    def __init__(self, model: SegmentModel) -> None:
        self.model = model
        self.codes = np.full(256, OUTSIDE, np.uint8)  # by channel
        self.codes[: len(model.channels)] = [channel.code for channel in model.channels]
        colors = np.full((256, 3), 255, np.uint8)
        for channel in model.channels:
            colors[channel.code] = channel.color
        self.palette: list[int] = colors.reshape(-1).tolist()

    def __call__(self, task: SegmentTask, pixels: Pixels, labels: Pixels, confidence: Pixels) -> dict[str, Any]:
        """Write the labels and confidence (H W) of an image; returns the facts for the table."""
        labels = self.model.without_glass(labels, pixels)
        known = labels[labels != OUTSIDE] if self.model.hides_glass else labels
        counts = np.bincount(known.ravel(), minlength=len(self.model.channels))
        if self.model.options.confidence:
            write_mask(task.out / CONFIDENCE / f"{task.name}.png", confidence)
        write_mask(task.out / LABELS / f"{task.name}.png", self.codes[labels], self.palette)
        mpp = task.entry.mpp or task.slide_mpp
        given = task.slide_mpp if task.entry.mpp is None else None
        notes = [note] if (note := self.model.about_enlarged(mpp)) else []
        sure = confidence[labels != OUTSIDE] if self.model.hides_glass else confidence
        return {
            "mpp": mpp,
            "given_mpp": given,
            "map_mpp": mpp,
            "tiles": 1,
            "counts": counts.tolist(),
            "notes": notes,
            "confidence": round(float(sure.mean()) / 255, 4) if sure.size else None,
        }


def _done(task: SegmentTask, result: Mapping[str, Any]) -> SlideState:
    state = SlideState(task.name, "done", task.fingerprint, 1, result={**result, "content": task.content()})
    record(task.out, state)
    return state


def _good(items: Iterator[Loaded | Failed], failed: list[Failed]) -> Iterator[Loaded]:
    for item in items:
        if isinstance(item, Failed):
            failed.append(item)
        else:
            yield item


def _open(model: SegmentModel, task: SegmentTask) -> Loaded | Failed:
    """Open one image; an error is returned, not raised."""
    try:
        model.check_enlarged(task.entry.mpp or task.slide_mpp)
        pixels = read_image(Path(task.entry.path))
    except QaclimsError as error:
        return Failed(task.name, str(error))
    return Loaded(task.name, (pixels,), (pixels.shape[0], pixels.shape[1]), ())
