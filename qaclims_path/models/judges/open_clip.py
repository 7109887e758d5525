"""Judges of open_clip: a folder with `open_clip_config.json`, or a model that open_clip knows by name."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import open_clip
import torch
from open_clip.hf_configs import arch_dict
from open_clip.hf_model import HFTextEncoder
from open_clip.tokenizer import HFTokenizer
from open_clip.transformer import text_global_pool
from torch import Tensor, nn
from transformers import AutoConfig

from qaclims_path.errors import BadFile, UsageError
from qaclims_path.files.hub import LOCAL, require_tokenizer
from qaclims_path.models.judges.frozen import Towers, weights_hash
from qaclims_path.models.judges.notes import Notes, read_notes
from qaclims_path.registry import suggest
from qaclims_path.types import JudgeCard

if TYPE_CHECKING:
    from qaclims_path.models.judges import Source

CONFIG = "open_clip_config.json"
TOKENIZER_KWARGS = {"clean", "strip_sep_token", "language", "reduction_mask", "additional_special_tokens"}


def load_folder(source: "Source", folder: Path) -> Towers:
    """Load towers from a folder: configuration, weights, and a tokenizer if the configuration names one.

    No code from the folder runs, nor from a model on the hub that it names.
    """
    text_cfg = _text_cfg(source.id, folder)
    if text_cfg.get("hf_tokenizer_name"):
        require_tokenizer(source.id, folder)
    overrides: dict[str, Any] = {}
    if (
        text_cfg.get("hf_model_name") and (folder / "config.json").is_file()
    ):  # else open_clip reads the configuration on the hub
        text_cfg = {**text_cfg, "hf_model_name": str(folder), "hf_model_pretrained": False}
        overrides["text_cfg"] = text_cfg
    _check_tower(source.id, text_cfg)
    location = f"{LOCAL}{folder}"
    with _quiet():
        model = open_clip.create_model(location, require_pretrained=True, weights_only=True, **overrides)
        tokenizer = open_clip.get_tokenizer(location, **_no_code(text_cfg))
    return make_towers(source.id, source.revision, model, tokenizer, read_notes(folder))


def load_named(source: "Source") -> Towers:
    """Load towers from `MODEL@TAG` or `MODEL@FILE`."""
    name, _, tag = source.name.partition("@")
    known = open_clip.list_models()
    if name not in known:
        raise UsageError(f"open_clip knows no model '{name}'. {suggest(name, known)}")
    tags = open_clip.list_pretrained_tags_by_model(name)
    file = Path(tag).expanduser()
    if tag not in tags and not file.is_file():
        forms = f"open_clip:{name}@TAG with one of {', '.join(tags) or 'none'}, or open_clip:{name}@FILE"
        raise UsageError(f"open_clip:{source.name} names no weights. Write {forms}.")
    text_cfg = open_clip.get_model_config(name)["text_cfg"]
    _check_tower(f"open_clip:{name}", text_cfg)
    with _quiet():
        weights = tag if tag in tags else str(file)
        model = open_clip.create_model(name, weights, require_pretrained=True, weights_only=True)
        tokenizer = open_clip.get_tokenizer(name, **_no_code(text_cfg))
    model_id = f"open_clip:{name}@{tag if tag in tags else file.name}"
    return make_towers(model_id, weights_hash(model.state_dict()), model, tokenizer, Notes())


def make_towers(name: str, revision: str, model: nn.Module, tokenizer: Any, notes: Notes) -> Towers:  # noqa: ANN401
    """Make towers of an open_clip model."""
    visual: Any = model.visual
    size = visual.preprocess_cfg["size"]
    text = _text_tower(model)
    tokens = tokenizer(["a"])
    vocabulary = len(tokenizer.tokenizer) if isinstance(tokenizer, HFTokenizer) else tokenizer.vocab_size
    if text.words is not None and vocabulary > text.words:
        raise BadFile(
            f"{name}: its tokenizer has {vocabulary} entries, its text tower only {text.words}. They do not match: "
            "copy the tokenizer that the model was trained with."
        )
    card = JudgeCard(
        id=name,
        revision=revision,
        family="open_clip",
        input_size=size if isinstance(size, int) else int(size[0]),
        mean=_triple(visual.preprocess_cfg["mean"]),
        std=_triple(visual.preprocess_cfg["std"]),
        width=_width(text, tokens),
        context=int(tokens.shape[1]),
        temperature=float(1 / model.logit_scale.detach().exp()),  # type: ignore[operator]
        mpp=notes.mpp,
        trained_on=notes.trained_on,
        warning=notes.warning,
        demonstration=notes.demonstration,
    )
    encode = getattr(model, "encode_image")  # noqa: B009 - nn.Module types every attribute as a module
    return Towers(
        card=card,
        module=model,
        image=encode,
        text=text.encode,
        tokenise=lambda texts: tokenizer(list(texts)),
        lengths=text.lengths,
        count=partial(_count, tokenizer),
    )


@dataclass(frozen=True)
class _TextTower:
    """A text tower; with `lengths` it accepts fewer tokens than the full context."""

    encode: Callable[[Tensor], Tensor]
    lengths: Callable[[Tensor], Tensor] | None
    words: int | None


def _text_tower(model: Any) -> _TextTower:  # noqa: ANN401 - any open_clip model
    """Make a text tower whose `lengths` end at the end token (causal mask) or at the last token that is not padding."""
    own = getattr(model, "text", model)
    if isinstance(own, HFTextEncoder):
        pad = own.config.pad_token_id or 0
        return _TextTower(model.encode_text, lambda tokens: _length(tokens != pad), own.config.vocab_size)
    words = getattr(own, "vocab_size", None)
    pool, eos = (getattr(own, f"text_{key}", getattr(own, key, None)) for key in ("pool_type", "eos_id"))
    causal = getattr(own, "attn_mask", None) is not None and getattr(own, "cls_emb", None) is None
    if not causal or pool not in ("argmax", "eos"):
        return _TextTower(model.encode_text, None, words)
    return _TextTower(partial(encode_short, own, pool, eos), partial(_until_end, pool=pool, eos=eos), words)


def encode_short(own: Any, pool: str, eos: int | None, tokens: Tensor) -> Tensor:  # noqa: ANN401
    """Encode N L tokens, L up to the context; with a causal mask, tokens after the end token change nothing."""
    length, dtype = tokens.shape[1], own.transformer.get_cast_dtype()
    x = own.token_embedding(tokens).to(dtype) + own.positional_embedding[:length].to(dtype)
    x = own.ln_final(own.transformer(x, attn_mask=own.attn_mask[:length, :length]))
    pooled: Tensor = text_global_pool(x, tokens, pool, eos_token_id=eos)
    projection = own.text_projection
    if projection is None:
        return pooled
    projected: Tensor = projection(pooled) if isinstance(projection, nn.Linear) else pooled @ projection
    return projected


def _until_end(tokens: Tensor, *, pool: str, eos: int | None) -> Tensor:
    ends = tokens.eq(tokens.amax(1, keepdim=True)) if pool == "argmax" else tokens.eq(eos or 0)
    return torch.where(ends.any(1), ends.int().argmax(1) + 1, tokens.shape[1])


def _length(used: Tensor) -> Tensor:
    """Return the index after the last True of each row, at least 1."""
    return (used.shape[1] - used.flip(1).int().argmax(1)).clamp(min=1)


@torch.no_grad()
def _width(text: _TextTower, tokens: Tensor) -> int:
    return int(text.encode(tokens).shape[1])


def _count(tokenizer: Any, text: str) -> int:  # noqa: ANN401 - either tokenizer of open_clip
    if isinstance(tokenizer, HFTokenizer):
        return len(tokenizer.tokenizer(tokenizer.clean_fn(text), verbose=False).input_ids)
    return len(tokenizer.encode(text)) + 2


def _text_cfg(name: str, folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["model_cfg"]["text_cfg"]
    except OSError as error:
        raise BadFile(f"{name} cannot be read: {error.strerror or error} ({CONFIG}).") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BadFile(
            f"{CONFIG} of {name} is not a configuration of open_clip: it needs model_cfg with text_cfg."
        ) from error
    unknown = sorted(set(config.get("tokenizer_kwargs") or {}) - TOKENIZER_KWARGS)
    if unknown:
        raise BadFile(
            f"{CONFIG} of {name} sets {', '.join(unknown)} in tokenizer_kwargs, which is refused because such options "
            f"can run code from the folder. Allowed are {', '.join(sorted(TOKENIZER_KWARGS))}; remove the others."
        )
    return config


def _no_code(text_cfg: Mapping[str, Any]) -> dict[str, bool]:
    """Return options of `get_tokenizer` that override those of a file; only tokenizers of transformers can run code."""
    return {"trust_remote_code": False} if text_cfg.get("hf_tokenizer_name") else {}


def _check_tower(name: str, text_cfg: Mapping[str, Any]) -> None:
    """Refuse a text tower that transformers can build only with code from the hub, which open_clip would ask for."""
    tower = text_cfg.get("hf_model_name")
    if not tower:
        return
    kind = AutoConfig.from_pretrained(tower, trust_remote_code=False).model_type
    if kind not in arch_dict:
        raise BadFile(
            f"{name} has a text tower of the type '{kind}', which open_clip does not know. Use a judge with one of "
            f"{', '.join(arch_dict)}."
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide open_clip's messages on the root logger; errors are raised all the same."""
    logger = logging.getLogger()
    disabled = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = disabled


def _triple(values: Any) -> tuple[float, float, float]:  # noqa: ANN401 - a list or tuple of three numbers
    red, green, blue = (float(value) for value in values)
    return red, green, blue
