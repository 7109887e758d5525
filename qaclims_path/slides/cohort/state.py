"""The state of each slide of a folder, one small JSON file per slide: work can stop and continue at any time."""

import json
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from qaclims_path.errors import QaclimsError
from qaclims_path.files.atomic import sweep, write_json
from qaclims_path.slides.problems import OutOfSpace, explain, is_out_of_space, is_user_error

Status = Literal["running", "done", "failed"]
Result = dict[str, Any]
Keep = Callable[[Result], None]


@dataclass(frozen=True)
class SlideState:
    """Progress of a slide.

    Attributes:
        name: Name of the slide.
        status: a killed process also leaves `running` behind.
        fingerprint: Hash of everything that affects the result; a slide with another one is done again.
        attempts: Number of attempts.
        error: Why it failed, in a sentence.
        trace: Traceback of an unexpected error.
        result: Facts for the summary, once it is done; before that, facts for a later attempt.
    """

    name: str
    status: Status
    fingerprint: str
    attempts: int = 0
    error: str = ""
    trace: str = ""
    result: Result = field(default_factory=dict)


def state_path(out: Path, name: str) -> Path:
    """Return the file with the state of a slide."""
    return out / "state" / f"{name}.json"


def read_state(out: Path, name: str) -> SlideState | None:
    """Return the state of a slide; None where there is none that can be read."""
    try:
        return SlideState(**json.loads(state_path(out, name).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def ended_state(out: Path, name: str, fingerprint: str) -> SlideState | None:
    """Return the state of a slide that is done or has failed, from the same inputs; None where it still waits."""
    state = read_state(out, name)
    return state if state and state.fingerprint == fingerprint and state.status != "running" else None


def record(out: Path, state: SlideState) -> None:
    """Write the state of a slide in one step.

    Raises:
        OutOfSpace: It cannot be written, so no other slide can be recorded either.
    """
    try:
        write_json(state_path(out, state.name), asdict(state))
    except QaclimsError as error:
        raise OutOfSpace(str(error)) from error


def attempt(
    out: Path,
    name: str,
    fingerprint: str,
    work: Callable[[Keep], Result],
    *,
    writes: Iterable[Path] = (),
    kept: Mapping[str, Any] | None = None,
) -> SlideState:
    """Work on one slide and record how it ends; an error is recorded, so that the other slides continue.

    Args:
        out: Folder of the results.
        name: Name of the slide.
        fingerprint: Hash of everything that affects the result.
        work: Makes the result. It is given a function that records a partial one, for an attempt after a kill.
        writes: Files and folders of the slide; unfinished ones of a killed attempt are removed.
        kept: Partial result of an earlier attempt that is still valid.

    Raises:
        OutOfSpace: The disk is full.
    """
    before = read_state(out, name)
    state = SlideState(name, "running", fingerprint, (before.attempts if before else 0) + 1, result=dict(kept or {}))

    def keep(partial: Result) -> None:
        nonlocal state
        state = replace(state, result=partial)
        record(out, state)

    record(out, state)
    if before and before.status == "running":
        for path in writes:
            sweep(path)
    try:
        state = replace(state, status="done", result=work(keep))
    except Exception as error:
        if is_out_of_space(error):
            raise OutOfSpace(explain(error)) from error
        trace = "" if is_user_error(error) else "".join(traceback.format_exception(error))
        state = replace(state, status="failed", error=explain(error), trace=trace)
    record(out, state)
    return state


def give_up(out: Path, name: str, fingerprint: str, error: str) -> SlideState:
    """Record the failure of a slide whose process was ended before it could do so."""
    before = read_state(out, name)
    state = SlideState(name, "failed", fingerprint, before.attempts if before else 1, error)
    record(out, state)
    return state


def slide_bytes(path: str) -> int | None:
    """Return the size of a slide's files; None where there are none (any more), or for an address."""
    local = Path(path)
    if local.is_dir():
        return sum(file.stat().st_size for file in local.iterdir() if file.is_file())
    return local.stat().st_size if local.is_file() else None
