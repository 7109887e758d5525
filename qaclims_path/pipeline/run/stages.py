"""State of the stages of a run in its file `stages.json`: which are done, and which have to be repeated and why.

The hash of a stage covers its options, its version, the hashes of the stages it reads, the card and the list of images;
never paths, devices or workers. So a changed option repeats exactly the stages that depend on it.
"""

import glob
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from qaclims_path.config import differences, flat
from qaclims_path.errors import BadFile, QaclimsError, UsageError
from qaclims_path.files.atomic import write_json
from qaclims_path.files.digest import digest_of
from qaclims_path.files.lock import locked
from qaclims_path.files.numbers import spent
from qaclims_path.pipeline.run.memory import PeakMemory
from qaclims_path.registry import suggest

STAGES = "stages.json"
INTERRUPTED = 130  # exit code of a stopped process
State = Literal["running", "done", "failed", "outdated"]
Action = Literal["run", "resume", "skip"]


@dataclass(frozen=True)
class Stage:
    """A stage of a run.

    Attributes:
        name: Name on the command line, where `cams` also selects `cams-val` and other splits.
        does: Description for people.
        version: Increased when the same options give another result.
        depends: Everything that decides the result, except other stages; plain values that JSON can hold.
        reads: Names of the stages whose results it reads.
        makes: Files and folders of the run that hold its result.
        run: Does the stage; called again after an interruption, it continues.
        check: Raises errors that would stop the stage, before any stage begins.
    """

    name: str
    does: str
    version: int
    depends: Mapping[str, Any]
    reads: tuple[str, ...]
    makes: tuple[str, ...]
    run: Callable[[], None]
    check: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Record:
    """Record of a stage in `stages.json`.

    Attributes:
        state: A killed process leaves `running` behind; `outdated` results will be replaced.
        hash: Hash of everything that decided the result; empty if the result is outdated.
        depends: Options in the hash by dotted key, to name changes.
        seconds: Time of all attempts.
        peak_mib: Peak memory of the process during the stage; of any child process so far if the stage had one.
        error: Why it failed, in a sentence.
        reads: Names of the stages whose results it read.
        makes: Files and folders of the run that hold its result.
    """

    state: State
    hash: str
    depends: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    peak_mib: float = 0.0
    error: str = ""
    reads: Sequence[str] = ()
    makes: Sequence[str] = ()


@dataclass(frozen=True)
class PlannedStage:
    """A stage with the planned action and its reason, which is empty for a stage that was never begun."""

    stage: Stage
    hash: str
    action: Action
    reason: str

    def as_json(self) -> dict[str, str]:
        """Convert to the name of the stage, the action and its reason."""
        return {"stage": self.stage.name, "action": self.action, "reason": self.reason}


def hashes_of(stages: Sequence[Stage]) -> dict[str, str]:
    """Compute the hash of every stage, in order."""
    found: dict[str, str] = {}
    for stage in stages:
        content = {
            "stage": stage.name,
            "version": stage.version,
            "depends": stage.depends,
            "reads": {name: found[name] for name in stage.reads},
        }
        text = json.dumps(content, sort_keys=True, ensure_ascii=False)
        found[stage.name] = digest_of(text)
    return found


def plan(
    stages: Sequence[Stage], out: Path, *, first: str | None = None, only: str | None = None
) -> list[PlannedStage]:
    """Plan the action of every stage.

    Args:
        stages: Stages in order; each reads earlier ones only.
        out: Folder of the run.
        first: Stage to repeat, with all that depend on it.
        only: The only stage to do; a finished one is repeated.

    Raises:
        UsageError: There is no such stage, or a result that it reads is missing.
        QaclimsError: A planned stage refuses its options.
    """
    for asked in (first, only):
        if asked is not None and not any(_selects(asked, stage) for stage in stages):
            raise UsageError(f"This run has no stage '{asked}'. {suggest(asked, [stage.name for stage in stages])}")
    records, hashes = read_records(out), hashes_of(stages)
    redone: set[str] = set()
    steps: list[PlannedStage] = []
    for stage in stages:
        action, reason = _verdict(stage, out, records.get(stage.name), hashes[stage.name], redone)
        if action == "skip" and (_selects(first, stage) or _selects(only, stage)):
            action, reason = "run", "asked for"
        if only is not None and not _selects(only, stage):
            action, reason = "skip", "not asked for"
        if action != "skip":
            redone.add(stage.name)
        steps.append(PlannedStage(stage, hashes[stage.name], action, reason))
    _check_inputs(steps, out, records, hashes)
    for step in steps:
        if step.action != "skip":
            step.stage.check()
    return steps


def execute(steps: Sequence[PlannedStage], out: Path, say: Callable[[str], None]) -> None:
    """Do the planned stages; a stage that fails is recorded and stops the run.

    Args:
        steps: Result of `plan`.
        out: Folder of the run, locked by the caller.
        say: Receives lines about each stage: what begins and why, and how long it took, or why it is skipped.
    """
    _outdate(steps, out)
    for number, step in enumerate(steps, 1):
        title = f"[{number}/{len(steps)}] {step.stage.name}"
        if step.action == "skip":
            say(f"{title}: skipped, {step.reason}")
        else:
            say(f"{title}: {step.stage.does}{f' ({step.reason})' if step.reason else ''}")
            start = time.monotonic()
            _do(step, out, {each.stage.name for each in steps})
            say(f"{title}: done in {spent(time.monotonic() - start)}")


