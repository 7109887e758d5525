"""Settings of dense conditional random fields, apart from `crf.py`, whose compiled loops take a second to import."""

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class CrfSettings:
    """Number of rounds, and of each kernel the standard deviations (pixels, levels of 255) and the weight.

    The defaults are those of the published label step (hard labels, before the boundary network is trained).

    Attributes:
        wrapped: Let the appearance kernel see the picture of `crf.wrapped_picture`, as deeplab-pytorch does.
    """

    rounds: int = 10
    smooth_xy: float = 3.0
    smooth_weight: float = 3.0
    colour_xy: float = 50.0
    colour_rgb: float = 5.0
    colour_weight: float = 10.0
    wrapped: bool = False


LABEL_STEP = CrfSettings()
SEGMENTER = CrfSettings(smooth_xy=1.0, colour_xy=67.0, colour_rgb=3.0, colour_weight=4.0)
# In tissue the strongest edges are nuclei; the settings of LPD smooth more and have a shorter reach.
TISSUE = CrfSettings(5, smooth_xy=15.0, smooth_weight=30.0, colour_xy=10.0, colour_rgb=20.0, colour_weight=50.0)
AFTER_SEGMENTER: Mapping[str, CrfSettings] = {  # by name, for the probabilities of a segmenter
    "deeplabv2": SEGMENTER,
    "deeplabv2-published": replace(SEGMENTER, wrapped=True),
    "wideresnet38": CrfSettings(1, colour_xy=32.0, colour_rgb=13.0),
    "tissue": TISSUE,
}
