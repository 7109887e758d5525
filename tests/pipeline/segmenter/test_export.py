"""Export of segmenters: every format has a card with the scores of the run."""

import json
from dataclasses import replace

import pytest
import torch

from qaclims_path.errors import BadFile, UsageError
from qaclims_path.models.backbones import find_backbone
from qaclims_path.models.segmenters.segmenter import Segmenter
from qaclims_path.models.segmenters.spec import Channel, SegmenterSpec
from qaclims_path.pipeline.segmenter.export import described, export

ENTRY = {
    "schema": 1,
    "what": "seg",
    "dataset": "made-up",
    "split": "test",
    "protocol": "tissue",
    "gate": "none",
    "images": 7,
    "scores": {"miou": 0.5, "mean_dice": 0.6},
    "intervals": {"miou": [0.4, 0.7]},
    "per_class": {"a": {"iou": 0.1}, "b": {"iou": None}},
}


@pytest.fixture
def run(tmp_path):
    torch.manual_seed(0)
    channels = (Channel("a", "A", (1, 2, 3), 0), Channel("b", "B", (4, 5, 6), 1))
    segmenter = Segmenter(SegmenterSpec("unet", find_backbone("test_resnet"), channels, about={"licence": "CC0"}))
    segmenter.save_pretrained(tmp_path / "run" / "seg")
    return tmp_path / "run"


def write(path, *entries):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(entries))


def test_scores_of_the_run_and_beside_predictions_are_on_the_card(run, tmp_path):
    write(run / "metrics.json", ENTRY, {**ENTRY, "what": "cams", "split": "val"})
    write(run / "seg/predictions/val/scores/metrics.json", {**ENTRY, "split": "val"})
    write(run / "seg/predictions/test/scores/metrics.json", {**ENTRY, "images": 9})  # the run's own entry goes first
    for kind in ("hub", "monai"):
        report = export(run, tmp_path / kind, format=kind)
        assert (report.scores, report.classes) == (2, ("a", "b"))
        card = next((tmp_path / kind).rglob("README.md")).read_text()
        assert "| test | tissue | none | none | 7 | 0.5000 (0.4000 to 0.7000) | 0.6000 | a 0.1000, b - |" in card
        assert "| val | tissue |" in card
    assert Segmenter.from_pretrained(tmp_path / "hub").spec.about["scores"][0]["miou"] == 0.5
    tree = json.loads((tmp_path / "monai/configs/metadata.json").read_text())
    assert tree["eval_metrics"] == {"mean_iou": 0.5}


def test_a_run_without_scores_keeps_what_its_card_has(run):
    assert described(run).spec.about["scores"] == []
    segmenter = Segmenter.from_pretrained(run)
    segmenter.spec = replace(segmenter.spec, about={"scores": [{"split": "old"}]})
    segmenter.save_pretrained(run / "seg")
    assert described(run).spec.about["scores"] == [{"split": "old"}]


def test_existing_folders_and_damaged_files_are_refused(run, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    with pytest.raises(UsageError, match="not an empty folder"):
        export(run, tmp_path / "mine")
    with pytest.raises(UsageError, match="is no folder"):
        export(tmp_path / "nowhere", tmp_path / "out")
    (run / "metrics.json").write_text("{}")
    with pytest.raises(BadFile, match="list of objects"):
        export(run, tmp_path / "out")
    (run / "metrics.json").write_text("[")
    with pytest.raises(BadFile, match="cannot be read"):
        export(run, tmp_path / "out")
    (run / "metrics.json").unlink()
    (tmp_path / "out").mkdir()
    assert export(run, tmp_path / "out").scores == 0
