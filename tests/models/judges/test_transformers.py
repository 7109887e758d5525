"""CLIP and SigLIP through transformers: equal to the library, and what may be wrong with a folder."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import AutoTokenizer, BertConfig, CLIPModel, SiglipModel

from qaclims_path.errors import BadFile
from qaclims_path.models.judges import load_judge

TEXTS = ["a tumor", "dense nuclei , pink stroma"]


@pytest.fixture
def folder(clip_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clip_folder, tmp_path / "judge"))


@pytest.mark.parametrize(("fixture", "kind"), [("clip_folder", CLIPModel), ("siglip_folder", SiglipModel)])
def test_features_equal_those_of_transformers(request: pytest.FixtureRequest, fixture: str, kind: type) -> None:
    folder = request.getfixturevalue(fixture)
    judge = load_judge(f"transformers:{folder}", device="cpu")
    model = kind.from_pretrained(folder).eval()
    pixels = torch.randn(2, 3, 32, 32)
    tokens = AutoTokenizer.from_pretrained(folder)(
        TEXTS, padding="max_length", truncation=True, max_length=12, return_tensors="pt"
    ).input_ids
    with torch.no_grad():
        output = model(input_ids=tokens, pixel_values=pixels)
    torch.testing.assert_close(judge.encode_images(pixels), output.image_embeds, atol=1e-5, rtol=0)
    torch.testing.assert_close(judge.encode_texts(TEXTS), output.text_embeds, atol=1e-5, rtol=0)
    assert judge.card.temperature == pytest.approx(float(1 / model.logit_scale.detach().exp()), rel=1e-5)


def test_old_configurations_end_texts_at_the_highest_token(folder: Path) -> None:
    """PLIP and other CLIPs from before 2023 have eos_token_id 2, but are pooled at the highest token."""
    expected = load_judge(str(folder)).encode_texts(TEXTS)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["eos_token_id"] = 2
    (folder / "config.json").write_text(json.dumps(config))
    judge = load_judge(str(folder))
    torch.testing.assert_close(judge.encode_texts(TEXTS), expected)
    features = judge._towers.text(judge._towers.tokenise(TEXTS))
    torch.testing.assert_close(F.normalize(features, dim=1), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("fixture", "mean"), [("clip_folder", 0.48145466), ("siglip_folder", 0.5)])
def test_pixel_statistics_default_to_those_of_the_family(
    request: pytest.FixtureRequest, tmp_path: Path, fixture: str, mean: float
) -> None:
    folder = Path(shutil.copytree(request.getfixturevalue(fixture), tmp_path / "judge"))
    (folder / "preprocessor_config.json").unlink()
    assert load_judge(str(folder)).card.mean[0] == mean
    inner = {"image_processor": {"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 1, 1]}}
    (folder / "processor_config.json").write_text(json.dumps(inner))
    assert load_judge(str(folder)).card.mean == (0.1, 0.2, 0.3)


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    BertConfig().save_pretrained(tmp_path / "bert")
    save_file({"weight": torch.zeros(1)}, tmp_path / "bert" / "model.safetensors")
    with pytest.raises(BadFile, match="bert is a model of type 'bert'; judges are clip or siglip"):
        load_judge(str(tmp_path / "bert"))


def test_a_model_without_a_text_tower_is_refused(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    vision = {key: value for key, value in weights.items() if not key.startswith("text_model")}
    save_file(vision, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BadFile, match=r"judge lacks \d+ of its weights, first text_model"):
        load_judge(str(folder))


def test_a_folder_without_a_tokenizer_is_refused(folder: Path) -> None:
    for file in folder.glob("*token*"):
        file.unlink()
    with pytest.raises(BadFile, match="has no tokenizer"):
        load_judge(str(folder))


def test_a_tokenizer_of_another_model_is_refused(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    key = next(key for key in weights if key.endswith("token_embedding.weight"))
    weights[key] = weights[key][:10].clone()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["vocab_size"] = 10
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadFile, match="its tokenizer has 17 entries, its text tower only 10"):
        load_judge(str(folder))


@pytest.mark.parametrize(("file", "content"), [("model.safetensors", b"0" * 64), ("config.json", b"{")])
def test_a_damaged_file_is_refused(folder: Path, file: str, content: bytes) -> None:
    (folder / file).write_bytes(content)
    with pytest.raises(BadFile, match="judge cannot be loaded"):
        load_judge(str(folder))


def test_missing_folders_are_named() -> None:
    for name in ("transformers:not an id", "./nowhere/at/all"):
        with pytest.raises(BadFile, match="does not exist"):
            load_judge(name)


def test_code_of_a_tokenizer_never_runs(folder: Path, make: SimpleNamespace) -> None:
    marker = make.plant_code(folder)
    load_judge(str(folder), device="cpu")  # with the tokenizer class of transformers for such models
    assert not marker.exists()
