"""The warning on the page of a run: from its card, its maps or its segmenter."""

from qaclims_path.data.cards import load_card
from qaclims_path.models.backbones import find_backbone
from qaclims_path.models.camnet import CamNet
from qaclims_path.models.segmenters.segmenter import Segmenter
from qaclims_path.models.segmenters.spec import Channel, SegmenterSpec
from qaclims_path.pipeline.run.demonstration import warning_about

CHANNELS = Channel("tumor", "Tumor", (255, 0, 0), 0), Channel("stroma", "Stroma", (0, 200, 0), 1)


def saved(run, *, maps="", segmenter=""):
    network = CamNet("test_resnet", ["tumor", "stroma"])
    network.demonstration = maps
    network.save(run / "cam")
    about = {"demonstration": segmenter} if segmenter else {}
    Segmenter(SegmenterSpec("unet", find_backbone("test_resnet"), CHANNELS, about=about)).save_pretrained(run / "seg")
    return run


def test_any_part_of_a_run_can_be_the_reason(tmp_path):
    real, painted = load_card("bcss-wsss"), load_card("phantom")
    assert warning_about(tmp_path, None) == warning_about(tmp_path, real) == ""
    assert "painted tissue" in warning_about(tmp_path, painted)
    assert warning_about(saved(tmp_path / "real"), real) == ""
    assert "a judge" in warning_about(saved(tmp_path / "maps", maps="a judge that knows only dots"), real)
    assert "only dots" in warning_about(saved(tmp_path / "seg", segmenter="only dots"), None)
