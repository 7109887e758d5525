"""Warnings about a model for the slides and images at hand: made-up material, pixel size, organ, stain."""

from typing import TYPE_CHECKING

from qaclims_path.pipeline.inference.options import ComputeOptions
from qaclims_path.slides.grid import SAME_SCALE

if TYPE_CHECKING:
    from qaclims_path.pipeline.inference.model import SegmentModel


def warnings_about(model: "SegmentModel", work: ComputeOptions) -> tuple[str, ...]:
    """Say that a model is for demonstration, and how what it learnt from differs from what it is given, as sentences.

    Args:
        model: The model, with the pixel size at which it predicts.
        work: States the organ and stain of the slides and images, where the user gave them.
    """
    differences = (_other(what, given, model) for what, given in (("organ", work.organ), ("stain", work.stain)))
    return tuple(said for said in (model.warning, _other_size(model), *differences) if said)


def _other_size(model: "SegmentModel") -> str:
    own = model.spec.mpp
    if own is None or model.mpp is None or abs(model.mpp / own - 1) <= SAME_SCALE:
        return ""
    return f"The model predicts at {model.mpp:g} um per pixel, but it learnt at {own:g}."


def _other(what: str, given: str, model: "SegmentModel") -> str:
    known = str(model.spec.about.get(what, ""))
    if not given or given.casefold() == known.casefold():
        return ""
    return f"The {what} is {given}, but the model {f'learnt from {known}' if known else f'does not state its {what}'}."
