"""Export of a segmenter as a MONAI bundle: configurations that build, load and run it, without code.

Architectures of segmentation_models_pytorch are built by that library, so their bundles run without this package;
others are loaded by `Segmenter.from_pretrained`. Weights are safetensors, never a pickle.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from qaclims_path.errors import QaclimsError
from qaclims_path.files.atomic import atomic_path, write_json, write_text
from qaclims_path.models.segmenters.model_card import model_card
from qaclims_path.models.segmenters.segmenter import Segmenter
from qaclims_path.models.segmenters.smp import CLASSES, network_arguments
from qaclims_path.models.segmenters.spec import CARD, WEIGHTS, SegmenterSpec

SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
MULTIPLE = 32
WINDOW = 512  # if the size of the training crops is unknown
RUNS_WITHOUT_US = ("segmentation-models-pytorch", "timm", "safetensors", "pillow")


def write_bundle(segmenter: Segmenter, out: Path) -> None:
    """Write a bundle: `configs/metadata.json`, `configs/inference.json`, `models/`, `docs/README.md`, `LICENSE`.

    Args:
        segmenter: Segmenter with a complete spec.
        out: New or empty folder.

    Examples:
        >>> write_bundle(Segmenter.from_pretrained("run"), Path("bundle"))  # doctest: +SKIP
    """
    spec = segmenter.spec
    try:
        if out.is_dir():
            out.rmdir()
    except OSError as error:
        raise QaclimsError(f"{out} cannot be replaced: {error.strerror or error}. Choose another --out.") from error
    with atomic_path(out) as folder:
        folder.mkdir()
        segmenter.save_pretrained(folder / "models")
        (folder / "models" / CARD).unlink()
        write_text(folder / "docs" / CARD, model_card(spec))
        write_text(folder / "LICENSE", licence(spec))
        write_json(folder / "configs" / "inference.json", inference(spec))
        write_json(folder / "configs" / "metadata.json", metadata(spec))


def window_of(spec: SegmenterSpec) -> int:
    """Return the side of the sliding window in pixels: that of the training crops, rounded up to a multiple of 32."""
    side = int(spec.about.get("size") or WINDOW)
    return -(-side // MULTIPLE) * MULTIPLE


def inference(spec: SegmenterSpec) -> dict[str, Any]:
    """Return the configuration that labels all images of a folder and writes class codes as PNG files."""
    standalone = spec.architecture in CLASSES
    side = window_of(spec)
    return {
        "imports": ["$import pathlib", "$from safetensors.torch import load_file", "$import torch"],
        "bundle_root": ".",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "dataset_dir": "$@bundle_root + '/images'",
        "output_dir": "$@bundle_root + '/eval'",
        "weights": f"$@bundle_root + '/models/{WEIGHTS}'",
        "files": "$sorted(str(path) for path in pathlib.Path(@dataset_dir).iterdir() if path.suffix.lower() in "
        "('.png', '.jpg', '.jpeg', '.bmp'))",
        "network_def": _network(spec, standalone=standalone),
        "network": "$@network_def.to(@device).eval()",
        "preprocessing": _preprocessing(spec, standalone=standalone),
        "dataset": {
            "_target_": "Dataset",
            "data": "$[{'image': path} for path in @files]",
            "transform": "@preprocessing",
        },
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": [side, side],
            "sw_batch_size": 4,
            "overlap": 0.5,
            "mode": "gaussian",
            "padding_mode": "replicate",
        },
        "postprocessing": _postprocessing(spec),
        "evaluator": "$torch.no_grad()(lambda: [@postprocessing({'image': item['image'], 'pred': "
        "@inferer(item['image'][None].to(@device), @network)[0].cpu()}) for item in @dataset])",
        "initialize": ["$@network_def.load_state_dict(load_file(@weights))"] if standalone else [],
        "run": ["$@evaluator()"],
    }


def _network(spec: SegmenterSpec, *, standalone: bool) -> dict[str, Any]:
    if not standalone:
        folder = "$@bundle_root + '/models'"
        return {"_target_": "qaclims_path.models.segmenters.segmenter.Segmenter.from_pretrained", "model": folder}
    settings = network_arguments(spec.encoder, len(spec.channels), dict(spec.settings))
    return {"_target_": f"segmentation_models_pytorch.{CLASSES[spec.architecture]}", **settings}


def _preprocessing(spec: SegmenterSpec, *, standalone: bool) -> dict[str, Any]:
    """Transforms from a path to a 3 H W tensor; MONAI's reader has width before height."""
    steps: list[dict[str, Any]] = [
        {
            "_target_": "LoadImaged",
            "keys": "image",
            "reader": "PILReader",
            "converter": "$lambda picture: picture.convert('RGB')",
            "ensure_channel_first": True,
        },
        {"_target_": "Transposed", "keys": "image", "indices": [0, 2, 1]},
        {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": 0, "a_max": 255, "b_min": 0, "b_max": 1},
    ]
    if standalone:
        mean, std = (list(values or ()) for values in (spec.encoder.mean, spec.encoder.std))
        steps.append(
            {
                "_target_": "NormalizeIntensityd",
                "keys": "image",
                "subtrahend": mean,
                "divisor": std,
                "channel_wise": True,
            }
        )
    return {"_target_": "Compose", "transforms": [*steps, {"_target_": "EnsureTyped", "keys": "image"}]}


def _postprocessing(spec: SegmenterSpec) -> dict[str, Any]:
    """Transforms from logits to a PNG of the data set's class codes."""
    codes = [channel.code for channel in spec.channels]
    steps = [
        {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
        {
            "_target_": "MapLabelValued",
            "keys": "pred",
            "orig_labels": list(range(len(codes))),
            "target_labels": codes,
            "dtype": "$torch.uint8",
        },
        {"_target_": "Transposed", "keys": "pred", "indices": [0, 2, 1]},
        {
            "_target_": "SaveImaged",
            "keys": "pred",
            "meta_keys": "image_meta_dict",
            "output_dir": "@output_dir",
            "output_postfix": "",
            "output_ext": ".png",
            "output_dtype": "$torch.uint8",
            "scale": None,
            "resample": False,
            "separate_folder": False,
            "writer": "PILWriter",
            "print_log": False,
        },
    ]
    return {"_target_": "Compose", "transforms": steps}


def metadata(spec: SegmenterSpec) -> dict[str, Any]:
    """Return metadata that MONAI requires of every bundle."""
    about = spec.about
    names = {str(index): channel.name for index, channel in enumerate(spec.channels)}
    own = () if spec.architecture in CLASSES else ("qaclims-path",)
    title = about.get("title") or about.get("dataset") or "images"
    best = next((score for score in about.get("scores", ()) if score.get("miou") is not None), None)
    return {
        "schema": SCHEMA,
        "version": "0.1.0",
        "changelog": {"0.1.0": "exported by qaclims_path"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch").partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {name: version(name) for name in (*RUNS_WITHOUT_US, *own)},
        "name": f"{spec.architecture} on {title}",
        "task": "Semantic segmentation",
        "description": f"Labels every pixel as {', '.join(names.values())}. {about.get('trained_on', '')}".strip(),
        "authors": "See docs/README.md",
        "copyright": "See LICENSE",
        "data_source": str(about.get("citation", "")),
        "data_type": "png",
        "image_classes": "red green blue, 8 bits" + (f", {spec.mpp:g} um per pixel" if spec.mpp else ""),
        "label_classes": ", ".join(f"{channel.code} {channel.name}" for channel in spec.channels),
        "pred_classes": "logits, the highest channel is the class",
        "eval_metrics": {"mean_iou": best["miou"]} if best else {},
        "intended_use": "For research only, not for diagnosis.",
        "references": [],
        "network_data_format": _data_format(names, window_of(spec)),
    }


def _data_format(names: dict[str, str], side: int) -> dict[str, Any]:
    """Input and output of the network, for windows of `side` pixels."""
    size = {"spatial_shape": [str(side), str(side)], "dtype": "float32"}
    image = {"type": "image", "num_channels": 3, **size}
    logits = {"type": "image", "num_channels": len(names), **size}
    channels = {"0": "red", "1": "green", "2": "blue"}
    patch = {"value_range": [], "is_patch_data": True}
    return {
        "inputs": {"image": {**image, "format": "RGB", "modality": "n/a", **patch, "channel_def": channels}},
        "outputs": {"pred": {**logits, "format": "segmentation", **patch, "channel_def": names}},
    }


def licence(spec: SegmenterSpec) -> str:
    """Return the text of LICENSE: the licence of the data, which also limits the use of the weights."""
    return (
        "The weights in this folder were made by training on data whose licence is:\n\n"
        f"{spec.about.get('licence', 'not stated')}\n\n"
        f"{spec.about.get('citation', '')}\n\n"
        "It also holds for copies of the weights. The code that made them, qaclims_path, is under Apache-2.0.\n"
    )
