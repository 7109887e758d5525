"""What the demo made, and what to do next."""

import shlex
from pathlib import Path

from rich.console import RenderableType
from rich.markup import escape

from qaclims_path.report.evaluation import EvaluationReport
from qaclims_path.report.scores import score_tables

BASELINE = (
    "[bold]A colour baseline on phantom tissue[/]: every pixel gets the class whose mean colour, learnt from "
    "image-level labels, is nearest. It is not the method of this package, which comes with the trainer; it shows what "
    "colour alone is worth here."
)


def demo_page(data: Path, predictions: Path, metrics: Path, scores: EvaluationReport) -> list[RenderableType]:
    """The score of the colour baseline, where everything lies, and the next commands."""
    folder = shlex.quote(str(data))
    commands = (
        f"qaclims datasets stats phantom --root {folder}",
        f"qaclims datasets show phantom --root {folder} --split val --png phantom-val.png",
        "qaclims datasets list",
        "qaclims datasets init --classes tumor,stroma,other --name mine --out mine.yaml",
    )
    return [
        BASELINE,
        "",
        *score_tables(scores),
        "",
        f"Data (checked), with a whole slide and its truth for QuPath:  {escape(str(data))}",
        f"Predictions:  {escape(str(predictions))}",
        f"Scores as JSON and CSV:  {escape(str(metrics))}",
        "",
        "Next:",
        *(f"  {escape(command)}" for command in commands),
    ]
