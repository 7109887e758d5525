"""Recipes for data of one's own: the card decides which split is trained on, and which ones are scored."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from qaclims_path.data.phantoms.slide import PhantomSpec
from qaclims_path.data.phantoms.write import write_slide
from qaclims_path.errors import UsageError
from qaclims_path.pipeline.configs import read_recipe, training_split
from qaclims_path.pipeline.run.options import load_run
from qaclims_path.pipeline.run.pipeline import do_run, plan_run
from qaclims_path.pipeline.run.steps import Run
from qaclims_path.pipeline.run.warnings import run_warnings
from qaclims_path.pipeline.tiling.options import TileOptions
from qaclims_path.pipeline.tiling.tile import TileInputs, tile

OPTIONS = TileOptions(mpp=1.0, size=64, stride=64)


@pytest.fixture(scope="module")
def slides(tmp_path_factory) -> Path:
    """Two annotated slides."""
    folder = tmp_path_factory.mktemp("own") / "slides"
    for i in range(2):
        write_slide(folder, f"s{i}", PhantomSpec(i, 512, 448, mpp=1.0, patient=f"P{i}"))
    return folder


@pytest.fixture
def own(slides, tiny, quiet, tmp_path):
    """Tile the slides with some labels, and make the run that learns from the tiles."""

    def make(labels: Path, *settings: str, **options: object) -> Run:
        out = tmp_path / "tiles"
        tile(TileInputs((str(slides),), labels=labels), out, OPTIONS.model_copy(update=options))
        found = load_run("folder/cam", [*tiny, *settings, f"dataset={out / 'card.yaml'}"], out)
        return Run(found, out, tmp_path / "run", running=quiet)

    return make


def test_two_annotated_slides_train_and_score(own, slides) -> None:
    run = own(slides, masks=True, annotations="complete")
    assert run.options.shared.split == "train"
    assert run.options.evaluate.splits == ("val",)
    report = do_run(run)
    assert [(entry["what"], entry["split"]) for entry in report.metrics] == [
        ("cams", "val"),
        ("masks", "val"),
        ("seg", "val"),
    ]
    assert (run.out / "report.html").is_file()


def test_slides_with_labels_alone_train_and_score_nothing(own, tmp_path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("slide,labels\ns0,tumor;stroma\ns1,stroma\n")
    run = own(labels, "cam.labels={of: slide, together: 2}")
    assert run.options.evaluate.splits == ()
    said = " ".join(run_warnings(run))
    assert "one label vector for all" in said
    assert "so no result can be scored" in said
    assert "seg.train.batch" not in said
    large = replace(run, options=load_run("folder/cam", ["seg.train.batch=512", f"dataset={run.dataset}"], run.root))
    assert "but seg.train.batch is 512, so that training will not begin. Set seg.train" in " ".join(run_warnings(large))
    report = do_run(run)
    assert report.metrics == ()
    assert {"cam", "cams", "masks", "seg", "report"} <= set(report.done)
    assert json.loads((run.out / "metrics.json").read_text()) == []
    assert (run.out / "report.html").is_file()


def test_the_card_decides_the_split_to_train_on(tmp_path) -> None:
    def card(**splits: str) -> str:
        tree = {"extends": "folder", "name": "mine", "splits": {"train": None, "val": None, "test": None}}
        each = {"supervision": "labels", "images": ["x"], "labels_from": "table", "labels": ["y.csv"]}
        tree["splits"] |= {name: {"part": part, **each} for name, part in splits.items()}
        (tmp_path / "card.yaml").write_text(json.dumps(tree))
        return str(tmp_path / "card.yaml")

    assert read_recipe("folder/cam", {"dataset": card(learn="train", look="test")})[1].split == "learn"
    assert training_split(card(train="train", more="train")) == "train"
    with pytest.raises(UsageError, match=r"several splits for training: one, two.*--set split=NAME"):
        training_split(card(one="train", two="train"))
    with pytest.raises(UsageError, match="'mine' has no split for training"):
        training_split(card(look="val"))


def test_splits_that_the_folder_lacks_are_not_scored(fake, tiny, quiet, tmp_path) -> None:
    root = tmp_path / "phantom"
    shutil.copytree(fake("phantom"), root)
    settings = [*tiny, "dataset=phantom", "evaluate.splits=auto"]
    both = load_run("folder/cam", settings, root)
    assert both.evaluate.splits == ("val", "test")
    shutil.rmtree(root / "test")
    one = load_run("folder/cam", settings, root)
    assert one.evaluate.splits == ("val",)
    run = Run(one, root, tmp_path / "run", running=quiet)
    assert "evaluate" in [step.stage.name for step in plan_run(run)]
    assert load_run("folder/cam", settings).evaluate.splits == ("val", "test")
    assert replace(run, options=both).options.tree["evaluate"]["splits"] == ["val", "test"]
