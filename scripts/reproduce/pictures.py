"""Draw the images of a set with the largest gains and losses of the method."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from qaclims_path.compute.painting import painted
from qaclims_path.compute.resize import resize_nearest
from qaclims_path.data.card import IGNORE, Card
from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import list_records
from qaclims_path.data.protocol import load_protocol
from qaclims_path.data.record import MaskFile, Record, load_record
from qaclims_path.files.images import write_image
from reproduce.plan import BASE, Plan, Set
from reproduce.table import Result, miou

SHOWN = 4  # images with the largest gains, and as many with the largest losses
SIDE, GAP, TITLE, SWATCH = 200, 8, 22, 12
PAPER, INK = (255, 255, 255), (32, 33, 36)
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def draw_pictures(results: Sequence[Result], plan: Plan) -> None:
    """Write `<set>/gains.png` of every set with maps of the method and of the base with the same seed."""
    for of in {each.job.of.name: each.job.of for each in results}.values():
        pair = _pair(results, of)
        if pair:
            write_image(plan.out / of.name / "gains.png", np.asarray(_sheet(*pair)))


def gains(base: Result, mine: Result) -> NDArray[np.float64]:
    """Gain in mean IoU of each image, N."""
    with np.errstate(invalid="ignore"):
        more = miou(mine.counts["cams"], mine.job.of) - miou(base.counts["cams"], base.job.of)
    return np.asarray(np.nan_to_num(more), np.float64)


def _pair(results: Sequence[Result], of: Set) -> tuple[Result, Result] | None:
    """Base and method with the lowest seed that both have."""
    found = {
        (each.job.row, each.job.seed): each for each in results if each.job.of.name == of.name and "cams" in each.counts
    }
    for seed in sorted(seed for row, seed in found if row == BASE):
        if (of.method, seed) in found:
            return found[BASE, seed], found[of.method, seed]
    return None


def _sheet(base: Result, mine: Result) -> Image.Image:
    """Rows of image, truth, base and method: the largest gains, then the largest losses."""
    job = mine.job
    card = load_card(job.card)
    records, more = list_records(card, job.root, "val"), gains(base, mine)
    order = np.argsort(-more, kind="stable")
    count = min(SHOWN, len(order) // 2)
    chosen = [*order[:count].tolist(), *order[len(order) - count :].tolist()]
    rows = [(records[index], more[index], _panels(card, records[index], base, mine)) for index in chosen]
    titles = "truth", base.job.row, job.row
    height = sum(max(panel.height for panel in panels) + TITLE + GAP for _, _, panels in rows) + TITLE
    sheet = Image.new("RGB", ((len(titles) + 1) * (SIDE + GAP) + GAP, height + GAP), PAPER)
    pen, font, top = ImageDraw.Draw(sheet), ImageFont.load_default(size=13), GAP + TITLE
    _legend(pen, card, [card.names.index(name) for name in job.of.headline if name in card.names], font)
    for record, points, panels in rows:
        for column, title in enumerate((f"{100 * points:+.0f} points: {record.id}", *titles)):
            pen.text((GAP + column * (SIDE + GAP), top), _cut(title, font), INK, font=font)
            sheet.paste(panels[column], (GAP + column * (SIDE + GAP), top + TITLE))
        top += max(panel.height for panel in panels) + TITLE + GAP
    return sheet


def _legend(pen: ImageDraw.ImageDraw, card: Card, labels: Sequence[int], font: Font) -> None:
    """The colours of some classes, in one line at the top."""
    left = GAP
    for label in labels:
        pen.rectangle((left, GAP, left + SWATCH, GAP + SWATCH), tuple(card.palette[label].tolist()))
        pen.text((left + SWATCH + GAP // 2, GAP - 1), card.names[label], INK, font=font)
        left += SWATCH + 2 * GAP + round(font.getlength(card.names[label]))


def _cut(title: str, font: Font) -> str:
    """Shorten a title to the width of its panel."""
    while font.getlength(title) > SIDE:
        title = title.removesuffix("...")[:-1] + "..."
    return title


def _panels(card: Card, record: Record, *compared: Result) -> list[Image.Image]:
    """The image, the truth, and the labels of the compared runs, at the pixels that are scored."""
    picture, _, truth = load_record(card, record)
    paths = [each.job.out / "cams-labelled" / "val" / "labels" / f"{record.id}.png" for each in compared]
    found = [card.decode(MaskFile(path).codes(), path) for path in paths]
    if truth is not None:
        glass = load_protocol(card.protocols[0]).background != "score"
        unscored = (truth == IGNORE) | ((truth == card.background_index) & glass)
        truth, *found = (np.where(unscored, IGNORE, each) for each in (truth, *found))
    labelled = [truth, *found]
    fitted = _fitted(Image.fromarray(picture))
    small = np.asarray(fitted)
    resized = [resize_nearest(each, *small.shape[:2]) for each in labelled if each is not None]
    return [fitted, *(Image.fromarray(painted(small, each, card.palette, hidden=[IGNORE])) for each in resized)]


def _fitted(image: Image.Image) -> Image.Image:
    """Scale to at most `SIDE` pixels."""
    scale = SIDE / max(image.size)
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
