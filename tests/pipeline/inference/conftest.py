"""Tiny segmenters with random weights, saved as real ones are, and phantom slides for them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from qaclims_path.data.phantoms.slide import PhantomSpec, paint_slide
from qaclims_path.data.phantoms.write import write_slide
from qaclims_path.models.backbones import find_backbone
from qaclims_path.models.segmenters.segmenter import Segmenter
from qaclims_path.models.segmenters.spec import Channel, SegmenterSpec

TISSUES = (
    Channel("tumor", "Tumor tissue", (255, 0, 0), 0),
    Channel("stroma", "Stroma", (0, 200, 0), 7),
    Channel("necrosis", "Necrosis", (0, 0, 255), 3),
)
BACKGROUND = Channel("background", "Glass", (255, 255, 255), 4)
ABOUT = {"dataset": "made-up", "domain": "pathology", "protocol": "tissue", "licence": "CC0 1.0"}


def save_model(
    folder: Path,
    *,
    mpp: float | None = 0.5,
    background: bool = False,
    seed: int = 0,
    learnt_from: str = "",
    organ: str = "",
) -> Path:
    torch.manual_seed(seed)
    channels = (*TISSUES, BACKGROUND) if background else TISSUES
    facts = {"demonstration": learnt_from, "organ": organ}
    about = {**ABOUT, **{name: fact for name, fact in facts.items() if fact}}
    settings = {"decoder_channels": [16, 8, 8, 8, 8]}
    segmenter = Segmenter(SegmenterSpec("unet", find_backbone("test_resnet"), channels, settings, mpp, about))
    pixels = torch.from_numpy(paint_slide(5, (256, 256))[0]).permute(2, 0, 1)[None].float() / 255
    head = segmenter.eval().network.segmentation_head[0]
    with torch.inference_mode():
        head.weight *= 30  # so that probabilities are not all alike
        head.bias -= segmenter(pixels).mean((0, 2, 3))  # and every class occurs
    segmenter.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def make_model(tmp_path_factory) -> Callable[..., Path]:
    """Make the folder of a segmenter, given mpp, background, seed, learnt_from and organ."""
    return lambda **given: save_model(tmp_path_factory.mktemp("models") / "tiny", **given)


@pytest.fixture(scope="session")
def model(make_model) -> Path:
    return make_model()


@pytest.fixture(scope="session")
def slides(tmp_path_factory) -> Path:
    """Two slides of 640 x 704 and 768 x 704 pixels of 0.5 um."""
    folder = tmp_path_factory.mktemp("phantoms") / "slides"
    for i in range(2):
        write_slide(folder, f"s{i}", PhantomSpec(i, 640 + 128 * i, 704, mpp=0.5, patient=f"P{i}"))
    return folder
