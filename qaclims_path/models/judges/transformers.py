"""Judges of transformers: folders of the CLIP and SigLIP families, such as PLIP and MedSigLIP."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoTokenizer, CLIPModel, SiglipModel

from qaclims_path.errors import BadFile
from qaclims_path.files.hub import require_tokenizer
from qaclims_path.models.judges.frozen import Towers
from qaclims_path.models.judges.notes import read_notes
from qaclims_path.types import JudgeCard

if TYPE_CHECKING:
    from qaclims_path.models.judges import Source

MODELS: dict[str, Any] = {"clip": CLIPModel, "siglip": SiglipModel}
CLIP_PIXELS = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))  # mean, standard deviation
SIGLIP_PIXELS = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
LEGACY_EOS = 2  # in configurations of old CLIP models, whose end token has the highest number


def load_folder(source: "Source", folder: Path) -> Towers:
    """Load towers from a folder of `save_pretrained`; nothing is downloaded, and no code from the folder runs."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if config.model_type not in MODELS:
        raise BadFile(
            f"{source.id} is a model of type '{config.model_type}'; judges are {' or '.join(MODELS)}. Others can be "
            "added as a plug-in, see docs/judges.md."
        )
    require_tokenizer(source.id, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    model = _load_model(source.id, config, folder)
    _check_vocabulary(source.id, len(tokenizer), config.text_config.vocab_size)
    causal = config.model_type == "clip"
    context = int(config.text_config.max_position_embeddings)
    return Towers(
        card=_card(source, config, folder, float(1 / model.logit_scale.detach().exp())),
        module=model,
        image=partial(_image, model),
        text=partial(_text, model),
        tokenise=partial(_tokenise, tokenizer, context),
        lengths=partial(_until_end, eos=config.text_config.eos_token_id) if causal else None,
        count=lambda text: len(tokenizer(text, verbose=False).input_ids),
    )


def _load_model(name: str, config: Any, folder: Path) -> Any:  # noqa: ANN401 - transformers has no common type
    model, info = MODELS[config.model_type].from_pretrained(
        folder,
        config=config,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
        dtype=torch.float32,
        weights_only=True,
    )
    missing = sorted(info["missing_keys"])
    if missing:
        raise BadFile(
            f"{name} lacks {len(missing)} of its weights, first {missing[0]}. The copy is incomplete, or the model is "
            "only one tower of a judge."
        )
    return model


def _check_vocabulary(name: str, entries: int, words: int) -> None:
    if entries > words:
        raise BadFile(
            f"{name}: its tokenizer has {entries} entries, its text tower only {words}. They do not match: copy the "
            "tokenizer that the model was trained with."
        )


def _card(source: "Source", config: Any, folder: Path, temperature: float) -> JudgeCard:  # noqa: ANN401
    clip = config.model_type == "clip"
    mean, std = _pixels(folder, CLIP_PIXELS if clip else SIGLIP_PIXELS)
    notes = read_notes(folder)
    return JudgeCard(
        id=source.id,
        revision=source.revision,
        family="transformers",
        input_size=int(config.vision_config.image_size),
        mean=mean,
        std=std,
        width=int(config.projection_dim if clip else config.vision_config.hidden_size),
        context=int(config.text_config.max_position_embeddings),
        temperature=temperature,
        mpp=notes.mpp,
        trained_on=notes.trained_on,
        warning=notes.warning,
        demonstration=notes.demonstration,
    )


def _pixels(folder: Path, default: tuple[Any, Any]) -> tuple[Any, Any]:
    """Return the mean and standard deviation of the pixels in the folder's preprocessing, else those of the family."""
    for file, key in (("preprocessor_config.json", None), ("processor_config.json", "image_processor")):
        path = folder / file
        if path.is_file():
            values = json.loads(path.read_text(encoding="utf-8"))
            values = values.get(key, {}) if key else values
            if "image_mean" in values and "image_std" in values:
                return tuple(values["image_mean"]), tuple(values["image_std"])
    return default


def _image(model: Any, pixels: Tensor) -> Tensor:  # noqa: ANN401
    features: Tensor = model.get_image_features(pixel_values=pixels).pooler_output
    return features


def _text(model: Any, tokens: Tensor) -> Tensor:  # noqa: ANN401
    features: Tensor = model.get_text_features(input_ids=tokens).pooler_output
    return features


def _tokenise(tokenizer: Any, context: int, texts: Sequence[str]) -> Tensor:  # noqa: ANN401
    tokens: Tensor = tokenizer(
        list(texts), padding="max_length", truncation=True, max_length=context, return_tensors="pt"
    ).input_ids
    return tokens


def _until_end(tokens: Tensor, *, eos: int) -> Tensor:
    """Return the number of tokens up to the end token; with CLIP's causal mask, later ones change nothing."""
    ends = tokens.eq(tokens.amax(1, keepdim=True)) if eos == LEGACY_EOS else tokens.eq(eos)
    return torch.where(ends.any(1), ends.int().argmax(1) + 1, tokens.shape[1])
