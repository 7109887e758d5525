"""Draw a held-out slide of the demo beside its segmentation and the truth.

qaclims demo --seed 0 --out demo
python scripts/reproduce/demo_picture.py demo docs/demo.jpg
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from qaclims_path import load_segmenter, open_slide
from qaclims_path.compute.painting import painted
from qaclims_path.compute.resize import resize_nearest
from qaclims_path.data.cards import load_card
from qaclims_path.errors import QaclimsError, UsageError
from qaclims_path.files.images import read_mask, write_image
from qaclims_path.pipeline.inference.arrays import ImageSegmenter

ROW = "qa-clims-path"
PANEL, GAP, TITLE = 400, 10, 36  # pixels of the picture
PAPER, INK = (255, 255, 255), (32, 33, 36)
QUALITY = 85  # of the JPEG
NONE = 255  # label of glass and fat
FILL = 0.3  # opacity of the classes; the panels are too small to show nuclei
Pixels = NDArray[np.uint8]


def main() -> None:
    """Read the demo and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path, help="folder of `qaclims demo`")
    parser.add_argument("out", type=Path, help="JPEG to write")
    parser.add_argument("--slide", default="DM0009", help="name of a held-out slide")
    options = parser.parse_args()
    try:
        write_image(options.out, draw(options.demo, options.slide), quality=QUALITY)
    except QaclimsError as error:
        raise SystemExit(str(error)) from error


def draw(demo: Path, slide: str) -> Pixels:
    """Panels side by side, with titles above and class colours below; H W 3."""
    truth = demo / "slides" / f"{slide}_truth.tiff"
    if not truth.is_file():
        raise UsageError(f"{truth} does not exist. Give the folder of a demo that is done.")
    with open_slide(demo / "slides" / f"{slide}.tiff") as opened:
        mpp, level = opened.mpp[0], opened.info.levels[0]
        pixels = opened.read(0, 0, level.width, level.height, mpp)
    segmenter = load_segmenter(demo / "runs" / ROW)
    labels, _ = segmenter(pixels, mpp)
    small = np.asarray(Image.fromarray(pixels).resize((PANEL, PANEL), Image.Resampling.LANCZOS))
    panels = {
        "held-out slide (painted)": small,
        "segmentation": overlaid(small, labels, segmenter),
        "truth": overlaid(small, truth_labels(truth, segmenter.classes), segmenter),
    }
    return sheet(panels, segmenter)


def truth_labels(path: Path, classes: Sequence[str]) -> Pixels:
    """Read the truth of a painted slide as labels H W, indices into `classes`; `NONE` on glass and fat."""
    card = load_card("phantom")
    index = np.full(256, NONE, np.uint8)
    index[[card.names.index(name) for name in classes]] = range(len(classes))
    return index[card.decode(read_mask(path), path)]


def overlaid(pixels: Pixels, labels: Pixels, segmenter: ImageSegmenter) -> Pixels:
    """Outline labels of any size over a panel; white where there is no label."""
    small = resize_nearest(labels, *pixels.shape[:2])
    bare = np.where(small[..., None] == NONE, np.uint8(255), pixels)
    return painted(bare, small, segmenter.colored(np.arange(256, dtype=np.uint8)), hidden=[NONE], fill=FILL)


def sheet(panels: dict[str, Pixels], segmenter: ImageSegmenter) -> Pixels:
    """Put titled panels beside each other, and the legend below them."""
    image = Image.new("RGB", (len(panels) * (PANEL + GAP) + GAP, PANEL + 2 * TITLE + 2 * GAP), PAPER)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size=24)
    for column, (title, pixels) in enumerate(panels.items()):
        left = GAP + column * (PANEL + GAP)
        pen.text((left, GAP), title, INK, font=font)
        image.paste(Image.fromarray(pixels), (left, GAP + TITLE))
    left, top = GAP, GAP + TITLE + PANEL + GAP
    for name, color in zip(segmenter.classes, segmenter.colors, strict=True):
        pen.rectangle((left, top, left + 20, top + 20), color)
        pen.text((left + 28, top - 5), name, INK, font=font)
        left += 56 + round(font.getlength(name))
    return np.asarray(image)


if __name__ == "__main__":
    main()
