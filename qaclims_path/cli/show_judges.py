"""How judges and what they can tell apart are laid out on a screen."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from qaclims_path.types import JudgeCard

if TYPE_CHECKING:
    from qaclims_path.recipes.judge_probe import ProbeReport, Trial
    from qaclims_path.recipes.judge_train import JudgeTrainReport

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
