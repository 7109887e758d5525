"""Task of the engine that trains a segmenter, and callbacks after every epoch: pictures and validation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from qaclims_path.compute.confusion import Confusion
from qaclims_path.compute.schedules import risen
from qaclims_path.compute.scores import score
from qaclims_path.compute.transfer import sent
from qaclims_path.data.card import IGNORE
from qaclims_path.data.dataset import SegmentationDataset, to_tensor
from qaclims_path.data.protocol import Protocol
from qaclims_path.engine.task import Batch, EpochEnd, StepInfo
from qaclims_path.errors import UsageError
from qaclims_path.models.segmenters.losses import PixelTargets, halves, losses, pixel_targets, reduced
from qaclims_path.models.segmenters.segmenter import Segmenter
from qaclims_path.pipeline.segmenter.data import CERTAIN, SegTiles
from qaclims_path.pipeline.segmenter.options import MIOU, SegLossOptions

ONE_VALUE = "more than 1 value per channel"  # in the error of torch for a batch norm over a single number
WHITE, GAP, OPACITY = 255, 6, 0.5
Targets = tuple[PixelTargets, Tensor | None]  # pixels, and class weights (K)


class SegTask:
    """Training step: several losses, on labels with ignored pixels and confidence.

    Attributes:
        network: The segmenter, under the name that the engine expects.
        segmenter: The same network.
        class_weights: K; None weighs all classes alike.
        augment: Makes the images (B 3 H W in 0..1) of a batch.
        memory_advice: Advice for a lack of memory.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        options: SegLossOptions,
        class_weights: Tensor | None,
        head_factor: float,
        augment: Callable[[Batch], Tensor] = itemgetter("image"),
    ) -> None:
        self.network: nn.Module = segmenter  # the type that the engine expects
        self.segmenter, self.class_weights = segmenter, class_weights
        self._moved = class_weights  # on the device, from the first step on
        self.augment = augment
        self._terms, self._head_factor = options.terms, head_factor
        self._halves, self._enlarged = options.class_weights == "halves", options.size == "image"
        forgive = options.forgive
        self._easy, self._own, self._ramp = forgive.easy, forgive.own, forgive.ramp
        self.memory_advice = "Or lower seg.augment.size."

    def parameter_groups(self, lr: float) -> Sequence[Mapping[str, Any]]:
        """Return parameters of the encoder, and of the decoder with its higher learning rate."""
        return self.segmenter.parameter_groups(lr, self._head_factor)

    def counts(self, batch: Batch) -> Mapping[str, float]:
        """Return the total weight of the pixels, over which losses are averaged."""
        pixels = batch["pixels"][: len(self.segmenter.spec.channels)]
        total = float((pixels if self.class_weights is None else pixels * self.class_weights).sum())
        return {"weight": total, **({"background": float(pixels[-1])} if self._halves else {})}

    def step(self, batch: Batch, info: StepInfo) -> Mapping[str, Tensor]:
        """Compute the losses of a micro-batch, summed over the outputs of all scales."""
        images = self.augment(batch)
        try:
            outputs = self.segmenter.training_logits(images, enlarged=self._enlarged)
        except ValueError as error:
            if ONE_VALUE not in str(error):
                raise
            raise UsageError(
                "This architecture normalises over the images of a micro-batch and needs at least two of them. Raise "
                "seg.train.batch, lower seg.train.accumulate, or set seg.train.batchnorm=frozen."
            ) from error
        if self._enlarged:
            targets = [self._targets(batch["planes"], info)] * len(outputs)
        else:
            planes = F.pad(batch["planes"], self.segmenter.padding(images), value=IGNORE)
            targets = [self._own_targets(reduced(planes, *logits.shape[-2:])) for logits in outputs]
        own = self._own * risen(info.progress, self._ramp)
        each = [
            losses(logits, pixels, self._terms, classes, easy=self._easy, own=own)
            for logits, (pixels, classes) in zip(outputs, targets, strict=True)
        ]
        named = {name: torch.stack([terms[name] for terms in each]).sum() for name in self._terms}
        loss = torch.stack([weight * named[name] for name, weight in self._terms.items()]).sum()
        pixels, _ = targets[-1]
        right = (outputs[-1].detach().argmax(1) == pixels.labels) & (pixels.weight > 0)
        share = right.sum() / (pixels.weight > 0).sum().clamp(min=1)
        return {"loss": loss, **{name: value.detach() for name, value in named.items()}, "agreement": share}

    def _targets(self, planes: Tensor, info: StepInfo) -> Targets:
        """Return the pixels of a micro-batch (planes B 2 H W), for means over the whole batch."""
        labels, confidence = planes.unbind(1)
        if self._halves:
            weights = halves(info.counts["weight"], info.counts["background"], len(self.segmenter.spec.channels))
            return pixel_targets(labels, confidence / CERTAIN, 1.0), sent(weights.numpy(), planes.device)
        return pixel_targets(labels, confidence / CERTAIN, info.counts["weight"]), self._weights(planes.device)

    def _own_targets(self, planes: Tensor) -> Targets:
        """Return the pixels of one output (planes B 2 h w), for means over the micro-batch."""
        labels, confidence = planes.unbind(1)
        pixels, classes = pixel_targets(labels, confidence / CERTAIN, 1.0), self._weights(planes.device)
        if self._halves:
            last = len(self.segmenter.spec.channels) - 1
            background = (pixels.weight * (pixels.labels == last)).sum()
            return pixels, halves(pixels.weight.sum(), background, last + 1)
        weight = pixels.weight if classes is None else pixels.weight * classes[pixels.labels]
        return replace(pixels, total=weight.sum()), classes

    def _weights(self, device: torch.device) -> Tensor | None:
        """Return the class weights on a device."""
        if self._moved is not None:
            self._moved = self._moved.to(device)
        return self._moved


