"""Beginning a folder of masks or predictions, or going on with one that was stopped."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qaclims_path.errors import UsageError
from qaclims_path.files.atomic import write_json
from qaclims_path.files.json_files import read_object

INDEX = "index.json"


def begin(note: Path, settings: Mapping[str, Any], made: str, left_over: str) -> None:
    """Note how a folder is made, or refuse to add to what was made otherwise; what a killed process left is removed.

    Args:
        note: Where in the folder it is noted.
        settings: How it is made now.
        made: What is in it, in one word.
        left_over: Pattern of unfinished files.
    """
    folder, wanted = note.parent, json.loads(json.dumps(settings))
    if note.exists():
        found = read_object(note, f"Remove {folder}, and make the {made} again.")
        other = sorted(key for key in {*found, *wanted} if found.get(key) != wanted.get(key))
        if other:
            raise UsageError(
                f"{folder} holds {made} made with another {', '.join(other)}. Remove it, or choose another --out."
            )
    else:
        write_json(note, wanted)
    (folder / INDEX).unlink(missing_ok=True)
    for path in folder.glob(left_over):
        path.unlink()
