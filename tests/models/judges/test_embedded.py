"""The embedded judge: its card, its size, and its accuracy on phantom slides that it was not trained on."""

import numpy as np
import pytest

from qaclims_path.assets import embedded_dir, embedded_model
from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import write_split
from qaclims_path.data.phantoms.splits import EMBEDDED, HELD_OUT
from qaclims_path.errors import QaclimsError, UsageError
from qaclims_path.models.judges import load_judge
from qaclims_path.pipeline.judge.options import JudgeProbeOptions
from qaclims_path.pipeline.judge.probe import probe_judge

pytestmark = pytest.mark.usefixtures("one_thread")


def test_its_card_has_name_pixel_size_and_warning():
    card = load_judge("embedded", device="cpu").card
    assert (card.id, card.family, card.input_size, card.mpp) == ("embedded", "open_clip", 112, 1.0)
    assert card.warning == EMBEDDED
    assert "no mask" in card.trained_on


def test_it_recognises_tissue_of_held_out_slides(tmp_path):
    card = load_card("phantom")
    write_split(card, tmp_path, "val", HELD_OUT.tiles(6, 8))
    report = probe_judge(
        load_judge("embedded", device="cpu", fill="white"), card, tmp_path, JudgeProbeOptions(split="val")
    )
    assert report.warning == EMBEDDED
    assert report.images.balanced_accuracy > 0.8
    assert report.regions.balanced_accuracy > 0.7
    assert np.mean(report.regions.auc) > 0.85


def test_both_models_are_small_enough_to_ship():
    assert sum(path.stat().st_size for path in embedded_dir().rglob("*") if path.is_file()) < 25e6


@pytest.mark.parametrize("kind", ["judge", "answerer"])
def test_its_readme_has_the_warning(kind):
    assert EMBEDDED in (embedded_model(kind) / "README.md").read_text(encoding="utf-8")


def test_it_has_no_revisions():
    with pytest.raises(UsageError, match="no revision"):
        load_judge("embedded", revision="main")


def test_a_missing_embedded_judge_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr("qaclims_path.assets.PACKAGE", tmp_path)
    with pytest.raises(QaclimsError, match="no embedded judge"):
        load_judge("embedded")
