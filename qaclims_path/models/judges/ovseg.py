"""The mask-prompted judge of QA-CLIMS (OVSeg): learned embeddings replace the ViT's patch tokens outside a region.

Number of prompts, patch size and all other sizes are read from the checkpoint's shapes.
"""

from functools import partial
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg, set_model_preprocess_cfg
from open_clip.transform import PreprocessCfg
from torch import Tensor, nn
from torch.nn import functional as F

from qaclims_path.errors import BadFile
from qaclims_path.models.judges.frozen import Towers, weights_hash
from qaclims_path.models.judges.notes import Notes
from qaclims_path.models.judges.open_clip import make_towers
from qaclims_path.models.weights import State, read_weights

PREFIX = "clip_adapter.clip_model."  # prefix of the names of CLIP's weights in a checkpoint of OVSeg
PROMPTS = "visual.mask_embedding"
HEAD_WIDTH = 64  # channels per attention head in every published CLIP


def load_file(path: Path) -> Towers:
    """Load towers from `ovseg_swinbase_vitL14_ft_mpt.pth`, or a safetensors file with the same names."""
    state = _clip_state(path)
    prompts = nn.Parameter(state.pop(PROMPTS).float())
    model = _build(state)
    expected = (model.visual.grid_size[0] * model.visual.grid_size[1], model.visual.class_embedding.shape[0])
    if prompts.ndim != 3 or tuple(prompts.shape[1:]) != expected or len(prompts) > len(_blocks(model)) + 1:
        raise BadFile(f"{path}: mask embeddings of shape {tuple(prompts.shape)} do not fit its image tower {expected}.")
    model.register_parameter("mask_embedding", prompts)
    tokenizer = open_clip.get_tokenizer("ViT-L-14", context_length=model.context_length)
    name = f"ovseg:{path.name}"
    towers = make_towers(name, weights_hash(model.state_dict()), model, tokenizer, Notes())
    card = towers.card
    return Towers(
        card=type(card)(**{**vars(card), "family": "ovseg"}),
        module=model,
        image=towers.image,
        text=towers.text,
        tokenise=towers.tokenise,
        lengths=towers.lengths,
        count=towers.count,
        prompted=partial(encode_prompted, model),
    )


def encode_prompted(model: Any, pixels: Tensor, masks: Tensor) -> Tensor:  # noqa: ANN401 - an open_clip CLIP
    """Encode P 3 S S pixels with learned embeddings in place of the patches that P S S masks leave out.

    A patch belongs to the region if any of its pixels does. The first layer of embeddings replaces tokens before the
    first block, each next layer after one more block; the class token does not change.
    """
    visual, prompts = model.visual, model.mask_embedding
    kept = F.avg_pool2d(masks[:, None], visual.patch_size).ceil().flatten(2).transpose(1, 2)
    x = visual.conv1(pixels).flatten(2).transpose(1, 2)
    kept = kept.to(x.dtype)
    x = x * kept + prompts[0].to(x.dtype) * (1 - kept)
    x = torch.cat([visual.class_embedding.to(x.dtype).expand(len(x), 1, -1), x], dim=1)
    x = visual.ln_pre(x + visual.positional_embedding.to(x.dtype))
    for depth, block in enumerate(_blocks(model), start=1):
        x = block(x)
        if depth < len(prompts):
            patches = x[:, 1:] * kept + prompts[depth].to(x.dtype) * (1 - kept)
            x = torch.cat([x[:, :1], patches], dim=1)
    pooled: Tensor = visual.ln_post(x[:, 0]) @ visual.proj
    return pooled


def _blocks(model: Any) -> Any:  # noqa: ANN401
    return model.visual.transformer.resblocks


def _clip_state(path: Path) -> State:
    """Return weights of the CLIP in an OVSeg checkpoint, with its mask embeddings."""
    weights = read_weights(path)
    state = {key.removeprefix(PREFIX): value for key, value in weights.items() if key.startswith(PREFIX)} or weights
    if PROMPTS not in state:
        raise BadFile(f"{path} has no mask embeddings ({PREFIX}{PROMPTS}). Use a mask-prompt checkpoint of OVSeg.")
    return state


def _build(state: State) -> Any:  # noqa: ANN401 - an open_clip CLIP
    """Build a CLIP with the shapes of its weights."""
    width, patch = state["visual.conv1.weight"].shape[0], state["visual.conv1.weight"].shape[-1]
    grid = round((state["visual.positional_embedding"].shape[0] - 1) ** 0.5)
    words, text_width = state["token_embedding.weight"].shape
    vision = CLIPVisionCfg(_depth(state, "visual.transformer."), width, min(HEAD_WIDTH, width), patch_size=patch)
    vision.image_size = grid * patch
    text = CLIPTextCfg(context_length=state["positional_embedding"].shape[0], vocab_size=words, width=text_width)
    text.heads, text.layers = max(text_width // HEAD_WIDTH, 1), _depth(state, "transformer.")
    model = CLIP(state["text_projection"].shape[1], vision, text, quick_gelu=True)
    own = model.state_dict()
    model.load_state_dict({key: value.float() for key, value in state.items() if key in own})
    colours = PreprocessCfg(size=(grid * patch, grid * patch))
    set_model_preprocess_cfg(model, vars(colours))
    return model


def _depth(state: State, tower: str) -> int:
    start = f"{tower}resblocks."
    return len({key.removeprefix(start).split(".")[0] for key in state if key.startswith(start)})
