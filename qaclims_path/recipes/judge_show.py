"""Showing a judge: what it is, and what everybody who uses it should be told."""

from qaclims_path.models.judges import load_judge
from qaclims_path.types import JudgeCard


def show_judge(model: str, *, revision: str | None = None) -> JudgeCard:
    """Load a judge and return its card; that it loads is half of what one wants to know.

    Example:
        >>> show_judge("vinid/plip").input_size  # doctest: +SKIP
        224
    """
    return load_judge(model, revision=revision, device="cpu", dtype="fp32").card
