"""A figure of example images beside their masks, with outlines, numbers and a legend of the classes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qaclims_path.data.card import IGNORE
from qaclims_path.report.figures import COLUMN, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEFT, GAP, TITLE, LINE = 0.4, 0.1, 0.4, 0.36  # cm
MAX_SIDE = 640  # pixels of an image that is embedded
MIN_RADIUS = 0.05  # share of a mask's shorter side; no number is written into narrower areas
BRIGHT = 128  # brightness in 0..255; a number on a brighter colour is black, else white
LETTERS = 62  # letters of all classes in one line of the legend
U8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Pictured:
    """One image.

    Attributes:
        title: Why it was chosen.
        image: H W 3.
        masks: Label indices (h w), by the title of their column.
    """

    title: str
    image: U8
    masks: Mapping[str, U8]


def example_figure(rows: Sequence[Pictured], names: Mapping[int, str], palette: U8) -> "Figure":
    """Draw one image per row, with its masks beside it.

    Args:
        rows: Rows of the figure, at least one.
        names: Names by label index, for the legend; classes are numbered in this order.
        palette: 256 x 3 colours by label index.
    """
    columns = ["Image", *dict.fromkeys(title for row in rows for title in row.masks)]
    shown = {index for row in rows for mask in row.masks.values() for index in np.unique(mask).tolist()}
    numbers = {index: str(number) for number, index in enumerate(names, start=1) if index in shown - {IGNORE}}
    texts = {index: f"{number} {names[index]}" for index, number in numbers.items()}
    texts |= {IGNORE: names[IGNORE]} if IGNORE in shown else {}
    width = (COLUMN - LEFT - GAP * len(columns)) / len(columns)
    heights = [width * row.image.shape[0] / row.image.shape[1] for row in rows]
    in_line = max(1, LETTERS // max((len(text) + 4 for text in texts.values()), default=1))
    legend = LINE * -(-len(texts) // in_line) + GAP
    height = TITLE + sum(heights) + GAP * len(rows) + legend
    figure = new_figure(height)
    top = height - TITLE
    for row, tall in zip(rows, heights, strict=True):
        for column, title in enumerate(columns):
            left = LEFT + column * (width + GAP)
            box = (left / COLUMN, (top - tall) / height, width / COLUMN, tall / height)
            if column == 0:
                _draw_image(figure.add_axes(box), row.image)
            elif title in row.masks:
                _draw_mask(figure.add_axes(box), row.masks[title], palette, numbers)
            if row is rows[0]:
                figure.text((left + width / 2) / COLUMN, (top + GAP) / height, title, ha="center")
        figure.text(LEFT / 2 / COLUMN, (top - tall / 2) / height, row.title, rotation=90, ha="center", va="center")
        top -= tall + GAP
    _draw_legend(figure, texts, palette, in_line)
    return figure


def _draw_image(axes: "Axes", pixels: U8) -> None:
    axes.imshow(_small(pixels, Image.Resampling.LANCZOS))
    axes.axis("off")


def _draw_mask(axes: "Axes", labels: U8, palette: U8, numbers: Mapping[int, str]) -> None:
    """Draw a mask in the colours of its classes, an outline around each area, and a number in the widest of a class."""
    labels = _small(labels, Image.Resampling.NEAREST)
    axes.imshow(palette[labels], interpolation="none")
    for index in numbers:
        inside = labels == index
        for line in _outlines(inside):
            axes.plot(line[:, 1], line[:, 0], color="black", linewidth=0.3)
        centre = _widest(inside)
        if centre is not None:
            color = "black" if palette[index] @ (0.299, 0.587, 0.114) > BRIGHT else "white"
            axes.text(*centre, numbers[index], color=color, ha="center", va="center", fontsize=6)
    axes.set(xlim=(-0.5, labels.shape[1] - 0.5), ylim=(labels.shape[0] - 0.5, -0.5))
    axes.axis("off")


def _outlines(inside: NDArray[np.bool_]) -> Iterator[NDArray[np.float64]]:
    """Yield lines around the areas of a mask (H W), as rows and columns of points; the mask's edge is drawn, too."""
    from skimage.measure import find_contours

    for line in find_contours(np.pad(inside, 1).astype(np.uint8), 0.5):
        yield np.clip(line - 1, -0.5, np.array(inside.shape) - 0.5)


def _widest(inside: NDArray[np.bool_]) -> tuple[int, int] | None:
    """Column and row of the centre of the largest circle in a mask (H W), unless it is too small for a number."""
    from scipy.ndimage import distance_transform_edt

    radii = distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(radii.argmax(), radii.shape)
    return (int(column), int(row)) if radii[row, column] > MIN_RADIUS * min(inside.shape) else None


def _draw_legend(figure: "Figure", texts: Mapping[int, str], palette: U8, in_line: int) -> None:
    from matplotlib.patches import Patch

    patches = [
        Patch(facecolor=palette[index] / 255, edgecolor="black", linewidth=0.3, label=text)
        for index, text in texts.items()
    ]
    figure.legend(handles=patches, loc="lower center", ncols=in_line, handlelength=1, columnspacing=1, borderpad=0)


def _small(pixels: U8, method: Image.Resampling) -> U8:
    """Return the pixels (H W or H W 3) with no side longer than `MAX_SIDE`."""
    image = Image.fromarray(pixels)
    scale = min(1.0, MAX_SIDE / max(image.size))
    return np.asarray(image.resize([max(1, round(scale * side)) for side in image.size], method))