def read_records(out: Path) -> dict[str, Record]:
    """Read the records of the stages of a run; empty before its first stage."""
    path = out / STAGES
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {name: Record(**record) for name, record in content.items()}
    except (ValueError, TypeError, AttributeError, OSError) as error:
        raise BadFile(f"{path} is damaged: {error}. Remove it, and the run checks its stages again.") from error


def _selects(asked: str | None, stage: Stage) -> bool:
    """Return whether a name on the command line selects a stage."""
    return asked is not None and (stage.name == asked or stage.name.startswith(f"{asked}-"))


def _verdict(stage: Stage, out: Path, record: Record | None, wanted: str, redone: Set[str]) -> tuple[Action, str]:
    because = next((f"'{name}' is repeated" for name in stage.reads if name in redone), "")
    if record is None:
        return "run", ""
    if record.hash != wanted:
        changed = differences(record.depends, flat(stage.depends))
        return "run", changed or because or (
            "the results that it reads have changed" if record.hash else "it is outdated"
        )
    if record.state != "done":
        return "resume", "it failed" if record.state == "failed" else "it was interrupted"
    missing = [name for name in stage.makes if not (out / name).exists()]
    if missing:
        return "resume", f"'{missing[0]}' is missing"
    return ("run", because) if because else ("skip", "done before")


def _check_inputs(steps: list[PlannedStage], out: Path, records: dict[str, Record], hashes: dict[str, str]) -> None:
    planned = {step.stage.name for step in steps if step.action != "skip"}
    for step in steps:
        if step.action == "skip":
            continue
        for name in step.stage.reads:
            record = records.get(name)
            if name not in planned and (record is None or record.state != "done" or record.hash != hashes[name]):
                raise UsageError(
                    f"The stage '{step.stage.name}' reads '{name}', which is not done with these options in {out}. "
                    f"Run without --only, or with --from {name}."
                )


def _outdate(steps: Sequence[PlannedStage], out: Path) -> None:
    """Record which results are outdated before the first is removed, in case the process is killed."""
    records = read_records(out)
    repeated = {step.stage.name for step in steps if step.action == "run"} & records.keys()
    if repeated:
        old = {name: replace(records[name], state="outdated", hash="") for name in repeated}
        _write(out, records | old)


def _do(step: PlannedStage, out: Path, planned: Set[str]) -> None:
    stage, records = step.stage, read_records(out)
    before = records.get(stage.name)
    if step.action == "run" and before is not None:  # without a record, single commands made it: continue
        _clear(stage, out, records, planned)
        before = None
    earlier = before.seconds if before else 0.0
    record = Record("running", step.hash, flat(stage.depends), earlier, reads=stage.reads, makes=stage.makes)
    _write(out, records | {stage.name: record})
    start, memory = time.monotonic(), PeakMemory()
    try:
        stage.run()
    except BaseException as error:
        stopped = not isinstance(error, Exception) or getattr(error, "exit_code", 1) == INTERRUPTED
        sentence = str(error) if isinstance(error, QaclimsError) else f"{type(error).__name__}: {error}"
        failed = replace(record, state="running") if stopped else replace(record, state="failed", error=sentence)
        _finish(out, stage.name, failed, start, memory)
        raise
    _finish(out, stage.name, replace(record, state="done"), start, memory)


def _clear(stage: Stage, out: Path, records: dict[str, Record], planned: Set[str]) -> None:
    """Remove the former result of a stage, and results made from it by stages that this run no longer has."""
    strays = _made_of(stage.name, records) - planned
    for name in {*stage.makes, *(made for each in (stage.name, *strays) for made in records[each].makes)}:
        _remove(out, name)
    for each in strays:
        del records[each]


def _made_of(name: str, records: Mapping[str, Record]) -> set[str]:
    """Name a stage and all stages whose results depend on it."""
    found = {name}
    while more := {other for other, record in records.items() if other not in found and found & set(record.reads)}:
        found |= more
    return found


def _finish(out: Path, name: str, record: Record, start: float, memory: "PeakMemory") -> None:
    seconds = round(record.seconds + time.monotonic() - start, 1)
    done = replace(record, seconds=seconds, peak_mib=round(memory.mib(), 1))
    _write(out, read_records(out) | {name: done})


def _write(out: Path, records: Mapping[str, Record]) -> None:
    write_json(out / STAGES, {name: asdict(record) for name, record in records.items()})


def _remove(out: Path, name: str) -> None:
    """Remove a result and its unfinished files."""
    path = out / name
    if not path.resolve().is_relative_to(out.resolve()) or path.resolve() == out.resolve():
        raise QaclimsError(f"{path} lies outside the run {out}; it is not removed.")
    for lock in (path / "state" / "lock", path / ".lock"):
        if lock.exists():
            with locked(lock):  # wait for a process that a killed run may have left
                pass
    for each in (path, *path.parent.glob(f"{glob.escape(path.name)}.*part")):
        try:
            if each.is_dir() and not each.is_symlink():
                shutil.rmtree(each)
            else:
                each.unlink(missing_ok=True)
        except OSError as error:
            raise QaclimsError(
                f"{each} cannot be removed: {error.strerror or error}. Remove it, because it is outdated."
            ) from error
