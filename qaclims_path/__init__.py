"""Tissue segmentation from image-level labels, with language as the extra teacher.

Importing the package costs milliseconds: every public name is loaded when it is first used.

Examples:
    >>> from qaclims_path import open_dataset
    >>> dataset = open_dataset("bcss-wsss", "BCSS-WSSS", "val")  # doctest: +SKIP
    >>> dataset[0].image.shape  # doctest: +SKIP
    torch.Size([3, 224, 224])
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from qaclims_path.version import __version__

if TYPE_CHECKING:
    from qaclims_path.api.data import check_dataset as check_dataset
    from qaclims_path.api.data import dataset_stats as dataset_stats
    from qaclims_path.api.data import draw_dataset as draw_dataset
    from qaclims_path.api.data import init_card as init_card
    from qaclims_path.api.data import list_datasets as list_datasets
    from qaclims_path.api.data import load_card as load_card
    from qaclims_path.api.data import make_fake as make_fake
    from qaclims_path.api.data import open_dataset as open_dataset
    from qaclims_path.api.data import tile_dataset as tile_dataset
    from qaclims_path.api.language import build_corpus as build_corpus
    from qaclims_path.api.language import corpus_diff as corpus_diff
    from qaclims_path.api.language import corpus_stats as corpus_stats
    from qaclims_path.api.language import import_corpus as import_corpus
    from qaclims_path.api.language import load_judge as load_judge
    from qaclims_path.api.language import preview_corpus as preview_corpus
    from qaclims_path.api.language import probe_answerer as probe_answerer
    from qaclims_path.api.language import probe_judge as probe_judge
    from qaclims_path.api.language import show_corpus as show_corpus
    from qaclims_path.api.language import train_judge as train_judge
    from qaclims_path.api.results import compare as compare
    from qaclims_path.api.results import evaluate as evaluate
    from qaclims_path.api.results import export as export
    from qaclims_path.api.results import push as push
    from qaclims_path.api.results import write_report as write_report
    from qaclims_path.api.runs import demo as demo
    from qaclims_path.api.runs import diagnose as diagnose
    from qaclims_path.api.runs import list_recipes as list_recipes
    from qaclims_path.api.runs import list_settings as list_settings
    from qaclims_path.api.runs import plan_recipe as plan_recipe
    from qaclims_path.api.runs import run_recipe as run_recipe
    from qaclims_path.api.runs import show_recipe as show_recipe
    from qaclims_path.api.slides import load_segmenter as load_segmenter
    from qaclims_path.api.slides import open_slide as open_slide
    from qaclims_path.api.slides import plan_tiles as plan_tiles
    from qaclims_path.api.slides import read_tiles as read_tiles
    from qaclims_path.api.slides import segment as segment
    from qaclims_path.api.slides import slide_info as slide_info
    from qaclims_path.api.slides import tile as tile
    from qaclims_path.api.training import load_mapper as load_mapper
    from qaclims_path.api.training import make_maps as make_maps
    from qaclims_path.api.training import make_masks as make_masks
    from qaclims_path.api.training import predict as predict
    from qaclims_path.api.training import refine_maps as refine_maps
    from qaclims_path.api.training import train_boundary as train_boundary
    from qaclims_path.api.training import train_cam as train_cam
    from qaclims_path.api.training import train_segmenter as train_segmenter

_PUBLIC = {
    "data": (
        "check_dataset",
        "dataset_stats",
        "draw_dataset",
        "init_card",
        "list_datasets",
        "load_card",
        "make_fake",
        "open_dataset",
        "tile_dataset",
    ),
    "language": (
        "build_corpus",
        "corpus_diff",
        "corpus_stats",
        "import_corpus",
        "load_judge",
        "preview_corpus",
        "probe_answerer",
        "probe_judge",
        "show_corpus",
        "train_judge",
    ),
    "results": ("compare", "evaluate", "export", "push", "write_report"),
    "runs": ("demo", "diagnose", "list_recipes", "list_settings", "plan_recipe", "run_recipe", "show_recipe"),
    "slides": ("load_segmenter", "open_slide", "plan_tiles", "read_tiles", "segment", "slide_info", "tile"),
    "training": (
        "load_mapper",
        "make_maps",
        "make_masks",
        "predict",
        "refine_maps",
        "train_boundary",
        "train_cam",
        "train_segmenter",
    ),
}  # by their module in `api`
_HOMES = {name: f"qaclims_path.api.{module}" for module, names in _PUBLIC.items() for name in names}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604 - all are strings


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the public name is
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'qaclims_path' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
