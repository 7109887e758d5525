"""Image towers that are cast once, compute blocks again, and are compiled: features and gradients stay the same."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from qaclims_path.models.judges import load_judge
from qaclims_path.models.judges.frozen import FrozenJudge
from qaclims_path.models.judges.towers import cast_once, is_too_much, kept_bytes, repeated_blocks

OWNER = torch.tensor([0, 1, 1])
FAMILIES = ["open_clip_folder", "clip_folder", "siglip_folder", "ovseg"]


@pytest.fixture(params=FAMILIES)
def name(request: pytest.FixtureRequest, tmp_path: Path, make: SimpleNamespace) -> str:
    if request.param != "ovseg":
        return str(request.getfixturevalue(request.param))
    make.ovseg(tmp_path / "ovseg.pth")
    return f"ovseg:{tmp_path / 'ovseg.pth'}"


def load(name: str, **options: str) -> FrozenJudge:
    mode = {"mode": "mask-prompt"} if name.startswith("ovseg") else {}
    return load_judge(name, device="cpu", **{**mode, **options})


def both(judge: FrozenJudge) -> tuple[Tensor, Tensor]:
    """Features of both sides, and the gradient of the maps."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(3, 5, 5, generator=generator, requires_grad=True)
    prepared = judge.prepare(torch.rand(2, 3, 32, 32, generator=generator))
    features = torch.cat(judge.encode_both(prepared, maps, OWNER))
    (features * torch.linspace(-1, 1, features.shape[1])).sum().backward()
    return features.detach(), maps.grad


def test_both_sides_in_one_call_equal_two_calls(name: str) -> None:
    judge = load(name)
    prepared, maps = judge.prepare(torch.rand(2, 3, 32, 32)), torch.rand(3, 5, 5)
    for side, outside in zip(judge.encode_both(prepared, maps, OWNER), (False, True), strict=True):
        expected = judge.encode_regions(prepared, maps, OWNER, outside=outside)
        torch.testing.assert_close(side, expected, atol=1e-6, rtol=1e-6)
    assert [len(side) for side in judge.encode_both(prepared, maps[:0], OWNER[:0])] == [0, 0]


def test_weights_that_are_cast_once_give_the_same_numbers(name: str) -> None:
    """The weights are those that autocast would cast at every call, which are all matrices and kernels."""
    judge, plain = load(name, dtype="bf16"), load(name)
    half = {key for key, value in judge._towers.module.named_parameters() if value.dtype == torch.bfloat16}
    modules = {
        f"{key}.{kind}"
        for key, module in judge._towers.module.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and ("vis" in key)
        for kind, value in module.named_parameters(recurse=False)
    }
    assert modules <= half
    assert not [key for key in half if "text" in key or "norm" in key or "ln_" in key]
    with torch.autocast("cpu", torch.bfloat16):
        expected = both(plain)
    assert all(torch.equal(found, value) for found, value in zip(both(judge), expected, strict=True))


def test_a_weight_that_is_also_used_in_another_way_is_not_cast() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.once, self.twice = (nn.Parameter(torch.rand(3, 3)) for _ in range(2))

        def forward(self, pixels: Tensor) -> Tensor:
            return pixels.mean((2, 3)) @ self.once @ self.twice + self.twice.sum(0)

    odd = Odd()
    with torch.autocast("cpu", torch.bfloat16):
        assert cast_once(odd, odd, torch.rand(1, 3, 4, 4), torch.bfloat16) == 1
    assert (odd.once.dtype, odd.twice.dtype) == (torch.bfloat16, torch.float32)


@pytest.mark.parametrize(("dtype", "follows"), [("fp32", False), ("auto", True)])
def test_fp32_ignores_the_precision_of_the_step_and_auto_follows_it_on_a_cpu(
    dtype: str, follows: bool, open_clip_folder: Path
) -> None:
    judge = load_judge(str(open_clip_folder), device="cpu", dtype=dtype)
    outside = both(judge)
    with torch.autocast("cpu", torch.bfloat16):
        inside = both(judge)
    assert torch.equal(outside[0], inside[0]) is not follows


@pytest.mark.parametrize(("bf16", "expected"), [(True, torch.bfloat16), (False, torch.float16)])
def test_auto_on_a_gpu_is_fp16_without_bf16(bf16: bool, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    from qaclims_path.models.judges.frozen import _dtype_of

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: bf16)
    assert _dtype_of("auto", torch.device("cuda")) == expected
    assert _dtype_of("fp32", torch.device("cuda")) == torch.float32


@pytest.mark.parametrize("autocast", [False, True])
def test_blocks_that_are_computed_again_give_the_same_gradient_and_keep_less(name: str, autocast: bool) -> None:
    judge, pixels = load(name), torch.rand(4, 3, 32, 32)
    towers = judge._towers
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        expected, before = both(judge), kept_bytes(towers.module, towers.image, pixels)
        assert judge.recompute("on", views=6)
        assert all(torch.equal(found, value) for found, value in zip(both(judge), expected, strict=True))
        assert kept_bytes(towers.module, towers.image, pixels) < before / 2


def test_the_bytes_of_a_vit_are_those_of_the_formula() -> None:
    """About 28 bytes per token, channel and block in half precision."""
    import open_clip

    vision = {"image_size": 64, "patch_size": 8, "width": 128, "layers": 4, "head_width": 32}
    model = open_clip.model.CLIP(16, vision, {"vocab_size": 100, "width": 32, "heads": 1, "layers": 1}).eval()
    model.requires_grad_(requires_grad=False)
    with torch.autocast("cpu", torch.bfloat16):
        cast_once(model, model.encode_image, torch.rand(1, 3, 64, 64), torch.bfloat16)
        kept = kept_bytes(model, model.encode_image, torch.rand(1, 3, 64, 64))
    assert 20 < kept / (65 * 128 * 4) < 36
    assert is_too_much(100, 4, 600)
    assert not is_too_much(100, 4, 700)


@pytest.mark.parametrize(("free", "expected"), [(1000, True), (2**40, False)])
def test_auto_recomputes_only_on_a_gpu_with_little_memory(
    free: int, expected: bool, open_clip_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = load_judge(str(open_clip_folder), device="cpu")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, 2**40))
    assert judge._is_too_much(8) is expected
    assert not judge.recompute("auto", views=8), "a CPU has virtual memory"
    assert not judge.recompute("off", views=8)


def test_the_innermost_repeated_blocks_are_found() -> None:
    def block() -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU())

    stages = nn.Sequential(nn.Sequential(block(), block()), nn.Sequential(block(), block(), block()))
    names: Iterator[nn.Module] = repeated_blocks(nn.ModuleDict({"stem": nn.Linear(2, 2), "stages": stages}))
    assert len(list(names)) == 5


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # dynamo hides it, but here warnings are errors
def test_a_compiled_tower_gives_the_same_numbers(open_clip_folder: Path) -> None:
    judge = load(str(open_clip_folder))
    expected = both(judge)
    judge.recompute("on", views=6)
    judge.compile(backend="eager")
    for found, value in zip(both(judge), expected, strict=True):
        torch.testing.assert_close(found, value, atol=1e-5, rtol=1e-4)
