"""Show judges and answerers, and what their probes measured."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from qaclims_path.cli.views.tables import FAINT, pairs, plain_table
from qaclims_path.report.numbers import number
from qaclims_path.types import JudgeCard

if TYPE_CHECKING:
    from qaclims_path.pipeline.answerer.naming import ProbeRow
    from qaclims_path.pipeline.answerer.probe import AnswererReport
    from qaclims_path.pipeline.judge.probe import ProbeReport, Trial
    from qaclims_path.pipeline.judge.train import JudgeTrainReport

ASKS = {"foreground": "about", "background": "around"}
LONGEST = 40  # characters shown of an answer
CHANCE = 0.6  # AUC below which a judge hardly knows a class


def card_view(card: JudgeCard) -> Iterator[RenderableType]:
    """The card of a judge, its warning first."""
    if card.warning:
        yield Text(card.warning, style="bold yellow")
    yield pairs(_facts(card))


def probe_view(report: "ProbeReport") -> Iterator[RenderableType]:
    """Scores of images and of regions side by side, then their confusions."""
    if report.warning:
        yield Text(report.warning, style="bold yellow")
    yield Text.assemble((report.judge, "bold"), f" on '{report.split}' of {report.dataset}, without any training")
    yield _scores(report)
    for title, trial in (("Images of one class", report.images), ("Regions", report.regions)):
        if trial is not None and trial.balanced_accuracy is not None:
            accuracy = f"balanced accuracy {trial.balanced_accuracy:.3f} over {trial.named}"
            yield Text.assemble("\n", (title, "bold"), f": {accuracy}; rows are the truth")
            yield _confusion(report.classes, trial)
    for reason in report.unreadable:
        yield Text(f"Skipped: {reason}", style="red")


def train_view(report: "JudgeTrainReport") -> Iterator[RenderableType]:
    """Images that a judge was trained on, and the next command."""
    yield Text(report.warning, style="bold yellow")
    alone = ", ".join(f"{name} {count}" for name, count in report.alone.items())
    left = f", {report.left_out} without a class left out" if report.left_out else ""
    yield Text(f"{report.out}: {report.images} images of '{report.split}'{left}; of one class alone: {alone}.")
    never = [name for name, count in report.alone.items() if not count]
    if never:
        yield Text(f"Never alone, so only learned from whole images: {', '.join(never)}.", style="yellow")
    yield Text(f"Next: qaclims judge probe {report.out} --dataset {report.dataset} --root ...")


def answerer_view(report: "AnswererReport") -> Iterator[RenderableType]:
    """Hits beside chance by kind and topic, the most frequent answers, and the speed."""
    if "warning" in report.answerer:
        yield Text(report.answerer["warning"], style="bold yellow")
    blind = "the class is not in the question" if report.blind else "the class is in the question"
    model = " ".join(report.answerer.get(key, "") for key in ("answerer", "model")).strip()
    yield Text.assemble((model, "bold"), f" on {report.images} images of '{report.split}' of {report.dataset}; {blind}")
    yield _answers(report)
    yield Text("hit: share of answers that name a class in the image; chance: the same with the other images' labels.")
    yield Text("\nMost frequent answers", style="bold")
    yield from (_most(row) for row in report.rows if row.most)
    speed = f"{report.images_per_second:.2f} images and {report.answers_per_second:.1f} answers a second"
    yield Text(f"\n{speed}, {report.seconds:.1f} s in total.")
    for image, reason in report.unread.items():
        yield Text(f"Skipped {image}: {reason}", style="red")


def _facts(card: JudgeCard) -> Iterator[tuple[str, str]]:
    yield "id", card.id
    yield "revision", card.revision
    yield "family", card.family
    yield "input", f"{card.input_size} x {card.input_size} pixels"
    yield "mean, std", "; ".join(" ".join(f"{value:.4g}" for value in each) for each in (card.mean, card.std))
    yield "features", str(card.width)
    yield "longest text", f"{card.context} tokens"
    yield "temperature", f"{card.temperature:.4g}"
    yield "pixel size", f"{card.mpp} um" if card.mpp else "not known"
    yield "trained on", card.trained_on or "not known"


def _scores(report: "ProbeReport") -> Table:
    table = plain_table("class", ">AUC of images", ">AUC of regions", "named by")
    for index, name in enumerate(report.classes):
        regions = report.regions.auc[index] if report.regions else None
        texts = Text(", ".join(report.texts[index]))
        table.add_row(Text(name), _auc(report.images.auc[index]), _auc(regions), texts)
    return table


def _auc(value: float | None) -> Text:
    style = FAINT if value is None else "red" if value < CHANCE else ""
    return Text(number(value, ".3f"), style=style)


def _confusion(classes: tuple[str, ...], trial: "Trial") -> Table:
    table = plain_table("", *(f">{name}" for name in classes))
    for name, row in zip(classes, trial.confusion, strict=True):
        table.add_row(Text(name, style=FAINT), *(str(count) if count else "." for count in row))
    return table


def _answers(report: "AnswererReport") -> Table:
    counts = ("hit", "chance", "itself", "present", "absent", "neither", "empty")
    shown = [name for name in counts if not (report.blind and name == "itself")]
    table = plain_table("_asks", "_topic", *(f">{name}" for name in shown))
    for row in report.rows:
        table.add_row(ASKS[row.kind], Text(row.topic or "any"), *(_cell(row, name) for name in shown))
    return table


def _cell(row: "ProbeRow", name: str) -> Text:
    value = getattr(row, name)
    if name not in ("hit", "chance"):
        return Text(str(value) if value else ".")
    poor = name == "hit" and value is not None and row.chance is not None and value <= row.chance
    return Text(number(value, ".1%"), style="red" if poor else "")


def _most(row: "ProbeRow") -> Text:
    most = ", ".join(f"{_short(text)} ({count})" for text, count in row.most)
    return Text.assemble((f"{ASKS[row.kind]} {row.topic}: ", FAINT), f"{row.different} different; {most}")


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
