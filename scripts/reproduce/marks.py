"""What a folder was made with, so that nothing made in another way is put beside it."""

from collections.abc import Mapping
from pathlib import Path

from qaclims_path.errors import UsageError
from qaclims_path.files.json_files import read_object


def check_mark(path: Path, now: Mapping[str, object], remedy: str) -> None:
    """Compare what is asked for with what a folder's mark says.

    Raises:
        UsageError: They differ.
    """
    before = read_object(path, remedy)
    if other := [key for key, value in now.items() if before.get(key) != value]:
        was, wanted = ({key: each.get(key) for key in other} for each in (before, now))
        raise UsageError(f"{path.parent} was made with {was}, and now {wanted} is asked for. {remedy}")
