"""What a model folder may say about itself in `judge_card.json`: pixel size, training data, a warning."""

import json
from dataclasses import dataclass
from pathlib import Path

from qaclims_path.errors import BadFile

FILE = "judge_card.json"
LONGEST = 4000  # letters of a note


@dataclass(frozen=True)
class Notes:
    """Pixel size in micrometres, and two texts; empty where nothing is said."""

    mpp: float | None = None
    trained_on: str = ""
    warning: str = ""


def read_notes(folder: Path) -> Notes:
    """Notes of a model folder; a folder without them is fine."""
    path = folder / FILE
    if not path.is_file():
        return Notes()
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        mpp = values.get("mpp")
        return Notes(
            None if mpp is None else float(mpp),
            str(values.get("trained_on", ""))[:LONGEST],
            str(values.get("warning", ""))[:LONGEST],
        )
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise BadFile(f"{path} is not the card of a judge: {error}. Mend it, or remove it.") from error
