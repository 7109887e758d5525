"""Run all stages of a recipe: corpus, maps, masks, segmenter, scores, report. Finished stages are skipped."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import yaml

from qaclims_path.config import read_yaml
from qaclims_path.files.atomic import write_text
from qaclims_path.files.lock import locked
from qaclims_path.files.made_with import check_same
from qaclims_path.pipeline.cam.precision import released_running
from qaclims_path.pipeline.configs import CONFIG, refuse_earlier_run
from qaclims_path.pipeline.run.listing import stages_of
from qaclims_path.pipeline.run.published import keep_notes, published_notes
from qaclims_path.pipeline.run.stages import STAGES, PlannedStage, execute, plan
from qaclims_path.pipeline.run.steps import METRICS, Run, read_metrics

LOCK = "run.lock"


@dataclass(frozen=True)
class RunReport:
    """Result of a run.

    Attributes:
        run: Folder of the run.
        done: Stages that this call did.
        skipped: Stages that were finished before, or not asked for.
        metrics: Entries of `metrics.json`.
    """

    run: str
    done: tuple[str, ...]
    skipped: tuple[str, ...]
    metrics: tuple[dict[str, Any], ...]

    @property
    def missing(self) -> int:
        """Number of scored images without a prediction, which count as wrong."""
        return sum(entry.get("missing", 0) for entry in self.metrics)


def plan_run(run: Run, *, first: str | None = None, only: str | None = None) -> list[PlannedStage]:
    """Plan every stage, and do nothing; a run that cannot be done is refused."""
    refuse_earlier_run(run.out)
    _refuse_others(run)
    return plan(stages_of(run), run.out, first=first, only=only)


def do_run(
    run: Run, *, first: str | None = None, only: str | None = None, say: Callable[[str], None] = lambda _: None
) -> RunReport:
    """Do all stages that are not finished.

    Args:
        run: Options and folders.
        first: Stage to repeat, with all that depend on it.
        only: The only stage to do.
        say: Receives a line per stage.

    Examples:
        >>> do_run(Run(load_run("phantom/cam"), Path("phantom"), Path("run"))).done  # doctest: +SKIP
        ('cam', 'cams', 'cams-val', 'masks', 'masks-val', 'seg', 'predict-val', 'evaluate', 'report')
    """
    run = replace(run, running=released_running(run.running, run.options.shared))
    plan_run(run, first=first, only=only)  # refuse wrong options before the lock makes a folder
    with locked(run.out / LOCK):
        steps = plan_run(run, first=first, only=only)
        write_text(run.out / CONFIG, yaml.safe_dump(run.options.tree, sort_keys=False, allow_unicode=True))
        keep_notes(run.out, published_notes(run.options))
        execute(steps, run.out, say)
    metrics = run.out / METRICS
    return RunReport(
        run=str(run.out),
        done=tuple(step.stage.name for step in steps if step.action != "skip"),
        skipped=tuple(step.stage.name for step in steps if step.action == "skip"),
        metrics=tuple(read_metrics(metrics)) if metrics.is_file() else (),
    )


def _refuse_others(run: Run) -> None:
    """Refuse a folder that single commands started with other options."""
    path, tree = run.out / CONFIG, run.options.training_of_maps.tree
    if path.is_file() and not (run.out / STAGES).is_file():
        before = read_yaml(path)  # written by `train cam`; other stages compare their own settings
        check_same(run.out, {key: before[key] for key in before if key in tree}, tree)
