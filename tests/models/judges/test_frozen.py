"""What every judge promises, on tiny models of all families loaded from the real formats."""

import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from qaclims_path.errors import BadFile, UsageError
from qaclims_path.models.judges import load_judge
from qaclims_path.models.judges.frozen import FrozenJudge

TEXTS = ["a tumor", "dense nuclei , pink stroma of the tumor", "stroma", "a tumor", "an image of necrosis ."]


@pytest.fixture(params=["open_clip_folder", "clip_folder", "siglip_folder"])
def judge(request: pytest.FixtureRequest) -> FrozenJudge:
    return load_judge(str(request.getfixturevalue(request.param)), device="cpu")


def towers(judge: FrozenJudge) -> SimpleNamespace:
    return judge._towers


def test_the_card_says_what_it_is(judge: FrozenJudge) -> None:
    card = judge.card
    assert card.id.startswith("tiny-")
    assert card.revision.startswith("sha256:")
    assert (card.input_size, card.context, card.mean, card.std) == (32, 12, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    assert card.width == (32 if "siglip" in card.id else 16)


def test_texts_come_back_in_order_each_encoded_once(judge: FrozenJudge) -> None:
    features = judge.encode_texts(TEXTS)
    assert features.shape == (5, judge.card.width)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(5))
    assert (features[0] == features[3]).all()
    for text, feature in zip(TEXTS, features, strict=True):
        alone = towers(judge).text(towers(judge).tokenise([text]))  # the whole context, one by one
        torch.testing.assert_close(feature, F.normalize(alone, dim=1)[0], atol=1e-5, rtol=0)
    assert judge.encode_texts([]).shape == (0, judge.card.width)


def test_a_causal_text_tower_sees_only_what_matters(judge: FrozenJudge) -> None:
    seen = []
    object.__setattr__(judge._towers, "text", _noting(judge._towers.text, seen))
    judge.encode_texts(["a tumor", "stroma"])
    causal = "siglip" not in judge.card.id
    assert seen == ([4] if causal else [12])  # <start> a tumor <end>


def _noting(encode, seen):
    def noted(tokens):
        seen.append(tokens.shape[1])
        return encode(tokens)

    return noted


def test_texts_that_are_cut_are_named(judge: FrozenJudge) -> None:
    long = " ".join(["dense nuclei"] * 9)
    fits = " ".join(["tumor"] * 10)
    with pytest.warns(UserWarning, match="Longer than the 12 tokens") as said:
        judge.encode_texts(["a tumor", long, fits])
    (message,) = [str(warning.message) for warning in said]
    assert "'dense nuclei dense" in message
    assert "tumor" not in message


def test_pixels_are_normalised_as_the_judge_was_trained(judge: FrozenJudge) -> None:
    grey = torch.full((1, 3, 50, 40), 0.5)
    expected = (0.5 - torch.tensor([0.5, 0.4, 0.3])) / torch.tensor([0.2, 0.3, 0.4])
    torch.testing.assert_close(judge.prepare(grey)[0, :, 3, 3], expected)
    assert judge.prepare(grey).shape == (1, 3, 32, 32)


def test_it_is_frozen_and_gradients_reach_the_maps(judge: FrozenJudge) -> None:
    maps = torch.rand(3, 5, 5, requires_grad=True)
    prepared = judge.prepare(torch.rand(2, 3, 32, 32))
    judge.encode_regions(prepared, maps, torch.tensor([0, 1, 1]))[:, 0].sum().backward()
    assert maps.grad is not None
    assert (maps.grad.flatten(1).abs().sum(1) > 0).all()
    module = towers(judge).module
    assert not module.training
    assert not [p for p in module.parameters() if p.requires_grad or p.grad is not None]


def test_a_region_of_everything_is_the_image(judge: FrozenJudge) -> None:
    prepared = judge.prepare(torch.rand(2, 3, 32, 32))
    whole = judge.encode_regions(prepared, torch.ones(2, 4, 4), torch.tensor([1, 0]))
    torch.testing.assert_close(whole, judge.encode_images(prepared).flip(0))
    nothing = judge.encode_regions(prepared, torch.zeros(0, 4, 4), torch.zeros(0, dtype=torch.long))
    assert nothing.shape == (0, judge.card.width)


def test_it_is_used_in_reduced_precision(open_clip_folder: Path) -> None:
    exact = load_judge(str(open_clip_folder), device="cpu", dtype="fp32")
    quick = load_judge(str(open_clip_folder), device="cpu", dtype="bf16")
    prepared = exact.prepare(torch.rand(2, 3, 32, 32))
    features = quick.encode_images(prepared)
    assert features.dtype == torch.float32
    cosines = (features * exact.encode_images(prepared)).sum(1)
    assert 0.99 < cosines.min() < 1 - 1e-7


@pytest.mark.parametrize("fill", ["mean", "white", "blur"])
def test_what_fills_the_rest_matters(open_clip_folder: Path, fill: str) -> None:
    prepared = torch.randn(1, 3, 32, 32)
    maps, owner = torch.rand(1, 4, 4), torch.zeros(1, dtype=torch.long)
    zero, other = (load_judge(str(open_clip_folder), device="cpu", fill=f) for f in ("zero", fill))
    assert (zero.encode_regions(prepared, maps, owner) - other.encode_regions(prepared, maps, owner)).abs().max() > 1e-3


def test_published_pixels_pass_as_they_are(open_clip_folder: Path) -> None:
    judge = load_judge(str(open_clip_folder), device="cpu", published_pixels=True)
    pixels = torch.randn(2, 3, 40, 56)
    expected = F.interpolate(pixels, (32, 32), mode="bilinear", align_corners=True)
    assert (judge.prepare(pixels) == expected).all()
    with pytest.raises(UsageError, match="what white is"):
        load_judge(str(open_clip_folder), published_pixels=True, fill="white")


def test_wrong_use_is_answered(open_clip_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not trained with mask prompts"):
        load_judge(str(open_clip_folder), mode="mask-prompt")
    with pytest.raises(UsageError, match="device 'abacus'"):
        load_judge(str(open_clip_folder), device="abacus")
    with pytest.raises(UsageError, match="no known family of judges"):
        load_judge("open_clap:ViT-B-32@openai")
    with pytest.raises(UsageError, match="has no revision"):
        load_judge(str(open_clip_folder), revision="main")
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(BadFile, match=r"neither open_clip_config\.json .* nor config\.json"):
        load_judge(str(tmp_path))


def test_loading_says_nothing(open_clip_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_judge(f"local-dir:{open_clip_folder}")
    assert capfd.readouterr() == ("", "")
