"""Note the options that a folder was made with, and compare them before anything is added.

Every command that continues in a folder goes through here, so that results of different options are never mixed.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from qaclims_path.config import differences
from qaclims_path.errors import UsageError
from qaclims_path.files.atomic import TEMPORARY, write_json
from qaclims_path.files.json_files import read_object

INDEX = "index.json"
SHOWN = 8  # options that a message names
SAME_OPTIONS = "Choose another --out, or give the same options as before."
Settings = Mapping[str, Any]


def named_changes(before: Settings, now: Settings) -> str:
    """Return the options that differ, with both values."""
    return differences(before, now, SHOWN)


def check_same(
    made: object,
    before: Settings,
    now: Settings,
    way_out: str = SAME_OPTIONS,
    *,
    describe: Callable[[Settings, Settings], str] = named_changes,
) -> None:
    """Refuse to continue with other options.

    Args:
        made: The folder or file that was made, for the message.
        before: The options it was made with; None and a missing option are the same.
        now: The options of this command.
        way_out: Advice, as a sentence.
        describe: Names the differences between both.

    Raises:
        UsageError: They differ.

    Examples:
        >>> check_same("run", {"lr": 0.1}, {"lr": 0.2}, "Choose another --out.")
        Traceback (most recent call last):
        qaclims_path.errors.UsageError: run was made with other options: lr was 0.1, now 0.2. Choose another --out.
    """
    now = json.loads(json.dumps(now))
    if differences(before, now):
        raise UsageError(f"{made} was made with other options: {describe(before, now)}. {way_out}")


def made_with(
    note: Path,
    settings: Settings,
    way_out: str = SAME_OPTIONS,
    *,
    defaults: Settings | None = None,
    describe: Callable[[Settings, Settings], str] = named_changes,
    write: bool = True,
) -> None:
    """Refuse a folder whose note says other settings; write the note where there is none.

    Args:
        note: JSON file in the folder.
        settings: Settings of this command, as values that JSON can hold.
        way_out: Advice, as a sentence.
        defaults: Values of settings that an older note lacks.
        describe: Names the differences between both.
        write: Write a missing note; otherwise only compare.
    """
    if note.exists():
        before = {**(defaults or {}), **read_object(note, way_out)}
        check_same(note.parent, before, settings, way_out, describe=describe)
    elif write:
        write_json(note, dict(settings))


def begin(note: Path, settings: Settings, unfinished: str, *, defaults: Settings | None = None) -> None:
    """Begin a folder of images or continue it: `made_with`, then remove the index and leftovers of killed processes.

    Args:
        note: JSON file in the folder.
        settings: Settings of this command.
        unfinished: Pattern of temporary files, relative to the folder.
        defaults: Values of settings that an older note lacks.
    """
    folder = note.parent
    made_with(note, settings, f"Remove {folder}, or choose another --out.", defaults=defaults)
    (folder / INDEX).unlink(missing_ok=True)
    for path in folder.glob(unfinished):
        path.unlink()


def refuse_foreign(note: Path, writer: str) -> None:
    """Refuse a folder that holds files but not the note that its writer makes first.

    Args:
        note: JSON file in the folder.
        writer: The command that should have made the folder.
    """
    folder = note.parent
    try:
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder} is a file. Choose another --out.")
        strange = stranger(note)
    except OSError as error:
        raise UsageError(f"{folder} cannot be used: {error.strerror or error}. Choose another --out.") from error
    if strange is not None:
        raise UsageError(f"{folder} holds '{strange}', which {writer} did not write. Choose another --out.")


def stranger(note: Path) -> str | None:
    """Name of a file or folder beside a note that is missing; None where the note exists or nothing is there.

    `state` and temporary files do not count. The folder is listed before the note is looked for, because another
    process may be writing both.
    """
    folder = note.parent
    names = sorted(item.name for item in folder.iterdir()) if folder.is_dir() else []
    if note.exists():
        return None
    return next((name for name in names if name != "state" and not TEMPORARY.fullmatch(name)), None)
