"""Training data of a segmenter: images with pseudo masks and their confidence, or with true masks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qaclims_path.data.augmentation import Augmentation, augmentation_for
from qaclims_path.data.card import IGNORE, Card
from qaclims_path.data.decoded import Decoded, KeptSource, Source
from qaclims_path.data.mosaic import Mosaics
from qaclims_path.data.pseudo import CONFIDENCE, pseudo_records, read_mask_settings
from qaclims_path.data.record import MaskFile, Record, load_record
from qaclims_path.data.windows import Window, collate_windows
from qaclims_path.errors import BadFile, UsageError, first_of
from qaclims_path.files.ahead import ahead
from qaclims_path.files.cores import threads_beside
from qaclims_path.files.images import image_size, read_mask
from qaclims_path.files.kept import Kept
from qaclims_path.files.progress import track
from qaclims_path.pipeline.segmenter.options import MosaicOptions, SegAugmentOptions

SHOWN = 5
CERTAIN = 255  # highest stored confidence


@dataclass(frozen=True)
class Labelled:
    """Images with masks to train on.

    Attributes:
        card: Card that decodes the masks.
        records: Images with masks.
        confidence: Folder of confidence PNGs; None where every pixel is certain.
        source: Options that the masks were made with, as JSON can hold them.
        left_out: Number of images of the split without a mask.
    """

    card: Card
    records: Sequence[Record]
    confidence: Path | None
    source: Mapping[str, Any]
    left_out: int = 0


class SegTiles:
    """Images with two planes: channel indices, 255 ignored, and confidence in 255ths, 0 below the least one."""

    def __init__(self, data: Labelled, channels: int, *, least: float = 0.0) -> None:
        self.data, self.channels = data, channels
        confidence = np.arange(256, dtype=np.uint8)
        self._used = np.where(confidence.astype(np.float32) / CERTAIN < least, np.uint8(0), confidence)

    def __len__(self) -> int:
        return len(self.data.records)

    def decoded(self, index: int) -> Decoded:
        """Read one image and its planes."""
        record = self.data.records[index]
        labels, confidence, picture = self.opened(record)
        return Decoded(record.id, picture, planes=np.stack([labels, self._used[confidence]]))

    def opened(self, record: Record) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
        """Read channel indices (255 ignored) and confidence in 255ths (both H W), and the pixels (H W 3)."""
        picture, _, truth = load_record(self.data.card, record)
        if truth is None:
            raise BadFile(f"{record.image} has no mask.")
        labels = np.where(truth < self.channels, truth, np.uint8(IGNORE))
        if self.data.confidence is None:
            return labels, np.full_like(labels, CERTAIN), picture
        path = self.data.confidence / f"{record.id}.png"
        confidence = read_mask(path)
        if confidence.shape != labels.shape:
            raise BadFile(f"{path} is {_size(confidence.shape)} pixels, but its image is {_size(labels.shape)}.")
        return labels, confidence, picture

    def class_counts(self) -> Tensor:
        """Count the pixels of every channel (K) over all images, weighted by confidence."""
        counts = np.zeros(256)

        def count(record: Record) -> NDArray[np.float64]:
            labels, confidence, _ = self.opened(record)
            return _weights(labels, self._used[confidence])

        for found in track(ahead(count, self.data.records, threads_beside(None)), "counting labels", len(self)):
            counts += found
        return torch.from_numpy(counts[: self.channels].astype(np.float32))


def collate(windows: Sequence[Window]) -> dict[str, Any]:
    """Stack windows, with the pixels of every label (256), weighted by confidence, as `pixels`."""
    batch = collate_windows(windows)
    labels, confidence = (batch["planes"][:, plane].numpy() for plane in (0, 1))
    return {**batch, "pixels": torch.from_numpy(_weights(labels, confidence)).float()}


def _weights(labels: NDArray[np.uint8], confidence: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Count the pixels of 256 labels, weighted by confidence in 0..1."""
    sums: NDArray[np.float64] = np.bincount(labels.ravel(), confidence.ravel(), minlength=256).astype(np.float64)
    return sums / CERTAIN


def strong_augmentation(options: SegAugmentOptions, domain: str, mean: tuple[float, ...]) -> Augmentation:
    """Turn, zoom and crop image and planes together; change the colours of the image, blur it and add noise.

    Args:
        options: The options.
        domain: Domain of the card, for `style: auto`.
        mean: Mean pixel of the encoder in 0..1, for `fill: mean`.
    """
    usual = augmentation_for(
        options.size,
        tissue=domain == "pathology" if options.style == "auto" else options.style == "tissue",
        zoom=options.zoom,
        jitter=options.stain,
        blur=options.blur,
        noise=options.noise,
    )
    fill = mean if options.fill == "mean" else usual.fill
    return replace(usual, fill=fill, factors=options.factors, pad=options.pad, hsv=options.hsv)


