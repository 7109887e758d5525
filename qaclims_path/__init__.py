"""Tissue segmentation from image-level labels, with language as the extra teacher.

Importing the package costs milliseconds: every public name is loaded when it is first used.

Example:
    >>> from qaclims_path import open_dataset
    >>> dataset = open_dataset("bcss-wsss", "BCSS-WSSS", "val")  # doctest: +SKIP
    >>> dataset[0].image.shape  # doctest: +SKIP
    torch.Size([3, 224, 224])
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qaclims_path.data import open_dataset as open_dataset
    from qaclims_path.models.judges import load_judge as load_judge
    from qaclims_path.pipeline.cam.train import train_cam as train_cam
    from qaclims_path.pipeline.evaluation.evaluate import evaluate as evaluate
    from qaclims_path.pipeline.inference.segment import segment as segment
    from qaclims_path.slides.reader import open_slide as open_slide

__version__ = "0.1.0"

_PUBLIC = {
    "open_dataset": "qaclims_path.data",
    "open_slide": "qaclims_path.slides.reader",
    "load_judge": "qaclims_path.models.judges",
    "train_cam": "qaclims_path.pipeline.cam.train",
    "segment": "qaclims_path.pipeline.inference.segment",
    "evaluate": "qaclims_path.pipeline.evaluation.evaluate",
}

__all__ = ["__version__", "evaluate", "load_judge", "open_dataset", "open_slide", "segment", "train_cam"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the public name is
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'qaclims_path' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
