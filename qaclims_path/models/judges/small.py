"""A small judge to train, in open_clip's format: a timm image tower, a text transformer and its own vocabulary."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from open_clip.model import CustomTextCLIP
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from qaclims_path.errors import BadFile, UsageError
from qaclims_path.files.atomic import write_json
from qaclims_path.files.tensors import save_tensors
from qaclims_path.models.judges.notes import FILE as NOTES
from qaclims_path.registry import suggest

PAD, START, END = "<pad>", "<start>", "<end>"
SCALE, BIAS = 2.3, 0.0  # ln 10: cosines are first multiplied by 10


@dataclass(frozen=True)
class Shape:
    """Sizes of the judge.

    Attributes:
        size: Side of an input image in pixels.
        width: Length of a feature vector.
        tower: Image tower, a timm name.
        text_width: Channels of the text tower.
        text_layers: Blocks of the text tower.
        context: Maximal length of a text in tokens.
        words: Maximal size of the vocabulary.
    """

    size: int = 112
    width: int = 128
    tower: str = "test_resnet"
    text_width: int = 128
    text_layers: int = 2
    context: int = 96
    words: int = 3000


def learn_vocabulary(texts: Iterable[str], shape: Shape) -> PreTrainedTokenizerFast:
    """Learn a byte-pair vocabulary from texts; letters that are not in them are still tokens."""
    pairs = Tokenizer(models.BPE())
    pairs.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    pairs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    pairs.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=shape.words,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    pairs.train_from_iterator(sorted(set(texts)), trainer)
    pairs.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(START, 1), (END, 2)]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=pairs, bos_token=START, eos_token=END, pad_token=PAD, model_max_length=shape.context
    )


def configuration(shape: Shape, words: int, mean: tuple[float, ...], std: tuple[float, ...]) -> dict[str, Any]:
    """Return the content of `open_clip_config.json`."""
    if not timm.is_model(shape.tower):
        raise UsageError(f"timm knows no image tower '{shape.tower}'. {suggest(shape.tower, timm.list_models())}")
    vision = {"image_size": shape.size, "timm_model_name": shape.tower, "timm_pool": "avg", "timm_proj": "linear"}
    text = {
        "context_length": shape.context,
        "vocab_size": words,
        "width": shape.text_width,
        "heads": max(shape.text_width // 32, 1),
        "layers": shape.text_layers,
        "pool_type": "eos",
        "eos_id": 2,
        "hf_tokenizer_name": "tokenizer.json",
    }
    model = {
        "embed_dim": shape.width,
        "init_logit_scale": SCALE,
        "init_logit_bias": BIAS,
        "custom_text": True,
        "vision_cfg": vision,
        "text_cfg": text,
    }
    pixels = {"size": [shape.size, shape.size], "mean": list(mean), "std": list(std), "resize_mode": "squash"}
    return {"model_cfg": model, "preprocess_cfg": pixels}


def build(config: Mapping[str, Any], *, seed: int, image_weights: Path | None = None) -> CustomTextCLIP:
    """Build the network of a configuration with random weights; `image_weights` is a timm file for the image tower."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model_cfg = {key: value for key, value in config["model_cfg"].items() if key != "custom_text"}
        network = CustomTextCLIP(**model_cfg)
    _check_size(network, config)
    if image_weights is not None:
        _load_tower(network.visual.trunk, image_weights)
    return network


def save(folder: Path, network: nn.Module, config: Mapping[str, Any], tokenizer: Any, notes: Mapping[str, Any]) -> None:  # noqa: ANN401
    """Write a folder that open_clip and `load_judge` read; its configuration is written last."""
    save_tensors(folder / "open_clip_model.safetensors", network.state_dict())
    write_json(folder / NOTES, dict(notes))
    tokenizer.save_pretrained(folder)
    write_json(folder / "open_clip_config.json", dict(config))


@torch.no_grad()
def _check_size(network: CustomTextCLIP, config: Mapping[str, Any]) -> None:
    """Encode one image: some of timm's networks do not fit open_clip's head or the image size."""
    vision = config["model_cfg"]["vision_cfg"]
    try:
        network.eval().encode_image(torch.zeros(1, 3, vision["image_size"], vision["image_size"]))
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"The image tower '{vision['timm_model_name']}' cannot encode images of {vision['image_size']} pixels in "
            f"open_clip: {str(error).splitlines()[0]}. Choose another one, such as resnet10t."
        ) from error


def _load_tower(trunk: nn.Module, path: Path) -> None:
    """Load weights of the same network into an image tower; those of a classifier are ignored."""
    try:
        weights: dict[str, Tensor] = load_file(path)
    except Exception as error:  # safetensors raises errors of any kind for a damaged file
        raise BadFile(
            f"{path} cannot be read as safetensors: {error}. Give a file that a timm model was saved to."
        ) from error
    own = {key: value for key, value in trunk.state_dict().items() if not key.endswith("num_batches_tracked")}
    missing = [key for key, value in own.items() if key not in weights or weights[key].shape != value.shape]
    if missing:
        raise BadFile(
            f"{path} lacks {len(missing)} of the image tower's weights, first {missing[0]}. Give the --tower that "
            "the file is for."
        )
    trunk.load_state_dict({key: weights[key] for key in own}, strict=False)
