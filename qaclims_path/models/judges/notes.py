"""Optional facts about a judge in its folder's `judge_card.json`: pixel size, training data, a warning."""

import json
from dataclasses import dataclass
from pathlib import Path

from qaclims_path.errors import BadFile

FILE = "judge_card.json"
MAX_LETTERS = 4000  # length of a text


@dataclass(frozen=True)
class Notes:
    """Facts about a judge.

    Attributes:
        mpp: Pixel size of its training images in micrometres; None if unknown.
        trained_on: Description of its training data; may be empty.
        warning: Warning for its users; may be empty.
        demonstration: Made-up material that it learnt from, such as `painted tissue`; empty for real images.
    """

    mpp: float | None = None
    trained_on: str = ""
    warning: str = ""
    demonstration: str = ""


def read_notes(folder: Path) -> Notes:
    """Read the notes of a model folder; empty notes if it has none."""
    path = folder / FILE
    if not path.is_file():
        return Notes()
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        mpp = values.get("mpp")
        return Notes(
            None if mpp is None else float(mpp),
            *(str(values.get(key, ""))[:MAX_LETTERS] for key in ("trained_on", "warning", "demonstration")),
        )
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise BadFile(f"{path} is not the card of a judge: {error}. Correct or remove it.") from error
