"""What is shown of names, paths and reasons that look like markup."""

import io

import pytest
from rich.console import Console, Group

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


@pytest.mark.parametrize("odd", ODD)
def test_facts(odd):
    assert shown(facts(odd, {odd: odd})).count(odd) == 3


@pytest.mark.parametrize("odd", ODD)
def test_what_went_through_a_split(odd):
    report = PredictReport(
        folder=odd, dataset=odd, split="val", images=3, kept=1, failed={odd: odd}, precision="fp32", seconds=2.0,
        notes=(odd,),
    )  # fmt: skip
    assert shown(*predict_view(report)).count(odd) == 5


@pytest.mark.parametrize("odd", ODD)
def test_a_segmenter(odd):
    report = TrainSegReport(
        run=odd, folder=odd, architecture=odd, labels=odd, classes=("a",), images=3, left_out=0, epochs=1, steps=1,
        over="done", losses={odd: 0.5}, best=None, precision="fp32", images_per_s=2.0, notes=(odd,),
    )  # fmt: skip
    assert shown(*seg_view(report)).count(odd) == 5
