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
    from qaclims_path.data import open_dataset as open_dataset
    from qaclims_path.data.split import open_split as open_split
    from qaclims_path.models.judges import load_judge as load_judge
    from qaclims_path.pipeline.cam.maps import make_cams as make_cams
    from qaclims_path.pipeline.cam.train import train_cam as train_cam
    from qaclims_path.pipeline.evaluation.evaluate import evaluate as evaluate
    from qaclims_path.pipeline.inference.arrays import load_segmenter as load_segmenter
    from qaclims_path.pipeline.inference.segment import segment as segment
    from qaclims_path.pipeline.masks.make import make_masks as make_masks
    from qaclims_path.pipeline.segmenter.predict import predict as predict
    from qaclims_path.pipeline.segmenter.train import train_seg as train_seg
    from qaclims_path.slides.reader import open_slide as open_slide

_PUBLIC = {
    "open_dataset": "qaclims_path.data",
    "open_split": "qaclims_path.data.split",
    "open_slide": "qaclims_path.slides.reader",
    "load_judge": "qaclims_path.models.judges",
    "load_segmenter": "qaclims_path.pipeline.inference.arrays",
    "train_cam": "qaclims_path.pipeline.cam.train",
    "make_cams": "qaclims_path.pipeline.cam.maps",
    "make_masks": "qaclims_path.pipeline.masks.make",
    "train_seg": "qaclims_path.pipeline.segmenter.train",
    "predict": "qaclims_path.pipeline.segmenter.predict",
    "segment": "qaclims_path.pipeline.inference.segment",
    "evaluate": "qaclims_path.pipeline.evaluation.evaluate",
}

__all__ = [
    "__version__",
    "evaluate",
    "load_judge",
    "load_segmenter",
    "make_cams",
    "make_masks",
    "open_dataset",
    "open_slide",
    "open_split",
    "predict",
    "segment",
    "train_cam",
    "train_seg",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the public name is
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'qaclims_path' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
