"""Reports as JSON or laid out for people, exit codes, and names, paths and reasons that look like markup."""

import io
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from rich.console import Console, Group
from rich.text import Text

from qaclims_path.cli.views.console import sentence, show
from qaclims_path.cli.views.split import predict_view
from qaclims_path.cli.views.tables import facts
from qaclims_path.cli.views.training import seg_view
from qaclims_path.pipeline.segmenter.predict import PredictReport
from qaclims_path.pipeline.segmenter.train import TrainSegReport

ODD = ("/data/[old]/x", "[/b]", "a [bold]b", ":smile:")


def shown(*parts):
    screen = Console(file=io.StringIO(), width=400)
    screen.print(Group(*parts))
    return screen.file.getvalue()


@dataclass(frozen=True)
class Inner:
    """A part of a report that writes itself."""

    share: float

    def as_json(self):
        return {"percent": 100 * self.share}


@dataclass(frozen=True)
class Report:
    """A report with parts that JSON cannot hold."""

    out: Path
    shares: tuple[float, ...]
    parts: list[Inner]


REPORT = Report(Path("a/b"), (0.5, 1.0), [])


def test_a_report_is_shown_to_people_or_to_programs(capsys):
    show(REPORT, lambda report: sentence(f"{report.out} is done."), as_json=False)
    assert capsys.readouterr().out == "a/b is done.\n"
    show(REPORT, sentence, as_json=True)
    assert json.loads(capsys.readouterr().out) == {"out": "a/b", "shares": [0.5, 1.0], "parts": []}
    show({"one": Inner(0.5)}, sentence, as_json=True)
    assert json.loads(capsys.readouterr().out) == {"one": {"percent": 50.0}}


@pytest.mark.parametrize(("failed", "all_failed", "code"), [(2, False, 3), (["a"], True, 1)])
def test_failures_set_the_exit_code_after_the_report(capsys, failed, all_failed, code):
    with pytest.raises(typer.Exit) as raised:
        show(REPORT, lambda _: [Text("some failed")], as_json=False, failed=failed, all_failed=all_failed)
    assert raised.value.exit_code == code
    assert capsys.readouterr().out == "some failed\n"


@pytest.mark.parametrize("odd", ODD)
def test_a_table_of_facts(odd):
    assert shown(facts(odd, {odd: odd})).count(odd) == 3


@pytest.mark.parametrize("odd", ODD)
def test_predictions_of_a_split(odd):
    report = PredictReport(
        folder=odd, dataset=odd, split="val", images=3, kept=1, failed={odd: odd}, precision="fp32", seconds=2.0,
        notes=(odd,),
    )  # fmt: skip
    assert shown(*predict_view(report)).count(odd) == 5


@pytest.mark.parametrize("odd", ODD)
def test_the_training_of_a_segmenter(odd):
    report = TrainSegReport(
        run=odd, folder=odd, architecture=odd, labels=odd, classes=("a",), images=3, left_out=0, epochs=1, steps=1,
        over="done", losses={odd: 0.5}, best=None, precision="fp32", images_per_s=2.0, notes=(odd,),
    )  # fmt: skip
    assert shown(*seg_view(report)).count(odd) == 5
