"""The option `crf` of segmenters: a dense CRF on their probabilities, by its name or by its numbers."""

from dataclasses import astuple
from typing import Annotated

from pydantic import AfterValidator

from qaclims_path.compute.refiners.crf_settings import AFTER_SEGMENTER, CrfSettings
from qaclims_path.registry import suggest

NONE = "none"
MOST_ROUNDS, MOST = 1000, 1000.0
LEAST_DEVIATION = 0.1
EXAMPLE = "10,1,3,67,3,4"
ORDER = "rounds, pixels and weight of smoothness, pixels, levels and weight of appearance"


def find_crf(text: str) -> CrfSettings | None:
    """Return the settings of a dense CRF; None for `none`.

    Args:
        text: `none`, a name in `AFTER_SEGMENTER`, or six numbers: rounds, deviation (pixels) and weight of smoothness,
            deviations (pixels, levels of 255) and weight of appearance.

    Raises:
        ValueError: There is no such CRF, or a number is out of range.

    Examples:
        >>> find_crf("deeplabv2") == find_crf("10,1,3,67,3,4")
        True
    """
    if text == NONE:
        return None
    if "," not in text:
        if text not in AFTER_SEGMENTER:
            more = f" Or give six numbers, such as {EXAMPLE}: {ORDER}."
            raise ValueError(f"there is no dense CRF '{text}'. {suggest(text, [NONE, *AFTER_SEGMENTER])}{more}")
        return AFTER_SEGMENTER[text]
    try:
        rounds, *numbers = text.split(",")
        smooth_xy, smooth_weight, colour_xy, colour_rgb, colour_weight = map(float, numbers)
        settings = CrfSettings(int(rounds), smooth_xy, smooth_weight, colour_xy, colour_rgb, colour_weight)
    except ValueError as error:
        raise ValueError(f"a dense CRF has six numbers, such as {EXAMPLE}: {ORDER}") from error
    _check_ranges(settings)
    return settings


def about_crf(text: str) -> str:
    """Describe a dense CRF in a sentence, for the scores that were made with it; empty for `none`.

    Examples:
        >>> about_crf("wideresnet38")
        'Dense CRF wideresnet38: rounds 1, smoothness 3 px weight 3, appearance 32 px 13 levels weight 10.'
    """
    settings = find_crf(text)
    if settings is None:
        return ""
    rounds, smooth_xy, smooth_weight, colour_xy, colour_rgb, colour_weight, wrapped = astuple(settings)
    sees = ", on the picture that deeplab-pytorch casts to bytes" if wrapped else ""
    name = f" {text}" if text in AFTER_SEGMENTER else ""
    return (
        f"Dense CRF{name}: rounds {rounds}, smoothness {smooth_xy:g} px weight {smooth_weight:g}, "
        f"appearance {colour_xy:g} px {colour_rgb:g} levels weight {colour_weight:g}{sees}."
    )


def _check_ranges(settings: CrfSettings) -> None:
    if not 1 <= settings.rounds <= MOST_ROUNDS:
        raise ValueError(f"a dense CRF takes 1 to {MOST_ROUNDS} rounds, not {settings.rounds}")
    for deviation in (settings.smooth_xy, settings.colour_xy, settings.colour_rgb):
        if not LEAST_DEVIATION <= deviation <= MOST:
            raise ValueError(f"deviations of a dense CRF are {LEAST_DEVIATION:g} to {MOST:g}, not {deviation:g}")
    for weight in (settings.smooth_weight, settings.colour_weight):
        if not 0 <= weight <= MOST:
            raise ValueError(f"weights of a dense CRF are 0 to {MOST:g}, not {weight:g}")


def _known(text: str) -> str:
    find_crf(text)
    return text


Crf = Annotated[str, AfterValidator(_known)]
