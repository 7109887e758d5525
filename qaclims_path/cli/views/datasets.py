"""Show data sets, their cards, and what was checked or counted in them."""

from collections.abc import Iterator, Sequence
from itertools import compress, groupby

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from qaclims_path.cli.views.tables import FAINT, pairs, plain_table, titled, warnings_part
from qaclims_path.data.card import Card
from qaclims_path.data.card_parts import Published
from qaclims_path.pipeline.datasets.check import CheckReport
from qaclims_path.pipeline.datasets.list_cards import ListReport
from qaclims_path.pipeline.datasets.stats import ClassStats, SplitStats, StatsReport
from qaclims_path.report.numbers import number, spaced

MOST_NAMED = 6  # classes written out in the list
MOST_TOGETHER = 12  # classes of the widest table of co-occurrence that fits a screen
DICE_MADE = {"per_class_mean": "class mean", "from_miou": "from mIoU", "unknown": "unknown"}
STATES = {
    "complete": "green",
    "found": "green",
    "partial": "yellow",
    "absent": FAINT,
    "too many": "red",
    "unlisted": "red",
}


def list_view(report: ListReport) -> Iterator[RenderableType]:
    """Three lines per data set, which fit a narrow terminal."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    for line in report.cards:
        few = len(line.classes) <= MOST_NAMED
        classes = ", ".join(line.classes) if few else f"{', '.join(line.classes[:3])}, ... ({len(line.classes)})"
        counts = ", ".join(f"{name} {spaced(count)}" for name, count in line.splits.items())
        public = "" if line.public else "; no public download"
        below = f"\n{classes}\n{counts}; protocol {line.protocol}{public}"
        table.add_row(Text(line.name, style="bold"), Text(line.title).append(below, style=FAINT))
    yield table
    for name, reason in report.broken.items():
        yield Text.assemble((f"The card '{name}' cannot be read: ", "red"), reason)


def card_view(card: Card) -> Iterator[RenderableType]:
    """All facts of a card."""
    yield Text(card.title, style="bold")
    yield pairs(_facts(card))
    yield from titled("Classes", _class_table(card))
    yield from titled("Splits", _split_table(card))
    published = sorted(card.published, key=_rules)
    for (protocol, gate), rows in groupby(published, _rules):
        true_labels = " (sees true labels)" if gate == "oracle" else ""
        yield from titled(f"Published, protocol {protocol}, gate {gate}{true_labels}", _published_table([*rows]))
    for title, sentences in (("Not known", card.unknown), ("Notes", card.notes)):
        if sentences:
            yield from titled(title, Group(*(Text(f"- {sentence}") for sentence in sentences)))


def check_view(report: CheckReport) -> Iterator[RenderableType]:
    """Splits against the card, the problems by kind, and warnings before a training."""
    for split in report.splits:
        yield Text.assemble((f"{split.name:<14}", "bold"), (split.summary, STATES[split.state]))
    for group in report.problems:
        yield Text(f"\n{group.title} ({spaced(group.count)})", style="bold red")
        yield from (Text(f"- {sentence}") for sentence in group.first)
        if group.more:
            yield Text("- and more of these; mend the first ones and check again", style=FAINT)
    yield from warnings_part(report.warnings)
    verdict = ("Nothing is wrong", "green") if report.passed else ("Something is wrong", "bold red")
    opened = f"{'headers read of' if report.quick else 'opened'} {spaced(report.opened)}"
    yield Text.assemble("\n", verdict, f" with '{report.dataset}' in {report.root} ({opened}).")


def stats_view(report: StatsReport) -> Iterator[RenderableType]:
    """Per split: sizes, classes, classes per image, classes together."""
    for split in report.splits:
        patients = f", {spaced(split.patients)} patients" if split.patients else ""
        yield Text(f"\n{split.name}: {spaced(split.images)} images{patients}", style="bold")
        widths, heights = (", ".join(str(side) for side in sides) for sides in (split.widths, split.heights))
        yield Text(f"width {widths}, height {heights} pixels (smallest, median, largest)")
        per_image = ", ".join(
            f"{classes}: {spaced(images)}" for classes, images in enumerate(split.classes_per_image) if images
        )
        known = " known to be present" if any(row.unknown for row in split.classes) else ""
        yield Text(f"images by number of classes{known}: {per_image}")
        yield _class_stats_table(split.classes)
        if 1 < len(split.together) <= MOST_TOGETHER:
            yield from titled("Images that hold both", _together_table(split))
    for name, reason in report.absent.items():
        yield Text.assemble((f"\n{name} was not counted: ", "yellow"), reason)


def _rules(row: Published) -> tuple[str, str]:
    return row.protocol, row.gate


def _facts(card: Card) -> Iterator[tuple[str, str]]:
    yield "name", card.name
    yield "domain", ", ".join(word for word in (card.domain, card.organ, card.stain) if word)
    if card.mpp:
        yield "pixel size", f"{card.mpp:g} um"
    if card.magnification:
        yield "magnification", f"{card.magnification:g}x"
    if card.image_size:
        yield "image size", f"{card.image_size[0]} x {card.image_size[1]} pixels"
    yield "layout", card.format
    yield "protocols", ", ".join(card.protocols)
    yield "public", "yes" if card.public else "no"
    yield "licence", card.licence
    yield "citation", card.citation
    yield "how to get it", card.get


def _class_table(card: Card) -> Table:
    table = plain_table("", "class", "mask codes", "also called")
    rows = [(info.color, info.name, info.title, info.synonyms) for info in card.classes]
    if card.background:
        rows.append((card.background.color, "background", card.background.display, ()))
    for color, name, display, synonyms in rows:
        codes = ", ".join(code for code, target in card.codes.items() if target == name)
        title = name if display == name else f"{name} ({display})"
        swatch = Text("   ", style=f"on rgb({color[0]},{color[1]},{color[2]})")
        table.add_row(swatch, Text(title), codes, Text(", ".join(synonyms)))
    ignored = ", ".join(code for code, target in card.codes.items() if target == "ignore")
    if ignored:
        table.add_row("", Text("left out of scores", style=FAINT), ignored, "")
    return table


def _split_table(card: Card) -> Table:
    table = plain_table("_split", "_part", ">images", "learns from", "labels from", "folders looked for")
    for name, split in card.splits.items():
        folders = Text(", ".join(split.images))
        if split.note:
            folders.append(f"\n{split.note}", style=FAINT)
        sources = (split.supervision, split.labels_from)
        table.add_row(Text(name, style="bold"), split.part, spaced(split.count), *sources, folders)
    return table


def _published_table(rows: Sequence[Published]) -> Group:
    """The rows, with their sources as numbered notes below."""
    sources = list(dict.fromkeys(row.source for row in rows))
    table = plain_table("method", "_split", "_what", ">mIoU", ">FwIoU", ">Dice", "Dice made", ">source")
    for row in rows:
        method = Text(row.method)
        if row.note:
            method.append(f"\n{row.note}", style=FAINT)
        miou, fwiou, dice = (number(score, none="") for score in (row.miou, row.fwiou, row.dice))
        spread = f" ± {row.miou_std:g}" if row.miou_std is not None else ""
        made = DICE_MADE[row.dice_made] if dice else ""
        note = Text(f"[{sources.index(row.source) + 1}]")
        table.add_row(method, row.split, row.what, miou + spread, fwiou, dice, made, note)
    notes = [Text(f"[{index}] {source}", style=FAINT) for index, source in enumerate(sources, start=1)]
    return Group(table, *notes)


def _class_stats_table(classes: Sequence[ClassStats]) -> Table:
    masked, unsure = classes[0].pixels is not None, any(each.unknown for each in classes)
    headings = {">images": True, ">of images": True, ">unknown": unsure, ">pixels": masked, ">of pixels": masked}
    table = plain_table("class", *(heading for heading, shown in headings.items() if shown))
    for each in classes:
        images, unknown = ("", "") if each.images is None else (spaced(each.images), spaced(each.unknown))
        pixels = "" if each.pixels is None else spaced(each.pixels)
        cells = (images, number(each.image_share, ".1%", ""), unknown, pixels, number(each.pixel_share, ".1%", ""))
        table.add_row(Text(each.name), *compress(cells, headings.values()))
    return table


def _together_table(split: SplitStats) -> Table:
    names = [each.name for each in split.classes[: len(split.together)]]
    table = plain_table("", *(f">{name}" for name in names))
    for name, row in zip(names, split.together, strict=True):
        table.add_row(Text(name), *(spaced(value) for value in row))
    return table
