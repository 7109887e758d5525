"""The dense CRF of class scores before they are scored."""

import numpy as np
from numpy.typing import NDArray

from qaclims_path.compute.refiners.crf_settings import CrfSettings
from qaclims_path.data.record import Record
from qaclims_path.errors import BadFile, QaclimsError, UsageError
from qaclims_path.models.segmenters.crf import NONE
from qaclims_path.pipeline.evaluation.predictions import Predictions

F32 = NDArray[np.float32]


def check_crf(asked: str, source: Predictions) -> str:
    """Return the name of the dense CRF in tables: the one asked for, or the one that the predictions were made with.

    Raises:
        UsageError: The predictions are label maps, or were refined before.
    """
    if asked == NONE:
        return source.crf
    if not source.are_scores:
        raise UsageError(
            "--crf refines class scores (.npz), but these predictions are finished label maps. Make them with "
            "`qaclims predict --crf`, or write scores with --write scores."
        )
    if source.crf != NONE:
        raise UsageError(
            f"The dense CRF '{source.crf}' has refined these class scores already, see predictions.json beside them. "
            "Leave --crf out, or predict again without it."
        )
    return asked


def refined_scores(record: Record, scores: F32, crf: CrfSettings) -> F32:
    """Refine class scores (K H W) with their image; where a gate took classes away, the others share what is left.

    Raises:
        BadFile: The image cannot be read, has another size, or is too large for a dense CRF.
    """
    from qaclims_path.compute.refiners.crf import refine_probabilities  # compiled loops, which take a second to import

    picture = record.image.pixels()
    if picture.shape[:2] != scores.shape[1:]:
        sizes = (f"{width} x {height}" for height, width in (picture.shape[:2], scores.shape[1:]))
        raise BadFile("{} is {} pixels, but its mask and scores are {}.".format(record.image, *sizes))
    total = scores.sum(axis=0)
    equal = np.full_like(scores, 1 / max(len(scores), 1))
    shares = np.divide(scores, total, out=equal, where=total > 0)
    try:
        return refine_probabilities(picture, shares, crf) if len(shares) else shares
    except QaclimsError as error:
        raise BadFile(f"{record.image}: {error}") from error