class LabelPictures:
    """Callback of the engine that draws a few training images with their labels and predictions.

    Args:
        data: Training images.
        segmenter: The segmenter.
        palette: 256 x 3 colours by label index.
        count: Number of images, spread over the data.
    """

    def __init__(self, data: SegTiles, segmenter: Segmenter, palette: NDArray[np.uint8], count: int = 4) -> None:
        indices = np.linspace(0, len(data) - 1, min(count, len(data))).round().astype(int)
        self._opened = [data.opened(data.data.records[index]) for index in dict.fromkeys(indices.tolist())]
        self._segmenter, self._palette = segmenter, palette

    def __call__(self, end: EpochEnd) -> None:
        """Log one sheet, a row per image."""
        if end.processes.is_leader:
            rows = [self._drawn(labels, picture) for labels, _, picture in self._opened]
            width = max(row.shape[1] for row in rows)
            padded = [np.pad(row, ((0, GAP), (0, width - row.shape[1]), (0, 0)), constant_values=WHITE) for row in rows]
            end.picture("labels", np.concatenate(padded))

    def _drawn(self, labels: NDArray[np.uint8], picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        predicted = _predict(self._segmenter, to_tensor(picture))
        panels = [picture, self._over(picture, labels), self._over(picture, predicted)]
        return np.concatenate([np.pad(p, ((0, 0), (0, GAP), (0, 0)), constant_values=WHITE) for p in panels], axis=1)

    def _over(self, picture: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Blend the colours of labels with a grey picture; ignored pixels keep their colour."""
        grey = picture.mean(axis=-1, keepdims=True)
        painted = grey + OPACITY * (self._palette[labels] - grey)
        mixed: NDArray[np.uint8] = np.where(labels[..., None] == IGNORE, picture, painted.round()).astype(np.uint8)
        return mixed


class Validation:
    """Callback of the engine that scores a split and returns its mIoU.

    Args:
        data: Images and masks of the split.
        segmenter: The segmenter.
        rules: The protocol.
    """

    def __init__(self, data: SegmentationDataset, segmenter: Segmenter, rules: Protocol) -> None:
        self._data, self._segmenter, self._rules = data, segmenter, rules

    def __call__(self, end: EpochEnd) -> Mapping[str, float]:
        """Compute the mean IoU of the whole split, whose images all processes share."""
        card, processes = self._data.card, end.processes
        shares = processes.on_all(lambda: self._counted(processes.rank, processes.size))
        over = [card.names.index(name) for name in self._rules.mean_over if name in card.names]
        return {MIOU: float(score(np.sum(shares, axis=0), self._rules.background, over).miou)}

    def _counted(self, first: int, step: int) -> NDArray[np.int64]:
        """Compute the confusion matrix of every `step`-th image from `first` on."""
        counted = Confusion(len(self._data.card.names))
        for sample in (self._data[index] for index in range(first, len(self._data), step)):
            if sample.mask is not None:
                counted.add(sample.mask.numpy(), _predict(self._segmenter, sample.image))
        return counted.matrix


@torch.no_grad()
def _predict(segmenter: Segmenter, image: Tensor) -> NDArray[np.uint8]:
    """Predict channel indices (H W) of an image (3 H W)."""
    logits: Tensor = segmenter(image[None].to(segmenter.mean.device))
    labels: NDArray[np.uint8] = logits[0].softmax(0).cpu().argmax(0).to(torch.uint8).numpy()
    return labels
