"""Regions of all modes and fillings, shown to judges of all families: the GPU works alone, forward and backward."""

from typing import get_args

import pytest
import torch

from qaclims_path.compute.regions import Fill, Mode
from qaclims_path.models.judges import load_judge


@pytest.fixture(scope="module")
def judges(tmp_path_factory, load_tests):
    """Names of a tiny judge of each family."""
    make, folder = load_tests("../models/judges/conftest.py"), tmp_path_factory.mktemp("families")
    make.save_ovseg(folder / "ovseg.pth")
    return {
        "ovseg": f"ovseg:{folder / 'ovseg.pth'}",
        "open_clip": str(make.save_open_clip(folder / "open_clip")),
        "clip": str(make.save_transformers(folder / "clip", "clip")),
        "siglip": str(make.save_transformers(folder / "siglip", "siglip")),
    }


def encode(judge):
    """Both regions of three maps of two images, and their gradient."""
    images = torch.rand(2, 3, 40, 40, device="cuda")
    maps = torch.rand(3, 6, 6, device="cuda", requires_grad=True)
    owner = torch.arange(3, device="cuda") // 2
    prepared = judge.prepare(images)
    return maps, [judge.encode_regions(prepared, maps, owner, outside=outside) for outside in (False, True)]


@pytest.mark.parametrize("fill", get_args(Fill))
@pytest.mark.parametrize("mode", get_args(Mode))
def test_every_mode_and_filling(gpu, check, judges, mode, fill):
    judge = load_judge(judges["ovseg"], device="cuda", mode=mode, fill=fill)
    encode(judge)
    gpu.clear()
    maps, regions = encode(judge)
    torch.stack(regions).sum().backward()
    check(gpu, "regions")
    assert maps.grad.is_cuda


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("family", ["open_clip", "clip", "siglip", "ovseg"])
def test_every_family_and_precision(gpu, check, judges, family, dtype):
    judge = load_judge(judges[family], device="cuda", dtype=dtype)
    gpu.clear()
    _, regions = encode(judge)
    torch.stack(regions).sum().backward()
    check(gpu, "regions")
    assert judge.encode_texts(["dense nuclei", "pink"]).is_cuda
    assert not gpu.mixes, gpu
