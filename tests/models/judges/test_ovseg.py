"""The mask-prompted judge: loading by shapes alone, and token masking against a plain re-expression."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from qaclims_path.compute.regions import adaptive_mask
from qaclims_path.errors import BadFile
from qaclims_path.models.judges import load_judge

OWNER = torch.tensor([0, 1, 1])


@pytest.fixture(params=[1, 3, 5])
def depth(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def plain(clip: Any, prompts: torch.Tensor, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Reference for one region, one token at a time; patches of 8 on 32 pixels are a grid of 4 x 4."""
    visual = clip.visual
    inside = [bool(mask[8 * (n // 4) : 8 * (n // 4) + 8, 8 * (n % 4) : 8 * (n % 4) + 8].any()) for n in range(16)]

    def replaced(tokens: list[torch.Tensor], layer: int) -> list[torch.Tensor]:
        return [token if inside[n] else prompts[layer, n] for n, token in enumerate(tokens)]

    patches = visual.conv1(image[None])[0].flatten(1).T
    tokens = [visual.class_embedding, *replaced(list(patches), 0)]
    x = visual.ln_pre(torch.stack(tokens) + visual.positional_embedding)[None]
    for number, block in enumerate(visual.transformer.resblocks, start=1):
        x = block(x)
        if number < len(prompts):
            x = torch.stack([x[0, 0], *replaced(list(x[0, 1:]), number)])[None]
    return F.normalize(visual.ln_post(x[0, 0]) @ visual.proj, dim=0)


def test_tokens_outside_a_region_are_replaced(tmp_path: Path, make: SimpleNamespace, depth: int) -> None:
    clip = make.ovseg(tmp_path / "ovseg.pth", depth=depth)
    judge = load_judge(f"ovseg:{tmp_path / 'ovseg.pth'}", mode="mask-prompt", device="cpu")
    prompts = judge._towers.module.mask_embedding
    assert len(prompts) == depth
    prepared, maps = judge.prepare(torch.rand(2, 3, 40, 40)), torch.rand(3, 5, 5) ** 6
    for outside in (False, True):
        features = judge.encode_regions(prepared, maps, OWNER, outside=outside)
        for p, image in enumerate(OWNER.tolist()):
            cam = F.interpolate(maps[p][None, None], (32, 32), mode="bilinear", align_corners=True)[0, 0]
            mask = adaptive_mask(cam[None])[0]
            cam, mask = (1 - cam, 1 - mask) if outside else (cam, mask)
            expected = plain(clip, prompts, prepared[image] * cam, mask)
            torch.testing.assert_close(features[p], expected, atol=1e-5, rtol=0)


def test_with_a_full_mask_features_equal_those_without_prompts(tmp_path: Path, make: SimpleNamespace) -> None:
    make.ovseg(tmp_path / "ovseg.pth")
    prompted, plain = (
        load_judge(f"ovseg:{tmp_path / 'ovseg.pth'}", mode=mode, device="cpu") for mode in ("mask-prompt", "soft")
    )
    prepared = prompted.prepare(torch.rand(3, 3, 32, 32))
    ones = torch.ones(3, 2, 2)
    torch.testing.assert_close(
        prompted.encode_regions(prepared, ones, OWNER), plain.encode_regions(prepared, ones, OWNER)
    )


def test_texts_are_encoded_as_by_its_clip_and_gradients_reach_the_maps(tmp_path: Path, make: SimpleNamespace) -> None:
    clip = make.ovseg(tmp_path / "ovseg.pth")
    judge = load_judge(f"ovseg:{tmp_path / 'ovseg.pth'}", mode="mask-prompt", device="cpu")
    card = judge.card
    assert (card.id, card.family, card.input_size, card.context) == ("ovseg:ovseg.pth", "ovseg", 32, 16)
    tokens = judge._towers.tokenise(["a photo of a cat."])
    expected = clip.encode_text(tokens, normalize=True)
    torch.testing.assert_close(judge.encode_texts(["a photo of a cat."]), expected, atol=1e-5, rtol=0)
    maps = torch.rand(3, 5, 5, requires_grad=True)
    judge.encode_regions(judge.prepare(torch.rand(2, 3, 32, 32)), maps, OWNER)[:, 0].sum().backward()
    assert maps.grad is not None
    assert maps.grad.abs().sum() > 0


OTHER_FILES = {
    "none.pth": (lambda path: None, r"The weights .*none\.pth do not exist"),
    "text.pth": (lambda path: path.write_text("hello"), "damaged, or holds objects"),
    "list.pth": (lambda path: torch.save([1, 2], path), "holds a list"),
    "plain.safetensors": (lambda path: save_file({"a": torch.zeros(2)}, path), "has no mask embeddings"),
}


@pytest.mark.parametrize("name", OTHER_FILES)
def test_other_files_are_refused(tmp_path: Path, name: str) -> None:
    write, message = OTHER_FILES[name]
    write(tmp_path / name)
    with pytest.raises(BadFile, match=message):
        load_judge(f"ovseg:{tmp_path / name}")


def test_mask_embeddings_of_another_size_are_refused(tmp_path: Path, make: SimpleNamespace) -> None:
    make.ovseg(tmp_path / "other.pth")
    checkpoint = torch.load(tmp_path / "other.pth", weights_only=True)
    checkpoint["model"]["clip_adapter.clip_model.visual.mask_embedding"] = torch.zeros(3, 9, 128)
    torch.save(checkpoint, tmp_path / "other.pth")
    with pytest.raises(BadFile, match=r"shape \(3, 9, 128\) do not fit its image tower \(16, 128\)"):
        load_judge(f"ovseg:{tmp_path / 'other.pth'}")


def test_code_in_a_checkpoint_never_runs(tmp_path: Path) -> None:
    marker = tmp_path / "executed"

    class Malicious:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (marker,)

    torch.save({"model": Malicious()}, tmp_path / "bad.pth")
    with pytest.raises(BadFile, match="holds objects that could run code"):
        load_judge(f"ovseg:{tmp_path / 'bad.pth'}")
    assert not marker.exists()
