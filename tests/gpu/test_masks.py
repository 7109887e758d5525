"""Maps, refiners and the boundary network on the pretended GPU."""

import pytest
import torch

from qaclims_path.data.cards import load_card
from qaclims_path.data.split import open_split
from qaclims_path.engine.settings import TrainOptions
from qaclims_path.models.backbones import find_backbone
from qaclims_path.models.boundary import BoundaryNet
from qaclims_path.models.camnet import CamNet
from qaclims_path.models.refiners import RefineSettings, build_refiner
from qaclims_path.pipeline.cam.map_options import MapOptions
from qaclims_path.pipeline.cam.maps import make_cams
from qaclims_path.pipeline.masks.boundary import train_boundary
from qaclims_path.pipeline.masks.make import make_masks
from qaclims_path.pipeline.masks.options import BoundaryOptions, MaskOptions


@pytest.fixture
def run(tmp_path):
    """The folder of a run with an untrained network."""
    torch.manual_seed(0)
    CamNet("test_resnet", load_card("bcss-wsss").names, dilated=False).save(tmp_path / "run" / "cam")
    return tmp_path / "run"


@pytest.mark.parametrize("classes", ["present", "predicted", "all"])
def test_maps_are_merged(gpu, check, run, data, classes):
    options = MapOptions(classes=classes, scales=(1.0, 0.5), device="cuda", batch=4)
    report = make_cams(run, open_split("bcss-wsss", data, "train"), options)
    assert (report.images, report.precision) == (4, "bf16")
    check(gpu, "maps", *(["maps of predicted classes"] if classes == "predicted" else []))


@pytest.mark.parametrize("threshold", [None, 0.3])
@pytest.mark.parametrize("name", ["none", "par", "irn", "crf"])
def test_every_refiner(gpu, check, name, threshold):
    edges = BoundaryNet(find_backbone("test_resnet")).eval().to("cuda").edges
    band = None if threshold is None else (0.2, 0.4)
    refine = build_refiner(name, RefineSettings(threshold=threshold, band=band, edges=edges, rounds=2))
    images, maps = (torch.rand(2, count, 32, 32).to("cuda") for count in (3, 2))
    present = torch.tensor([[True, True], [True, False]]).to("cuda")
    gpu.clear()
    found = refine(images, maps[..., ::4, ::4], present)
    assert all(each.is_cuda for each in found)
    check(gpu, f"refiner {name}")


def test_a_boundary_network_is_trained_and_used(gpu, steps, check, run, data, running):
    split = open_split("bcss-wsss", data, "train")
    make_cams(run, split, MapOptions(scales=(1.0,), device="cuda"))
    train = TrainOptions(epochs=1, batch=2, lr=0.1)
    train_boundary(run, split, BoundaryOptions(size=32, zoom=(1, 1), radius=3, train=train), running=running())
    assert len(steps) == 2
    for notes in steps:
        check(notes, "boundary")
    gpu.clear()
    assert make_masks(run, split, MaskOptions(refiner="irn"), device="cuda").images == 4
    check(gpu, "masks")
