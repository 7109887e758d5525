"""Tiny judges of real architectures with random weights, saved in the real formats."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from open_clip.model import CLIP
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast, SiglipConfig, SiglipModel

WORDS = ["<pad>", "<start>", "<unk>", "a", "an", "of", "the", "tumor", "stroma", "image", "necrosis", "dense", "nuclei"]
WORDS += ["pink", ",", ".", "<end>"]
END = len(WORDS) - 1
SIDE, WIDTH, CONTEXT = 32, 16, 12
VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


def save_tokenizer(folder: Path) -> None:
    """Save a word-level tokenizer with the end token at which CLIP pools."""
    words = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = Whitespace()
    words.post_processor = TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 1), ("<end>", END)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<start>", eos_token="<end>", pad_token="<pad>", unk_token="<unk>"
    ).save_pretrained(folder)


def save_open_clip(folder: Path, *, own_tokenizer: bool = True, **text: Any) -> Path:
    """Save a ViT with a text transformer, in the files of `open_clip.push_to_hf_hub`."""
    folder.mkdir(parents=True, exist_ok=True)
    text_cfg = {"context_length": CONTEXT, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2, **text}
    if own_tokenizer:
        text_cfg |= {"hf_tokenizer_name": "its own", "vocab_size": 20, "pool_type": "eos", "eos_id": END}
        save_tokenizer(folder)
    vision_cfg = {"image_size": SIDE, "patch_size": 8, "width": 32, "layers": 3, "head_width": 16}
    model_cfg = {"embed_dim": WIDTH, "vision_cfg": vision_cfg, "text_cfg": text_cfg}
    preprocess = {"size": [SIDE, SIDE], "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}
    config = json.dumps({"model_cfg": model_cfg, "preprocess_cfg": preprocess})
    (folder / "open_clip_config.json").write_text(config)
    torch.manual_seed(0)
    model = CLIP(WIDTH, vision_cfg, text_cfg)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def save_transformers(folder: Path, kind: str) -> Path:
    """Save a CLIP or SigLIP with `save_pretrained`."""
    text: dict[str, Any] = {**VISION, "vocab_size": 20, "max_position_embeddings": CONTEXT}
    text |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": END}
    vision = {**VISION, "image_size": SIDE, "patch_size": 8}
    torch.manual_seed(0)
    if kind == "clip":
        model: Any = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH))
    else:
        model = SiglipModel(SiglipConfig(text_config={**text, "projection_size": 32}, vision_config=vision))
    model.save_pretrained(folder)
    save_tokenizer(folder)
    pixels = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))
    return folder


def save_ovseg(path: Path, *, depth: int = 3) -> CLIP:
    """Save a checkpoint with the names of OVSeg; returns its CLIP."""
    torch.manual_seed(0)
    vision = {"image_size": SIDE, "patch_size": 8, "width": 128, "layers": 4, "head_width": 64}
    text = {"context_length": 16, "width": 64, "heads": 1, "layers": 1}
    model = CLIP(WIDTH, vision, text, quick_gelu=True)
    state = {f"clip_adapter.clip_model.{key}": value for key, value in model.state_dict().items()}
    state["clip_adapter.clip_model.visual.mask_embedding"] = torch.randn(depth, 16, 128)
    state["sem_seg_head.predictor.weight"] = torch.zeros(3)
    torch.save({"model": state, "iteration": 1}, path)
    return model.eval()


def plant_code(folder: Path) -> Path:
    """Add code to the tokenizer of a folder; returns the file that the code would write."""
    marker = folder.parent / "executed"
    code = "from pathlib import Path\nfrom transformers import PreTrainedTokenizerFast\n"
    (folder / "tok.py").write_text(f"{code}Path({str(marker)!r}).touch()\nclass Tok(PreTrainedTokenizerFast): ...\n")
    path = folder / "tokenizer_config.json"
    own = {"tokenizer_class": "Tok", "auto_map": {"AutoTokenizer": [None, "tok.Tok"]}}
    path.write_text(json.dumps(json.loads(path.read_text()) | own))
    return marker


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """Functions that save a judge, for tests that change it."""
    return SimpleNamespace(
        tokenizer=save_tokenizer,
        open_clip=save_open_clip,
        transformers=save_transformers,
        ovseg=save_ovseg,
        plant_code=plant_code,
    )


@pytest.fixture(scope="session")
def open_clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_open_clip(tmp_path_factory.mktemp("judges") / "tiny-open-clip")


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_transformers(tmp_path_factory.mktemp("judges") / "tiny-plip", "clip")


@pytest.fixture(scope="session")
def siglip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_transformers(tmp_path_factory.mktemp("judges") / "tiny-siglip", "siglip")
