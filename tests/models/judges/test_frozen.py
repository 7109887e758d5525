"""Promises of every judge, on tiny models of all families loaded from the real formats."""

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


def test_the_card_has_sizes_and_pixel_statistics(judge: FrozenJudge) -> None:
    card = judge.card
    assert card.id.startswith("tiny-")
    assert card.revision.startswith("sha256:")
    assert (card.input_size, card.context, card.mean, card.std) == (32, 12, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    assert card.width == (32 if "siglip" in card.id else 16)


def test_texts_are_encoded_in_order_and_once_each(judge: FrozenJudge) -> None:
    features = judge.encode_texts(TEXTS)
    assert features.shape == (5, judge.card.width)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(5))
    assert (features[0] == features[3]).all()
    for text, feature in zip(TEXTS, features, strict=True):
        alone = towers(judge).text(towers(judge).tokenise([text]))  # the whole context, one by one
        torch.testing.assert_close(feature, F.normalize(alone, dim=1)[0], atol=1e-5, rtol=0)
    assert judge.encode_texts([]).shape == (0, judge.card.width)


def test_a_causal_text_tower_gets_no_padding(judge: FrozenJudge) -> None:
    lengths = []
    object.__setattr__(judge._towers, "text", _recording_lengths(judge._towers.text, lengths))
    judge.encode_texts(["a tumor", "stroma"])
    causal = "siglip" not in judge.card.id
    assert lengths == ([4] if causal else [12])  # <start> a tumor <end>


def _recording_lengths(encode, lengths):
    def recorded(tokens):
        lengths.append(tokens.shape[1])
        return encode(tokens)

    return recorded


def test_a_warning_names_texts_that_are_cut(judge: FrozenJudge) -> None:
    long = " ".join(["dense nuclei"] * 9)
    fits = " ".join(["tumor"] * 10)
    with pytest.warns(UserWarning, match="Longer than the 12 tokens") as warned:
        judge.encode_texts(["a tumor", long, fits])
    (message,) = [str(warning.message) for warning in warned]
    assert "'dense nuclei dense" in message
    assert "tumor" not in message


def test_pixels_are_resized_and_normalised(judge: FrozenJudge) -> None:
    grey = torch.full((1, 3, 50, 40), 0.5)
    expected = (0.5 - torch.tensor([0.5, 0.4, 0.3])) / torch.tensor([0.2, 0.3, 0.4])
    torch.testing.assert_close(judge.prepare(grey)[0, :, 3, 3], expected)
    assert judge.prepare(grey).shape == (1, 3, 32, 32)


def test_parameters_are_frozen_and_gradients_reach_the_maps(judge: FrozenJudge) -> None:
    maps = torch.rand(3, 5, 5, requires_grad=True)
    prepared = judge.prepare(torch.rand(2, 3, 32, 32))
    judge.encode_regions(prepared, maps, torch.tensor([0, 1, 1]))[:, 0].sum().backward()
    assert maps.grad is not None
    assert (maps.grad.flatten(1).abs().sum(1) > 0).all()
    module = towers(judge).module
    assert not module.training
    assert not [p for p in module.parameters() if p.requires_grad or p.grad is not None]


def test_a_region_of_the_whole_image_equals_the_image(judge: FrozenJudge) -> None:
    prepared = judge.prepare(torch.rand(2, 3, 32, 32))
    regions = judge.encode_regions(prepared, torch.ones(2, 4, 4), torch.tensor([1, 0]))
    torch.testing.assert_close(regions, judge.encode_images(prepared).flip(0))


def test_no_regions_have_no_features(judge: FrozenJudge) -> None:
    prepared = judge.prepare(torch.rand(2, 3, 32, 32))
    features = judge.encode_regions(prepared, torch.zeros(0, 4, 4), torch.zeros(0, dtype=torch.long))
    assert features.shape == (0, judge.card.width)


def test_bf16_features_are_close_to_fp32(open_clip_folder: Path) -> None:
    exact = load_judge(str(open_clip_folder), device="cpu", dtype="fp32")
    fast = load_judge(str(open_clip_folder), device="cpu", dtype="bf16")
    prepared = exact.prepare(torch.rand(2, 3, 32, 32))
    features = fast.encode_images(prepared)
    assert features.dtype == torch.float32
    cosines = (features * exact.encode_images(prepared)).sum(1)
    assert 0.99 < cosines.min() < 1 - 1e-7


@pytest.mark.parametrize("fill", ["mean", "white", "blur"])
def test_the_fill_changes_the_features(open_clip_folder: Path, fill: str) -> None:
    prepared = torch.randn(1, 3, 32, 32)
    maps, owner = torch.rand(1, 4, 4), torch.zeros(1, dtype=torch.long)
    zero, other = (load_judge(str(open_clip_folder), device="cpu", fill=f) for f in ("zero", fill))
    assert (zero.encode_regions(prepared, maps, owner) - other.encode_regions(prepared, maps, owner)).abs().max() > 1e-3


def test_published_pixels_are_only_resized(open_clip_folder: Path) -> None:
    judge = load_judge(str(open_clip_folder), device="cpu", published_pixels=True)
    pixels = torch.randn(2, 3, 40, 56)
    expected = F.interpolate(pixels, (32, 32), mode="bilinear", align_corners=True)
    assert (judge.prepare(pixels) == expected).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"published_pixels": True, "fill": "white"}, "value of white is unknown"),
        ({"mode": "mask-prompt"}, "not trained with mask prompts"),
        ({"device": "abacus"}, "device 'abacus'"),
        ({"revision": "main"}, "has no revision"),
    ],
)
def test_impossible_options_are_refused(open_clip_folder: Path, options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_judge(str(open_clip_folder), **options)


def test_an_unknown_family_is_named() -> None:
    with pytest.raises(UsageError, match="unknown family of judges"):
        load_judge("open_clap:ViT-B-32@openai")


def test_a_folder_without_a_configuration_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(BadFile, match=r"neither open_clip_config\.json .* nor config\.json"):
        load_judge(str(tmp_path))


def test_loading_prints_nothing(open_clip_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_judge(f"local-dir:{open_clip_folder}")
    assert capfd.readouterr() == ("", "")
