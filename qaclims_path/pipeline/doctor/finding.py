"""Result of one check of the doctor."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "missing", "broken", "note"]


@dataclass(frozen=True)
class Finding:
    """Result of one check: state, detail, and the command that helps."""

    group: str
    name: str
    state: State
    detail: str
    remedy: str = ""


def tried(group: str, name: str, attempt: Callable[[], str], remedy: str) -> Finding:
    """Make a finding of an attempt, which returns its detail or raises any error."""
    try:
        return Finding(group, name, "ok", attempt())
    except Exception as error:
        return Finding(group, name, "broken", f"{type(error).__name__}: {error}", remedy)
