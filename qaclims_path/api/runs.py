"""Whole runs: all stages of a recipe, the demonstration, and what works on this machine."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qaclims_path.api.options import Where, optional, public, read
from qaclims_path.config import Settings
from qaclims_path.engine.settings import RunSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from qaclims_path.pipeline.demo.demo import DemoReport
    from qaclims_path.pipeline.doctor.diagnose import Diagnosis
    from qaclims_path.pipeline.run.pipeline import RunReport
    from qaclims_path.pipeline.run.preview import RunPlan
    from qaclims_path.pipeline.run.settings import RecipeLine, ResolvedSetting, Setting


@public(RunSettings)
def run_recipe(
    recipe: Where,
    root: Where,
    out: Where,
    *,
    corpus: Where | None = None,
    first: str | None = None,
    only: str | None = None,
    threads: int = 1,
    settings: Settings = (),
    say: "Callable[[str], None]" = lambda _: None,
    **options: Any,  # noqa: ANN401 - the model checks them
) -> "RunReport":
    """Do all stages of a recipe that are not finished: corpus, maps, masks, segmenter, scores and report.

    Args:
        recipe: A name such as `bcss-wsss/qa-clims-path`, or a YAML file.
        root: Folder of the data in the publisher's layout.
        out: Folder of the run; finished stages in it are kept.
        corpus: A corpus that was made before.
        first: Stage to repeat, with all that depend on it.
        only: The only stage to do.
        threads: Images that the dense CRF works on at once.
        settings: Changes of the recipe, as a dictionary such as `{"masks.refiner": "par"}`.
        say: Receives a line per warning and per stage, such as `print`.
        **options: Fields of `RunSettings`.

    Examples:
        >>> run_recipe("phantom/cam", "phantom", "run", say=print).metrics[0]["scores"]  # doctest: +SKIP
        {'miou': 0.71}
    """
    from qaclims_path.pipeline.run.options import load_run
    from qaclims_path.pipeline.run.pipeline import do_run
    from qaclims_path.pipeline.run.steps import Run
    from qaclims_path.pipeline.run.warnings import run_warnings

    running = read(RunSettings, options, "run_recipe")
    chosen = load_run(recipe, settings, Path(root))
    work = Run(chosen, Path(root), Path(out), optional(corpus), running, threads)
    for sentence in run_warnings(work):
        say(f"Before training: {sentence}")
    return do_run(work, first=first, only=only, say=say)


@public()
def plan_recipe(
    recipe: Where,
    root: Where,
    out: Where,
    *,
    corpus: Where | None = None,
    first: str | None = None,
    only: str | None = None,
    settings: Settings = (),
) -> "RunPlan":
    """Say what `run_recipe` would do, with the same arguments, and roughly what it takes; nothing is done.

    Examples:
        >>> plan = plan_recipe("phantom/cam", "phantom", "run")  # doctest: +SKIP
        >>> [(step.stage.name, step.action) for step in plan.stages]  # doctest: +SKIP
        [('cam', 'run'), ...]
    """
    from qaclims_path.pipeline.run.options import load_run
    from qaclims_path.pipeline.run.pipeline import plan_run
    from qaclims_path.pipeline.run.preview import preview
    from qaclims_path.pipeline.run.steps import Run

    work = Run(load_run(recipe, settings, Path(root)), Path(root), Path(out), optional(corpus))
    return preview(work, plan_run(work, first=first, only=only))


@public()
def list_recipes() -> "list[RecipeLine]":
    """List the recipes that ship with the package, with the files that make each.

    Examples:
        >>> list_recipes()[0].name
        'bcss-wsss/cam'
    """
    from qaclims_path.pipeline.run.settings import list_recipes as listed

    return listed()


@public()
def show_recipe(recipe: Where, *, settings: Settings = ()) -> "list[ResolvedSetting]":
    """Resolve a recipe: every setting with its value, and the file or change that gave it.

    Args:
        recipe: A name such as `bcss-wsss/qa-clims-path`, or a YAML file.
        settings: Changes of the recipe, as a dictionary such as `{"masks.refiner": "par"}`.

    Examples:
        >>> [each.set_by for each in show_recipe("phantom/cam", settings={"seed": 3}) if each.key == "seed"]
        ['--set seed=3']
    """
    from qaclims_path.pipeline.run.settings import show_recipe as show

    return show(recipe, settings)


@public()
def list_settings(key: str = "") -> "list[Setting]":
    """List the settings of recipes, each with its default, its meaning and the files that set it.

    Args:
        key: Only settings at or below this dotted key.

    Examples:
        >>> [each.key for each in list_settings("cams")]
        ['cams.scales', 'cams.gate']
    """
    from qaclims_path.pipeline.run.settings import settings_below

    return settings_below(key)


@public()
def demo(
    out: Where = "demo",
    *,
    quick: bool = False,
    controls: bool = False,
    seed: int = 0,
    say: "Callable[[str], None]" = lambda _: None,
) -> "DemoReport":
    """Run the whole method on painted slides; nothing is downloaded, and the same call continues where it stopped.

    Args:
        out: Folder to write.
        quick: Fewer and smaller slides, shorter trainings.
        controls: Add rows that show what words contribute.
        seed: Seed of the painted tissue and of every training.
        say: Receives a line per part, such as `print`.

    Examples:
        >>> demo("demo", quick=True, say=print).comparison.tables[0].rows[0].label  # doctest: +SKIP
        'cam'
    """
    from qaclims_path.pipeline.demo.demo import demo as run
    from qaclims_path.pipeline.demo.size import CONTROLS, FULL, QUICK

    size = QUICK if quick else FULL
    size = replace(size, rows=(*size.rows, *CONTROLS)) if controls else size
    return run(Path(out), size=size, seed=seed, say=say)


@public()
def diagnose() -> "Diagnosis":
    """Report what works on this machine, what is missing, and how to install it.

    Examples:
        >>> diagnose().healthy  # doctest: +SKIP
        True
    """
    from qaclims_path.pipeline.doctor.diagnose import diagnose as look

    return look()
