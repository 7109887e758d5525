"""What has become of each slide: one small JSON file per slide, so that work can stop and go on at any time."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from qaclims_path.files.atomic import write_json

Status = Literal["running", "done", "failed"]


@dataclass(frozen=True)
class SlideState:
    """How far a slide is.

    Attributes:
        name: Of the slide.
        status: `running` is also what a killed process leaves behind.
        fingerprint: Of all that decides the result; another one means that the slide is done anew.
        attempts: How often it was begun.
        error: Why it failed, in a sentence.
        trace: Where an unexpected error came from.
        result: What the summary says of a finished slide.
    """

    name: str
    status: Status
    fingerprint: str
    attempts: int = 0
    error: str = ""
    trace: str = ""
    result: dict[str, Any] = field(default_factory=dict)


def state_path(out: Path, name: str) -> Path:
    """Where the state of a slide lies."""
    return out / "state" / f"{name}.json"


def read_state(out: Path, name: str) -> SlideState | None:
    """The state of a slide; None where there is none that can be read."""
    try:
        return SlideState(**json.loads(state_path(out, name).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def write_state(out: Path, state: SlideState) -> None:
    """Write the state of a slide in one step."""
    write_json(state_path(out, state.name), asdict(state))


def slide_bytes(path: str) -> int | None:
    """Size of a slide's files; None where there is none (any more), or where it lies elsewhere."""
    place = Path(path)
    if place.is_dir():
        return sum(file.stat().st_size for file in place.iterdir() if file.is_file())
    return place.stat().st_size if place.is_file() else None
