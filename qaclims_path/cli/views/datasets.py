"""How data sets, cards and what was found about them are laid out on a screen."""

from collections.abc import Iterator
from itertools import groupby

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from qaclims_path.data.card import Card
from qaclims_path.data.card_parts import Published
from qaclims_path.pipeline.datasets.check import CheckReport
from qaclims_path.pipeline.datasets.list_cards import ListReport
from qaclims_path.pipeline.datasets.stats import ClassStats, SplitStats, StatsReport
from qaclims_path.report.numbers import spaced

MOST_NAMED = 6  # classes written out in the list
MOST_TOGETHER = 12  # classes of the widest table of co-occurrence that fits a screen
MADE = {"per_class_mean": "class mean", "from_miou": "from mIoU", "unknown": "unknown"}
STATES = {
    "complete": "green",
    "found": "green",
    "partial": "yellow",
    "absent": "bright_black",
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
        counts = ", ".join(f"{name} {_count(count)}" for name, count in line.splits.items())
        public = "" if line.public else "; no public download"
        facts = f"\n{classes}\n{counts}; protocol {line.protocol}{public}"
        about = Text(line.title).append(facts, style="bright_black")
        table.add_row(Text(line.name, style="bold"), about)
    yield table
    for name, reason in report.broken.items():
        yield Text.assemble((f"The card '{name}' cannot be read: ", "red"), reason)


def card_view(card: Card) -> Iterator[RenderableType]:
    """All that a card says."""
    yield Text(card.title, style="bold")
    facts = Table.grid(padding=(0, 2))
    for key, value in _facts(card):
        facts.add_row(Text(key, style="bright_black"), Text(value))
    yield facts
    yield from _titled("Classes", _class_table(card))
    yield from _titled("Splits", _split_table(card))
    for (protocol, gate), rows in groupby(
        sorted(card.published, key=lambda row: (row.protocol, row.gate)), lambda row: (row.protocol, row.gate)
    ):
        heading = f"Published, protocol {protocol}, gate {gate}"
        yield from _titled(f"{heading} (sees true labels)" if gate == "oracle" else heading, _published_table([*rows]))
    for title, sentences in (("Not known", card.unknown), ("Notes", card.notes)):
        if sentences:
            yield from _titled(title, Group(*(Text(f"- {sentence}") for sentence in sentences)))


def check_view(report: CheckReport) -> Iterator[RenderableType]:
    """Splits against the card, then all problems by kind."""
    for split in report.splits:
        yield Text.assemble((f"{split.name:<14}", "bold"), (split.summary, STATES[split.state]))
    for group in report.problems:
        yield Text(f"\n{group.title} ({spaced(group.count)})", style="bold red")
        for sentence in group.first:
            yield Text(f"- {sentence}")
        if group.more:
            yield Text("- and more of these; mend the first ones and check again", style="bright_black")
    how = "headers read of" if report.quick else "opened"
    verdict = ("Nothing is wrong", "green") if report.passed else ("Something is wrong", "bold red")
    yield Text.assemble("\n", verdict, f" with '{report.dataset}' in {report.root} ({how} {spaced(report.opened)}).")


def stats_view(report: StatsReport) -> Iterator[RenderableType]:
    """Per split: sizes, classes, classes per image, classes together."""
    for split in report.splits:
        patients = f", {spaced(split.patients)} patients" if split.patients else ""
        yield Text(f"\n{split.name}: {spaced(split.images)} images{patients}", style="bold")
        yield Text(f"width {_spread(split.widths)}, height {_spread(split.heights)} pixels (smallest, median, largest)")
        per_image = ", ".join(
            f"{number}: {spaced(images)}" for number, images in enumerate(split.classes_per_image) if images
        )
        yield Text(f"images by number of classes: {per_image}")
        yield _class_stats_table(split.classes)
        if 1 < len(split.together) <= MOST_TOGETHER:
            yield from _titled("Images that hold both", _together_table(split))
    for name, reason in report.absent.items():
        yield Text.assemble((f"\n{name} was not counted: ", "yellow"), reason)


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
    yield "public", _yes(card.public)
    yield "licence", card.licence
    yield "citation", card.citation
    yield "how to get it", card.get


def _class_table(card: Card) -> Table:
    table = _table("", "class", "mask codes", "also called")
    rows = [(info.color, info.name, info.title, info.synonyms) for info in card.classes]
    if card.background:
        rows.append((card.background.color, "background", card.background.display, ()))
    for color, name, display, synonyms in rows:
        codes = ", ".join(code for code, target in card.codes.items() if target == name)
        title = name if display == name else f"{name} ({display})"
        table.add_row(_swatch(color), Text(title), codes, Text(", ".join(synonyms)))
    ignored = ", ".join(code for code, target in card.codes.items() if target == "ignore")
    if ignored:
        table.add_row("", Text("left out of scores", style="bright_black"), ignored, "")
    return table


def _split_table(card: Card) -> Table:
    table = _table("_split", "_part", ">images", "learns from", "labels from", "folders looked for")
    for name, split in card.splits.items():
        count = _count(split.count)
        folders = Text(", ".join(split.images))
        if split.note:
            folders.append(f"\n{split.note}", style="bright_black")
        table.add_row(Text(name, style="bold"), split.part, count, split.supervision, split.labels_from, folders)
    return table


def _published_table(rows: list[Published]) -> Group:
    """The rows, with their sources as numbered notes below."""
    sources = list(dict.fromkeys(row.source for row in rows))
    table = _table("method", "_split", "_what", ">mIoU", ">FwIoU", ">Dice", "Dice made", ">source")
    for row in rows:
        method = Text(row.method)
        if row.note:
            method.append(f"\n{row.note}", style="bright_black")
        miou = _number(row.miou) + (f" ± {row.miou_std:g}" if row.miou_std is not None else "")
        made = MADE[row.dice_made] if row.dice is not None else ""
        number = f"[{sources.index(row.source) + 1}]"
        scores = (miou, _number(row.fwiou), _number(row.dice))
        table.add_row(method, row.split, row.what, *scores, made, Text(number))
    notes = [Text(f"[{number}] {source}", style="bright_black") for number, source in enumerate(sources, start=1)]
    return Group(table, *notes)


def _class_stats_table(classes: tuple[ClassStats, ...]) -> Table:
    masked = classes[0].pixels is not None
    table = _table("class", ">images", ">of images", *((">pixels", ">of pixels") if masked else ()))
    for found in classes:
        images = "" if found.images is None else spaced(found.images)
        pixels = "" if found.pixels is None else spaced(found.pixels)
        cells = (images, _share(found.image_share), pixels, _share(found.pixel_share))
        table.add_row(Text(found.name), *cells[: 4 if masked else 2])
    return table


def _together_table(split: SplitStats) -> Table:
    names = [found.name for found in split.classes[: len(split.together)]]
    table = _table("", *(f">{name}" for name in names))
    for name, row in zip(names, split.together, strict=True):
        table.add_row(Text(name), *(spaced(value) for value in row))
    return table


def _table(*columns: str) -> Table:
    """A plain table; columns marked `>` hold numbers and `_` short words, neither of which is broken into lines."""
    table = Table(box=None, pad_edge=False, header_style="bright_black", padding=(0, 2, 0, 0))
    for column in columns:
        mark, name = (column[0], column[1:]) if column[:1] in (">", "_") else ("", column)
        table.add_column(Text(name), overflow="fold", no_wrap=bool(mark), justify="right" if mark == ">" else "left")
    return table


def _titled(title: str, body: RenderableType) -> Iterator[RenderableType]:
    yield Text(f"\n{title}", style="bold")
    yield body


def _swatch(color: tuple[int, int, int]) -> Text:
    return Text("   ", style=f"on rgb({color[0]},{color[1]},{color[2]})")


def _count(count: int | None) -> str:
    return "?" if count is None else spaced(count)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _spread(values: tuple[int, int, int]) -> str:
    return ", ".join(str(value) for value in values)


def _yes(value: bool) -> str:
    return "yes" if value else "no"
