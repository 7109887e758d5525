"""Show judges and answerers, and what their probes found."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from qaclims_path.types import JudgeCard

if TYPE_CHECKING:
    from qaclims_path.pipeline.answerer.naming import ProbeRow
    from qaclims_path.pipeline.answerer.probe import AnswererReport
    from qaclims_path.pipeline.judge.probe import ProbeReport, Trial
    from qaclims_path.pipeline.judge.train import JudgeTrainReport

ASKS = {"foreground": "about", "background": "around"}
LONGEST = 40  # characters shown of an answer
CHANCE = 0.6  # AUC below which a class is as good as unknown


def card_view(card: JudgeCard) -> Iterator[RenderableType]:
    """All that is known of a judge; its warning first."""
    if card.warning:
        yield Text(card.warning, style="bold yellow")
    facts = Table.grid(padding=(0, 2))
    for key, value in _facts(card):
        facts.add_row(Text(key, style="bright_black"), Text(value))
    yield facts


def probe_view(report: "ProbeReport") -> Iterator[RenderableType]:
    """Whole images and regions side by side, then what is mistaken for what."""
    if report.warning:
        yield Text(report.warning, style="bold yellow")
    yield Text.assemble((report.judge, "bold"), f" on '{report.split}' of {report.dataset}, nothing learned")
    yield _table(report)
    for title, trial in (("Images of one class", report.images), ("Regions", report.regions)):
        if trial is not None and trial.balanced_accuracy is not None:
            accuracy = f"balanced accuracy {trial.balanced_accuracy:.3f} over {trial.named}"
            yield Text.assemble("\n", (title, "bold"), f": {accuracy}; rows are the truth")
            yield _confusion(report.classes, trial)
    for sentence in report.unreadable:
        yield Text(f"Skipped: {sentence}", style="red")


def train_view(report: "JudgeTrainReport") -> Iterator[RenderableType]:
    """What was made, and what to do next."""
    yield Text(report.warning, style="bold yellow")
    alone = ", ".join(f"{name} {count}" for name, count in report.alone.items())
    left = f", {report.left_out} without a class left out" if report.left_out else ""
    yield Text(f"{report.out}: {report.images} images of '{report.split}'{left}; of one class alone: {alone}.")
    never = [name for name, count in report.alone.items() if not count]
    if never:
        yield Text(f"Never alone, so only learned from whole images: {', '.join(never)}.", style="yellow")
    yield Text(f"Next: qaclims judge probe {report.out} --dataset {report.dataset} --root ...")


def _facts(card: JudgeCard) -> Iterator[tuple[str, str]]:
    yield "id", card.id
    yield "revision", card.revision
    yield "family", card.family
    yield "input", f"{card.input_size} x {card.input_size} pixels"
    yield "mean, std", f"{_numbers(card.mean)}; {_numbers(card.std)}"
    yield "features", str(card.width)
    yield "longest text", f"{card.context} tokens"
    yield "temperature", f"{card.temperature:.4g}"
    yield "pixel size", f"{card.mpp} um" if card.mpp else "not said"
    yield "trained on", card.trained_on or "not said"


def _numbers(values: tuple[float, float, float]) -> str:
    return " ".join(f"{value:.4g}" for value in values)


def _table(report: "ProbeReport") -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("class")
    table.add_column("AUC of images", justify="right")
    table.add_column("AUC of regions", justify="right")
    table.add_column("named by", overflow="fold")
    for c, name in enumerate(report.classes):
        regions = report.regions.auc[c] if report.regions else None
        table.add_row(Text(name), _auc(report.images.auc[c]), _auc(regions), Text(", ".join(report.texts[c])))
    return table


def _auc(value: float | None) -> Text:
    if value is None:
        return Text("-", style="bright_black")
    return Text(f"{value:.3f}", style="red" if value < CHANCE else "")


def _confusion(classes: tuple[str, ...], trial: "Trial") -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name in classes:
        table.add_column(Text(name), justify="right")
    for name, row in zip(classes, trial.confusion, strict=True):
        table.add_row(Text(name, style="bright_black"), *(str(count) if count else "." for count in row))
    return table


def answerer_view(report: "AnswererReport") -> Iterator[RenderableType]:
    """Hits beside chance by kind and topic, what is said most, and the speed."""
    if "warning" in report.answerer:
        yield Text(report.answerer["warning"], style="bold yellow")
    how = "the class is not in the question" if report.blind else "the class is in the question"
    model = " ".join(report.answerer.get(key, "") for key in ("answerer", "model")).strip()
    yield Text.assemble((model, "bold"), f" on {report.images} images of '{report.split}' of {report.dataset}; {how}")
    yield _answers_table(report)
    yield Text("hit: share of answers that name a class in the image; chance: the same with the other images' labels.")
    yield Text("\nSaid most", style="bold")
    yield from (_said(row) for row in report.rows if row.most)
    speed = f"{report.images_per_second:.2f} images and {report.answers_per_second:.1f} answers a second"
    yield Text(f"\n{speed}, {report.seconds:.1f} s altogether.")
    for image, reason in report.unread.items():
        yield Text(f"Skipped {image}: {reason}", style="red")


def _answers_table(report: "AnswererReport") -> Table:
    table = Table(box=None, pad_edge=False, header_style="bright_black", padding=(0, 2, 0, 0))
    for name in ("asks", "topic"):
        table.add_column(name, no_wrap=True)
    counts = ("hit", "chance", "itself", "present", "absent", "neither", "empty")
    shown = [name for name in counts if not (report.blind and name == "itself")]
    for name in shown:
        table.add_column(name, justify="right", no_wrap=True)
    for row in report.rows:
        cells = [_cell(row, name) for name in shown]
        table.add_row(ASKS[row.kind], Text(row.topic or "any"), *cells)
    return table


def _cell(row: "ProbeRow", name: str) -> Text:
    value = getattr(row, name)
    if name not in ("hit", "chance"):
        return Text(str(value) if value else ".")
    poor = name == "hit" and value is not None and row.chance is not None and value <= row.chance
    return Text("-" if value is None else f"{value:.1%}", style="red" if poor else "")


def _said(row: "ProbeRow") -> Text:
    most = ", ".join(f"{_short(text)} ({count})" for text, count in row.most)
    return Text.assemble((f"{ASKS[row.kind]} {row.topic}: ", "bright_black"), f"{row.different} different; {most}")


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
