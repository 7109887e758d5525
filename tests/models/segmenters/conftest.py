"""Tiny segmenters with random weights whose classes all occur."""

from collections.abc import Callable

import pytest
import torch

from qaclims_path.models.backbones import find_backbone
from qaclims_path.models.segmenters.segmenter import Segmenter
from qaclims_path.models.segmenters.spec import Channel, SegmenterSpec

CHANNELS = (
    Channel("tumor", "Tumor", (255, 0, 0), 1),
    Channel("stroma", "Stroma | <b>", (0, 255, 0), 7),
    Channel("background", "Glass", (255, 255, 255), 0),
)
ABOUT = {
    "dataset": "made-up",
    "title": "Made-up tissue",
    "domain": "pathology",
    "licence": "CC0 1.0",
    "protocol": "tissue",
    "size": 64,
    "trained_on": "noise",
}


@pytest.fixture
def make() -> Callable[..., Segmenter]:
    def build(architecture: str = "unet", encoder: str = "test_resnet", **given) -> Segmenter:
        torch.manual_seed(0)
        spec = SegmenterSpec(
            architecture, find_backbone(encoder), CHANNELS, mpp=0.5, about=ABOUT, settings=given.pop("settings", {})
        )
        return Segmenter(spec, **given).eval()

    return build
