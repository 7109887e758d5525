"""open_clip judges: the bundled tokenizer, other text towers, models by name, damaged folders."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import BertConfig

from qaclims_path.errors import BadFile, UsageError
from qaclims_path.models.judges import load_judge

SIDE = 32


@pytest.fixture
def folder(open_clip_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(open_clip_folder, tmp_path / "judge"))


@pytest.fixture
def tiny_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let open_clip know a small model by the name `tiny`; its own are large."""
    vision = {"image_size": SIDE, "patch_size": 8, "width": 32, "layers": 1, "head_width": 16}
    text = {"context_length": 12, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    config = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", config)


def change(folder: Path, **text: Any) -> None:
    path = folder / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"]["text_cfg"] |= text
    path.write_text(json.dumps(config))


def test_features_equal_those_of_open_clip(open_clip_folder: Path) -> None:
    judge = load_judge(str(open_clip_folder), device="cpu")
    model = open_clip.create_model(f"local-dir:{open_clip_folder}").eval()
    tokens = open_clip.get_tokenizer(f"local-dir:{open_clip_folder}")(["a tumor", "pink stroma ."])
    with torch.no_grad():
        texts = model.encode_text(tokens, normalize=True)
        torch.testing.assert_close(judge.encode_texts(["a tumor", "pink stroma ."]), texts, atol=1e-5, rtol=0)
        pixels = torch.randn(2, 3, SIDE, SIDE)
        torch.testing.assert_close(judge.encode_images(pixels), model.encode_image(pixels, normalize=True))


def test_a_folder_without_a_tokenizer_name_uses_that_of_clip(tmp_path: Path, make: SimpleNamespace) -> None:
    judge = load_judge(str(make.open_clip(tmp_path / "plain", own_tokenizer=False)), device="cpu")
    texts = ["a photo of a cat", "tumour-infiltrating lymphocytes"]
    full_context = judge._towers.text(judge._towers.tokenise(texts))
    torch.testing.assert_close(judge.encode_texts(texts), F.normalize(full_context, dim=1), atol=1e-5, rtol=0)
    with pytest.warns(UserWarning, match="'a b c d"):
        judge.encode_texts(["a b c d e f g h i j k l m n o"])


def test_a_text_tower_that_is_not_causal_gets_the_full_context(tmp_path: Path, make: SimpleNamespace) -> None:
    folder = make.open_clip(tmp_path / "both-ways", no_causal_mask=True)
    judge = load_judge(str(folder), device="cpu")
    assert judge._towers.lengths is None
    model = open_clip.create_model(f"local-dir:{folder}").eval()
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(["a tumor"])
    torch.testing.assert_close(judge.encode_texts(["a tumor"]), model.encode_text(tokens, normalize=True))


def test_a_bert_text_tower_ignores_its_padding(tmp_path: Path, make: SimpleNamespace) -> None:
    """As in BiomedCLIP: the tower's configuration is in the folder, the context is cut to the longest text."""
    folder = tmp_path / "biomed"
    folder.mkdir()
    bert = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertConfig(**bert, vocab_size=20, pad_token_id=0).save_pretrained(folder)
    make.tokenizer(folder)
    text = {"hf_model_name": "somewhere/bert", "hf_tokenizer_name": "somewhere/bert", "context_length": 12}
    text |= {"hf_proj_type": "mlp", "hf_pooler_type": "cls_last_hidden_state_pooler"}
    vision = {"image_size": SIDE, "patch_size": 8, "width": 32, "layers": 1, "head_width": 16}
    config = {"model_cfg": {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}, "preprocess_cfg": {"size": SIDE}}
    torch.manual_seed(0)
    own = {**text, "hf_model_name": str(folder), "hf_model_pretrained": False}
    model = open_clip.CustomTextCLIP(16, vision, own)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    judge = load_judge(str(folder), device="cpu")
    texts = ["a tumor", "dense nuclei of the stroma"]
    assert judge._towers.lengths(judge._towers.tokenise(texts)).tolist() == [4, 7]
    full_context = judge._towers.text(judge._towers.tokenise(texts))
    torch.testing.assert_close(judge.encode_texts(texts), F.normalize(full_context, dim=1), atol=1e-5, rtol=0)


@pytest.mark.usefixtures("tiny_model")
def test_a_model_by_name_takes_its_weights_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    save_file(open_clip.create_model("tiny").state_dict(), file)
    judge = load_judge(f"open_clip:tiny@{file}", device="cpu")
    assert judge.card.id == "open_clip:tiny@weights.safetensors"
    assert judge.card.input_size == SIDE


@pytest.mark.parametrize(
    ("name", "message"), [("open_clip:RN5", "Did you mean 'RN50'"), ("open_clip:RN50@openia", "one of openai")]
)
def test_an_unknown_model_or_tag_is_named(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_judge(name)


def test_the_notes_of_a_folder_are_on_the_card(folder: Path) -> None:
    (folder / "judge_card.json").write_text('{"mpp": 0.5, "trained_on": "phantoms", "warning": "for a demonstration"}')
    card = load_judge(str(folder)).card
    assert (card.mpp, card.trained_on, card.warning) == (0.5, "phantoms", "for a demonstration")


def test_damaged_notes_are_refused(folder: Path) -> None:
    (folder / "judge_card.json").write_text("[1]")
    with pytest.raises(BadFile, match="not the card of a judge"):
        load_judge(str(folder))


def test_a_folder_without_a_tokenizer_is_refused(folder: Path) -> None:
    for file in folder.glob("*token*"):
        file.unlink()
    with pytest.raises(BadFile, match="has no tokenizer"):
        load_judge(str(folder))


def test_a_tokenizer_of_another_model_is_refused(folder: Path) -> None:
    change(folder, vocab_size=10)
    weights = load_file(folder / "open_clip_model.safetensors")
    weights["token_embedding.weight"] = weights["token_embedding.weight"][:10].clone()
    save_file(weights, folder / "open_clip_model.safetensors")
    with pytest.raises(BadFile, match="its tokenizer has 17 entries, its text tower only 10"):
        load_judge(str(folder))


def test_weights_of_another_width_are_refused(folder: Path) -> None:
    change(folder, width=64)
    with pytest.raises(BadFile, match="judge cannot be loaded as a judge of the family open_clip"):
        load_judge(str(folder))


@pytest.mark.parametrize("damage", ["{", '{"model_cfg": 3}', "[]"])
def test_a_damaged_configuration_is_refused(folder: Path, damage: str) -> None:
    (folder / "open_clip_config.json").write_text(damage)
    with pytest.raises(BadFile, match=r"open_clip_config\.json of judge is not a configuration"):
        load_judge(str(folder))


def test_cut_weights_are_refused(folder: Path) -> None:
    weights = folder / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(BadFile, match="copied completely"):
        load_judge(str(folder))


def test_pickled_weights_are_read_as_tensors_only(folder: Path, tmp_path: Path) -> None:
    weights = load_file(folder / "open_clip_model.safetensors")
    (folder / "open_clip_model.safetensors").unlink()
    torch.save(weights, folder / "open_clip_pytorch_model.bin")
    assert load_judge(str(folder)).card.width == 16
    marker = tmp_path / "executed"
    torch.save({"weight": _Malicious(marker)}, folder / "open_clip_pytorch_model.bin")
    with pytest.raises(BadFile, match="cannot be loaded"):
        load_judge(str(folder))
    assert not marker.exists()


def test_code_of_a_tokenizer_never_runs(folder: Path, make: SimpleNamespace) -> None:
    marker = make.plant_code(folder)
    with pytest.raises(BadFile, match=r"judge cannot be loaded as a judge .*custom code"):
        load_judge(str(folder))
    change(folder, tokenizer_kwargs={"trust_remote_code": True, "clean": "lower"})
    with pytest.raises(BadFile, match=r"judge sets trust_remote_code in tokenizer_kwargs, which is refused.*remove"):
        load_judge(str(folder))
    assert not marker.exists()


def test_safe_options_of_a_tokenizer_are_used(folder: Path) -> None:
    plain = load_judge(str(folder), device="cpu").encode_texts(["TUMOR"])
    change(folder, tokenizer_kwargs={"clean": "lower"})
    judge = load_judge(str(folder), device="cpu")
    torch.testing.assert_close(judge.encode_texts(["TUMOR"]), judge.encode_texts(["tumor"]))
    assert not torch.allclose(judge.encode_texts(["TUMOR"]), plain)


def test_code_of_a_text_tower_is_refused_without_a_question(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Transformers would ask on the screen, and run it after a yes."""
    questions: list[str] = []
    monkeypatch.setattr("builtins.input", lambda question: questions.append(question) or "y")
    marker = folder.parent / "executed"
    code = "from pathlib import Path\nfrom transformers import BertConfig\n"
    (folder / "tower.py").write_text(f"{code}Path({str(marker)!r}).touch()\nclass Own(BertConfig): ...\n")
    own = {"model_type": "own", "auto_map": {"AutoConfig": "tower.Own"}}
    (folder / "config.json").write_text(json.dumps(own))
    change(folder, hf_model_name="somewhere/own")
    with pytest.raises(BadFile, match=r"judge cannot be loaded as a judge .*custom code"):
        load_judge(str(folder))
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2", "auto_map": {"AutoModel": "tower.Own"}}))
    with pytest.raises(BadFile, match=r"a text tower of the type 'gpt2', which open_clip does not know"):
        load_judge(str(folder))
    assert not questions
    assert not marker.exists()


class _Malicious:
    """Writes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)
