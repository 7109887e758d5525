"""Threshold, treatment of glass and refiner that follow from the options of masks, the card and the protocol."""

from typing import TYPE_CHECKING, Literal

from qaclims_path.compute.refiners.crf_settings import LABEL_STEP, SEGMENTER, TISSUE, CrfSettings
from qaclims_path.data.card import Card
from qaclims_path.data.protocol import Protocol
from qaclims_path.errors import UsageError
from qaclims_path.models.refiners import RefineSettings, check_band
from qaclims_path.pipeline.masks.options import MaskOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

Glass = Literal["keep", "ignore", "background"]
CRF: dict[str, CrfSettings] = {"photo": LABEL_STEP, "segmenter": SEGMENTER, "tissue": TISSUE}
WALKED_THRESHOLD = 0.2  # published for maps after the random walk, which are divided by the maximum of all classes


def fixed_threshold(options: MaskOptions, rules: Protocol, *, masks: bool) -> float | None:
    """Return the threshold of all images; None where it is fitted, or where maps never yield background.

    Args:
        options: How maps become masks.
        rules: The protocol.
        masks: Whether the images have masks to fit a threshold on.

    Raises:
        UsageError: The threshold does not fit the images, the refiner or the band.
    """
    if options.threshold == "cross-fitted":
        if options.refiner == "irn":
            raise UsageError(
                "Thresholds are fitted on unrefined maps, which the random walk changes. Give a number as --threshold."
            )
        if not rules.predict_background:
            raise UsageError(
                f"Under the protocol '{rules.name}' maps never yield background, so there is no threshold to fit. "
                "Leave --threshold out."
            )
        if not masks:
            raise UsageError(
                "Fitting a threshold needs masks, and this split trains on image labels. Leave --threshold out to take "
                "the protocol's, or give a number."
            )
        return None
    fixed = protocol_threshold(rules, options.refiner) if options.threshold == "protocol" else options.threshold
    check_band(options.band, fixed)
    return fixed


def protocol_threshold(rules: Protocol, refiner: str) -> float | None:
    """Return the threshold of background under a protocol; None where maps never yield background.

    A protocol with the background score `(1 - highest) ** power` has a threshold too: where both scores are equal.
    """
    if not rules.predict_background:
        return None
    if refiner == "irn":
        return WALKED_THRESHOLD
    if rules.background_power is None:
        return rules.map_threshold
    from scipy.optimize import brentq

    power = rules.background_power
    return float(brentq(lambda highest: highest - (1 - highest) ** power, 0, 1))


def glass_rule(options: MaskOptions, card: Card, rules: Protocol) -> Glass:
    """Decide how white glass is labelled; where background is a scored class, the maps decide."""
    if options.glass == "keep" or card.domain != "pathology" or rules.background == "score":
        return "keep"
    return "background" if rules.predict_background and card.background is not None else "ignore"


def refine_settings(
    options: MaskOptions, card: Card, threshold: float | None, threads: int, edges: "Callable[[Tensor], Tensor] | None"
) -> RefineSettings:
    """Collect the settings that a refiner is built from."""
    preset = ("tissue" if card.domain == "pathology" else "photo") if options.crf == "auto" else options.crf
    return RefineSettings(
        threshold=threshold,
        band=options.band,
        rounds=options.rounds,
        unary=options.unary,
        certainty=options.certainty,
        crf=CRF[preset],
        threads=threads,
        edges=edges,
    )
