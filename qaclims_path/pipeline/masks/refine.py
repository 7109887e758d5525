"""One pass of images through a refiner: maps and pixels in, three PNG files for each image out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qaclims_path.compute.tissue import glass_of
from qaclims_path.data.card import IGNORE, Card
from qaclims_path.data.finest import finest
from qaclims_path.data.loading import TILE_PIXELS
from qaclims_path.data.pseudo import CONFIDENCE, LABELS, TRAINING, pseudo_card
from qaclims_path.data.record import Record
from qaclims_path.errors import QaclimsError
from qaclims_path.files.ahead import ahead
from qaclims_path.files.cores import threads_beside
from qaclims_path.files.images import write_mask
from qaclims_path.files.maps import ImageMaps, MapReader
from qaclims_path.models.refiners import Refined, Refiner
from qaclims_path.pipeline.masks.settings import Glass


@dataclass(frozen=True)
class Pictured:
    """One image with its maps, or the problem that it has."""

    record: Record
    pixels: NDArray[np.uint8] | None = None
    stored: ImageMaps | None = None
    problem: str = ""


class Opener:
    """Opens images and their maps in threads; problems are noted, not raised.

    Args:
        reader: The maps.
        fine: Merge maps at full size where those of every scale were kept.
    """

    def __init__(self, reader: MapReader, *, fine: bool = False) -> None:
        self.reader, self.fine = reader, fine

    def __call__(self, record: Record) -> Pictured:
        """Open one image."""
        try:
            pixels, stored = record.image.pixels(), self.reader[record.id]
        except QaclimsError as error:
            return Pictured(record, problem=str(error))
        if stored.size != pixels.shape[:2]:
            height, width = stored.size
            return Pictured(
                record,
                problem=f"{record.image} is {pixels.shape[1]} x {pixels.shape[0]} pixels, but its maps were made of "
                f"{width} x {height}. Make the maps again.",
            )
        if self.fine and stored.scales:
            stored = replace(stored, maps=finest(stored), scales=())
        return Pictured(record, pixels, stored)


class MaskWriter:
    """Writes the masks of images; the label map is written last, so an image with a label map is done.

    Args:
        folder: Gets the folders `labels`, `training` and `confidence`.
        card: Gives the codes and colours of the masks.
        glass: Labels of white glass.
        least: Confidence below which a training mask is 255.
    """

    def __init__(self, folder: Path, card: Card, glass: Glass, least: float) -> None:
        self.folder, self.card, self.glass, self.least = folder, card, glass, least
        self.own = pseudo_card(card)

    def path(self, kind: str, image: str) -> Path:
        """Return the path of one of the three files of an image; the kind is the name of its folder."""
        return self.folder / kind / f"{image}.png"

    def has(self, image: str) -> bool:
        """Return whether an image is done."""
        return self.path(LABELS, image).is_file()

    def write(
        self,
        image: str,
        pixels: NDArray[np.uint8],
        labels: NDArray[np.uint8],
        confidence: NDArray[np.float32],
        doubt: NDArray[np.bool_],
    ) -> float:
        """Write the three files; return the share of the image that its training mask ignores.

        Args:
            image: Name of the image.
            pixels: H W 3.
            labels: H W, label indices.
            confidence: H W, in 0..1.
            doubt: H W, pixels whose label is uncertain.
        """
        if self.glass != "keep":
            glass = glass_of(pixels)
            if self.glass == "background":
                labels = np.where(glass, np.uint8(self.card.background_index), labels)
                confidence, doubt = np.where(glass, np.float32(1), confidence), doubt & ~glass
            else:
                doubt = doubt | glass
        ignored = doubt | (confidence < self.least)
        training = np.where(ignored, np.uint8(IGNORE), labels)
        write_mask(self.path(CONFIDENCE, image), (confidence * 255).round().clip(0, 255).astype(np.uint8))
        write_mask(self.path(TRAINING, image), self.own.encode(training), self.own.code_palette)
        write_mask(self.path(LABELS, image), self.card.encode(labels), self.card.code_palette)
        return float(ignored.mean())


def refine_images(
    records: Sequence[Record], open_: Opener, refine: Refiner, tiles: int, device: torch.device
) -> Iterator[tuple[Pictured, Refined | None]]:
    """Refine images batch by batch; masks are on the CPU, and None where an image could not be opened.

    Args:
        records: Images.
        open_: Opens an image with its maps.
        refine: Turns maps into masks.
        tiles: Images of 224 px in a batch; fewer if they are larger.
        device: Device to refine on.
    """
    for batch in _batches(ahead(open_, records, threads_beside(device.type)), tiles):
        if batch[0].stored is None:
            yield batch[0], None
            continue
        images, maps, present = _stacked(batch, device)
        found = refine(images, maps, present)
        for row, item in enumerate(batch):
            yield item, Refined(*(part[row].cpu() for part in found))


def to_label_indices(numbers: NDArray[np.uint8], classes: Sequence[int], background: int) -> NDArray[np.uint8]:
    """Turn map numbers (H W; the number of maps stands for background) into label indices.

    Args:
        numbers: H W, which map won at each pixel.
        classes: Label index of each map.
        background: Label index of background.

    Examples:
        >>> to_label_indices(np.array([0, 1, 2], np.uint8), (0, 3), background=4).tolist()
        [0, 3, 4]
    """
    return np.array([*classes, background], np.uint8)[numbers]


def _batches(items: Iterator[Pictured], tiles: int) -> Iterator[list[Pictured]]:
    """Group images of one size and one number of maps; each problem is a batch of its own."""
    waiting: dict[tuple[int, ...], list[Pictured]] = {}
    for item in items:
        if item.stored is None:
            yield [item]
            continue
        height, width = item.stored.size
        group = waiting.setdefault(item.stored.maps.shape + item.stored.size, [])
        group.append(item)
        if (len(group) + 1) * height * width > tiles * TILE_PIXELS:
            yield waiting.pop(item.stored.maps.shape + item.stored.size)
    yield from waiting.values()


def _stacked(batch: Sequence[Pictured], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Stack images (B 3 H W in 0..1), maps (B K h w) and which maps are present (B K, all)."""
    pixels = torch.from_numpy(np.stack([item.pixels for item in batch if item.pixels is not None])).to(device)
    maps = torch.from_numpy(np.stack([item.stored.maps for item in batch if item.stored is not None])).to(device)
    present = torch.ones(maps.shape[:2], dtype=torch.bool, device=device)
    return pixels.permute(0, 3, 1, 2).float() / 255, maps.float(), present
