"""Data sets: cards, folder formats, image records, torch data sets, and phantoms.

May import slides, compute, files, config, assets, registry, types and errors. Knows neither models nor language.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qaclims_path.data.dataset import open_dataset as open_dataset

__all__ = ["open_dataset"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - imported on first use, because it needs torch
    if name == "open_dataset":
        from qaclims_path.data.dataset import open_dataset

        return open_dataset
    raise AttributeError(f"module 'qaclims_path.data' has no attribute {name!r}")
