"""Augmentation in two halves: a loader's worker draws the numbers and cuts a window, the device does the rest.

The worker decodes, draws an `Augmented` image's numbers from torch's global random state, which the engine sets per
(seed, epoch, image), and cuts the window of bytes that they need. `Augment` then changes a whole batch on its device.
The numbers have the distribution of `data.transforms.augmentation`, and equal numbers give equal pixels.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from qaclims_path.compute import augmentation as batched
from qaclims_path.data.card import IGNORE

WHITE, GREY = (1.0,) * 3, (0.45,) * 3  # padding of tissue and of photographs
BLUR, NOISE = (0.25, 1.0), 0.03  # standard deviations: of blur in pixels, of noise at most
NUMBERS, BLURRED, NOISY = "numbers", "blurred", "noisy"  # keys of a batch
U8 = NDArray[np.uint8]
Pad = Literal["centre", "end", "anywhere"]
HSV = 180, 255, 255  # units of the change of hue, saturation and value, as of bytes in OpenCV


@dataclass(frozen=True)
class Augmentation:
    """Random changes of training images.

    Attributes:
        size: Side of the result in pixels.
        fill: Colour of pixels beyond the image, in 0..1.
        rotate: Turn by right angles and flip vertically: for tissue, not for photographs.
        zoom: Smallest and largest factor.
        long: Smallest and largest length of the longer side in pixels, as published by CLIMS and QA-CLIMS, in place of
            turns and zoom; images that are smaller than the result are placed anywhere.
        jitter: Strength of the colour change, 0 to below 1.
        blur: Probability of blur.
        noise: Probability of noise.
        factors: Factors that the zoom is chosen from, in place of any within `zoom`.
        pad: Where an image lies that is smaller than the result: in the `centre`, before padding at its `end` (below
            and at the right, before flips), or `anywhere`.
        hsv: Largest change of hue, saturation and value, in 180ths of the circle and 255ths; 0 changes none.
    """

    size: int
    fill: tuple[float, ...]
    rotate: bool = True
    zoom: tuple[float, float] = (0.8, 1.25)
    long: tuple[int, int] | None = None
    jitter: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    factors: tuple[float, ...] | None = None
    pad: Pad = "centre"
    hsv: int = 0


def augmentation_for(
    size: int, *, tissue: bool, zoom: tuple[float, float], jitter: float = 0.0, blur: float = 0.0, noise: float = 0.0
) -> Augmentation:
    """Make the augmentation of tissue, or of photographs, which keep up and down."""
    fill = WHITE if tissue else GREY
    return Augmentation(size, fill, rotate=tissue, zoom=zoom, jitter=jitter, blur=blur, noise=noise)


@dataclass(frozen=True)
class Draw:
    """The random numbers of one image.

    Attributes:
        flips: Whether it is flipped vertically, and horizontally.
        turns: Right angles that it is turned by, after the flips.
        factor: Zoom.
        long: Length of its longer side for the published augmentation.
        corner: Where it is cropped, along rows and columns, in 0..1 of the possible positions.
        powers: Power of each colour channel.
        sigmas: Standard deviations of blur along rows and columns in pixels; 0 without blur.
        noise: Standard deviation of noise; 0 without noise.
        noise_start: First pixel of the noise field that is read.
        hsv: What is added to hue, saturation and value, in 0..1; empty where nothing is.
    """

    flips: tuple[bool, bool] = (False, False)
    turns: int = 0
    factor: float = 1.0
    long: int = 0
    corner: tuple[float, float] = (0.5, 0.5)
    powers: tuple[float, ...] = (1.0, 1.0, 1.0)
    sigmas: tuple[float, ...] = (0.0, 0.0)
    noise: float = 0.0
    noise_start: int = 0
    hsv: tuple[float, ...] = ()


def draw(options: Augmentation, random: np.random.Generator) -> Draw:
    """Draw the numbers of one image."""
    turning = options.rotate and options.long is None
    low, high = 1 - options.jitter, 1 + options.jitter
    return Draw(
        flips=(turning and random.random() < 0.5, bool(random.random() < 0.5)),
        turns=int(random.integers(4)) if turning else 0,
        factor=float(random.uniform(*options.zoom) if options.factors is None else random.choice(options.factors)),
        long=0 if options.long is None else int(random.integers(options.long[0], options.long[1] + 1)),
        corner=(float(random.random()), float(random.random())),
        powers=tuple(random.uniform(low, high, 3).tolist()),
        sigmas=tuple(random.uniform(*BLUR, 2).tolist()) if random.random() < options.blur else (0.0, 0.0),
        noise=float(random.uniform(0, NOISE)) if random.random() < options.noise else 0.0,
        noise_start=int(random.integers(batched.noise_starts(options.size))),
        hsv=tuple((random.integers(-options.hsv, options.hsv + 1, 3) / HSV).tolist()) if options.hsv else (),
    )


@dataclass(frozen=True)
class Axis:
    """How one axis of the output shows one axis of the source.

    Attributes:
        length: Pixels of the source.
        zoomed: Pixels of the zoomed source.
        first: Index in the zoomed source of the output's first pixel; negative where the source is padded.
        size: Pixels of the output.
        reverse: Whether the source is shown from its end.
    """

    length: int
    zoomed: int
    first: int
    size: int
    reverse: bool

    @property
    def inside(self) -> tuple[int, int]:
        """First output index that shows the source, and the first after it."""
        return max(0, -self.first), min(self.size, self.zoomed - self.first)

    @property
    def scale(self) -> float:
        """Source pixels per output pixel."""
        return self.length / self.zoomed

    @property
    def window(self) -> slice:
        """The part of the source that the output needs, with a margin for rounding."""
        first, end = self.inside
        low = max(0, math.floor((first + self.first + 0.5) * self.scale - 0.5) - 1)
        high = min(self.length, math.floor((end - 1 + self.first + 0.5) * self.scale - 0.5) + 3)
        return slice(self.length - high, self.length - low) if self.reverse else slice(low, high)

    @property
    def numbers(self) -> tuple[float, ...]:
        """Row of `compute.augmentation.Changes.axes`, for a source that is cut to its window."""
        sign, end = (-1, self.length - 1) if self.reverse else (1, 0)
        offset = (self.first + 0.5) * self.scale - 0.5
        return self.scale, offset, self.length - 1, sign, end - self.window.start

    @property
    def nearest(self) -> NDArray[np.int64]:
        """Source index at the centre of every output index, without interpolation."""
        zoomed = (np.arange(self.size) + self.first + 0.5).astype(np.float32)  # rounds as torch does
        index: NDArray[np.int64] = np.floor(zoomed * np.float32(self.scale)).astype(np.int64).clip(0, self.length - 1)
        return self.length - 1 - index if self.reverse else index


def axes_of(options: Augmentation, drawn: Draw, height: int, width: int) -> tuple[Axis, Axis]:
    """Return how rows and columns of a source are shown."""
    up, left = drawn.flips
    reversed_ = up != (drawn.turns in (2, 3)), left != (drawn.turns in (1, 2))
    corner = drawn.corner[::-1] if drawn.turns % 2 else drawn.corner

    def axis(length: int, reverse: bool, corner: float) -> Axis:  # noqa: FBT001
        zoomed = max(1, math.floor(length * drawn.factor))
        missing = max(options.size - zoomed, 0)
        before = {"centre": missing // 2, "end": missing * reverse, "anywhere": int(corner * (missing + 1))}
        first = int(corner * (zoomed + missing - options.size + 1)) - before[options.pad]
        return Axis(length, zoomed, first, options.size, reverse)

    return axis(height, reversed_[0], corner[0]), axis(width, reversed_[1], corner[1])


def cut(options: Augmentation, drawn: Draw, picture: U8) -> tuple[U8, NDArray[np.float32]]:
    """Cut the window that a drawn image needs (h w 3), and return the numbers for `compute.augmentation`."""
    if options.long is not None:
        return _published(options, drawn, picture)
    rows, columns = axes_of(options, drawn, *picture.shape[:2])
    turned = drawn.turns % 2
    inside = columns.inside + rows.inside if turned else rows.inside + columns.inside
    return picture[rows.window, columns.window], _numbers(
        options, drawn, (*rows.numbers, *columns.numbers), (*inside, turned)
    )


def cut_planes(options: Augmentation, drawn: Draw, planes: U8) -> U8:
    """Change P H W labels as the image is changed, to P S S; 255 beyond the image."""
    rows, columns = axes_of(options, drawn, *planes.shape[1:])
    shown = np.full((len(planes), options.size, options.size), IGNORE, np.uint8)
    inside = [slice(*axis.inside) for axis in (rows, columns)]
    found = planes[:, rows.nearest[inside[0], None], columns.nearest[inside[1]]]
    shown[:, inside[0], inside[1]] = found
    return shown.transpose(0, 2, 1) if drawn.turns % 2 else shown


def _published(options: Augmentation, drawn: Draw, picture: U8) -> tuple[U8, NDArray[np.float32]]:
    """Scale the longer side, flip, and crop or pad to the result's size.

    Scaling is done here, on bytes as in the published code: a VOC image takes 2 ms of a core, and as two batched
    products with a matrix per image it would take 40.
    """
    factor = drawn.long / max(picture.shape[:2])
    height, width = (max(1, round(side * factor)) for side in picture.shape[:2])
    source = torch.from_numpy(np.array(picture[:, ::-1] if drawn.flips[1] else picture, order="C")).permute(2, 0, 1)
    scaled = F.interpolate(source[None], (height, width), mode="bicubic", antialias=True)[0].permute(1, 2, 0).numpy()
    square = np.zeros((options.size, options.size, 3), np.uint8)
    spans = [_span(side, options.size, at) for side, at in zip((height, width), drawn.corner, strict=True)]
    taken, placed = tuple(span[0] for span in spans), tuple(span[1] for span in spans)
    square[placed] = scaled[taken]
    box = [number for part in placed for number in (part.start, part.stop)]
    return square, _numbers(options, drawn, (0.0,) * 10, (*box, 0))


def _span(side: int, size: int, corner: float) -> tuple[slice, slice]:
    """Pixels to read, and where to write them, along one axis."""
    first, count = int(corner * (abs(side - size) + 1)), min(side, size)
    near, far = slice(0, count), slice(first, first + count)
    return (far, near) if side > size else (near, far)


def _numbers(
    options: Augmentation, drawn: Draw, axes: tuple[float, ...], inside: tuple[float, ...]
) -> NDArray[np.float32]:
    return np.array(
        [*axes, *inside, *options.fill, *drawn.powers, *drawn.sigmas, drawn.noise, drawn.noise_start, *drawn.hsv],
        dtype=np.float32,
    )


class Augment:
    """Changes the images of a batch on its device.

    Args:
        options: The options that the batch's numbers were drawn with.
    """

    def __init__(self, options: Augmentation) -> None:
        self.options = options
        self._field = batched.noise_field(options.size) if options.noise else torch.empty(0)

    @torch.no_grad()
    def __call__(self, batch: Mapping[str, Any]) -> Tensor:
        """Return the images as B 3 S S floats in 0..1."""
        options, windows = self.options, batch["image"]
        numbers = batched.changes(batch[NUMBERS])
        moved = (
            windows.float() if options.long else batched.resample(windows, numbers.axes, numbers.turned, options.size)
        )
        images = moved.div_(255)
        if options.hsv:
            images = batched.change_hsv(images, numbers.hsv)
        images = batched.fill_outside(images, numbers.inside, numbers.fill)
        if options.jitter:
            images = batched.change_colours(images, numbers.powers)
        blurred, noisy = batch[BLURRED], batch[NOISY]
        if len(blurred):
            images[blurred] = batched.blur(images[blurred], numbers.sigmas[blurred])
        if len(noisy):
            self._field = self._field.to(images.device)
            images[noisy] += batched.noise_at(self._field, numbers.noise[noisy], options.size)
            images = images.clamp_(0, 1)
        return images.contiguous(memory_format=torch.channels_last)