def with_mosaics(tiles: SegTiles, options: MosaicOptions, kept: Kept | None) -> Source:
    """Replace some of the images by mosaics of those that show exactly one class; none where the share is 0."""
    source = tiles if kept is None else KeptSource(tiles, kept)
    if not options.share:
        return source
    names = tiles.data.card.names
    members: list[list[int]] = [[] for _ in names]
    for index, record in enumerate(tiles.data.records):
        if record.present is not None and len(record.present) == 1 and not record.unknown:
            members[record.present[0]].append(index)
    if sum(bool(each) for each in members) < 2:
        found = ", ".join(f"{len(each)} of '{name}'" for name, each in zip(names, members, strict=True))
        raise UsageError(
            "seg.augment.mosaic needs training images whose labels name exactly one class, of two classes at least. "
            f"Here they are {found}. Set seg.augment.mosaic.share=0."
        )
    return Mosaics(source, [each for each in members if each], options.share, options.pieces, options.borders == "free")


def true_masks(card: Card, records: Sequence[Record], split: str) -> Labelled:
    """List the true masks of a split, for supervised rows."""
    if card.split(split).supervision != "masks":
        others = [name for name, each in card.splits.items() if each.supervision == "masks"]
        raise UsageError(
            f"The split '{split}' of '{card.name}' trains on image labels; its masks are never opened. Splits with "
            f"masks are {', '.join(others) or 'none'}: for a supervised row choose one with --set seg.split=NAME."
        )
    kept = [record for record in records if record.mask is not None]
    if not kept:
        raise UsageError(f"No image of the split '{split}' has a mask to train on.")
    return Labelled(card, kept, None, {"truth": True}, len(records) - len(kept))


def pseudo_masks(
    card: Card, own: Card, records: Sequence[Record], folder: Path, *, protocol: str, maps: str | None, confidence: bool
) -> Labelled:
    """List the masks that `qaclims masks` wrote into a folder, and check them against card, protocol and run.

    Args:
        card: Card of the data set.
        own: Card that decodes the masks, see `pseudo_card`.
        records: Images of the split.
        folder: Folder of the masks.
        protocol: Protocol that the segmenter is trained for.
        maps: Digest of the run's network of maps; None does not compare.
        confidence: Read the confidence of pixels, too.
    """
    settings = read_mask_settings(folder)
    made = settings.get("maps", {})
    if made.get("dataset", card.name) != card.name or tuple(made.get("classes", card.names)) != card.names:
        raise UsageError(
            f"{folder} holds masks of the data set '{made.get('dataset')}' with the classes "
            f"{', '.join(made.get('classes', ()))}, but '{card.name}' has {', '.join(card.names)}. Give its own masks."
        )
    if settings.get("protocol", protocol) != protocol:
        raise UsageError(
            f"{folder} was made for the protocol '{settings['protocol']}', which decides what background is, and the "
            f"segmenter is to be trained for '{protocol}'. Choose one: --set seg.protocol={settings['protocol']}, or "
            "make the masks again."
        )
    if maps is not None and made.get("model", maps) != maps:
        raise UsageError(
            f"{folder} holds masks of another run: they were made from maps of the network {made['model']}, and the "
            f"network of this run is {maps}. Make maps and masks of this run first, or give the masks with --masks."
        )
    kept = pseudo_records(records, folder)
    if not kept:
        raise UsageError(f"{folder} has no mask of an image of the split. Give the masks of this split.")
    confidences = folder / CONFIDENCE if confidence else None
    _check_files(kept, confidences)
    return Labelled(own, kept, confidences, settings, len(records) - len(kept))


def _check_files(records: Sequence[Record], confidence: Path | None) -> None:
    """Refuse masks of other sizes than their images, all in one error; only headers are read."""

    def problem(record: Record) -> str:
        paths = [record.mask.path] if isinstance(record.mask, MaskFile) else []
        if confidence is not None:
            paths.append(confidence / f"{record.id}.png")
        size = record.image.size()
        for path in paths:
            other = image_size(path)
            if other != size:
                return f"{path.parent.name}/{path.name} is {_size(other[::-1])} pixels, its image {_size(size[::-1])}"
        return ""

    found: Iterator[str] = ahead(problem, records, threads_beside(None))
    problems = [each for each in track(found, "checking masks", len(records)) if each]
    if problems:
        raise BadFile(
            f"{len(problems)} masks do not fit their images: {first_of(problems, SHOWN, '; ')}. Make maps and masks "
            "again from the images as they are now."
        )


def _size(shape: Sequence[int]) -> str:
    return f"{shape[1]} x {shape[0]}"
