"""Mosaics of images that show one class each: training images whose borders between classes are known exactly.

Random numbers come from torch's global state, which the engine sets per (seed, epoch, image).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from qaclims_path.data.decoded import Decoded, Source

SOURCES = 8  # images of one mosaic at most, because each of them may have to be decoded
REACH = 0.45  # largest shift of a free border, in sides of a piece; below one half, so that every piece has a centre
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Mosaics:
    """A source of images, some of which are replaced by mosaics of their size.

    Attributes:
        source: The images, with planes.
        members: Indices of the images with one class, a list for each class.
        share: Probability that an image is replaced.
        pieces: Sides of pieces in pixels; each mosaic has one of them.
        free: Give pieces curved borders; straight ones otherwise.
    """

    source: Source
    members: Sequence[Sequence[int]]
    share: float
    pieces: Sequence[int]
    free: bool = True

    def __len__(self) -> int:
        return len(self.source)

    def decoded(self, index: int) -> Decoded:
        """Return an image, or a mosaic."""
        own = self.source.decoded(index)
        random = np.random.default_rng(int(torch.randint(2**63 - 1, ())))
        if random.random() >= self.share:
            return own
        piece = int(random.choice(self.pieces))
        classes = np.resize(random.permutation(len(self.members)), SOURCES)
        chosen = [self.source.decoded(int(random.choice(self.members[each]))) for each in classes.tolist()]
        height, width = own.pixels.shape[:2]
        rows, columns = cells(height, width, piece, random, free=self.free)
        return _filled(f"{own.id} (mosaic)", rows, columns, piece, chosen, random)


def cells(height: int, width: int, piece: int, random: np.random.Generator, *, free: bool) -> tuple[Indices, Indices]:
    """Return the row and the column of pieces that every pixel belongs to (both H W)."""
    at = [*np.meshgrid(np.arange(height) + 0.5, np.arange(width) + 0.5, indexing="ij")]
    if free:
        coarse = random.uniform(-REACH, REACH, (1, 2, height // piece + 2, width // piece + 2))
        shifts = F.interpolate(torch.from_numpy(coarse), (height, width), mode="bilinear", align_corners=True)[0]
        at = [axis + piece * shift for axis, shift in zip(at, shifts.numpy(), strict=True)]
    rows, columns = (
        np.floor(axis / piece).astype(np.int64).clip(0, -(-side // piece) - 1)
        for axis, side in zip(at, (height, width), strict=True)
    )
    return rows, columns


def _filled(
    name: str, rows: Indices, columns: Indices, piece: int, sources: Sequence[Decoded], random: np.random.Generator
) -> Decoded:
    """Fill every piece from a random part of a random source; a source that is too small is repeated."""
    planes = [source.planes for source in sources if source.planes is not None]
    pixels = np.empty((*rows.shape, 3), np.uint8)
    labels = np.empty((len(planes[0]), *rows.shape), np.uint8)
    margin = int(np.ceil(REACH * piece))
    for row, column in np.ndindex(int(rows.max()) + 1, int(columns.max()) + 1):
        down, across = (slice(max(0, at * piece - margin), (at + 1) * piece + margin) for at in (row, column))
        box = down, across
        inside = (rows[box] == row) & (columns[box] == column)
        source = int(random.integers(len(sources)))
        lengths = sources[source].pixels.shape[:2]
        part = np.ix_(*(_span(*sides, random) for sides in zip(lengths, inside.shape, strict=True)))
        pixels[box][inside] = sources[source].pixels[part][inside]
        for plane, found in zip(labels, planes[source], strict=True):
            plane[box][inside] = found[part][inside]
    return Decoded(name, pixels, planes=labels)


def _span(length: int, size: int, random: np.random.Generator) -> Indices:
    """Return `size` neighbouring indices of an axis, which begin again at its end."""
    first = int(random.integers(max(length - size, 0) + 1))
    found: Indices = (first + np.arange(size)) % length
    return found
