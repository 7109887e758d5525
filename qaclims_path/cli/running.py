"""Options of how a training runs: devices, precision, checkpoints, curves."""

from qaclims_path.cli.fields import Chosen, with_options
from qaclims_path.engine.settings import RunSettings

NAMES = {"compile": "--compile", "loggers": "--logger"}
with_running = with_options("running", RunSettings, leave_out=["quiet"], names=NAMES)
with_running_on_one_machine = with_options("running", RunSettings, leave_out=["quiet", "nodes"], names=NAMES)


def run_settings(running: Chosen[RunSettings], *, quiet: bool) -> RunSettings:
    """How a training runs, from the options of its command; unknown loggers are refused before it begins."""
    from qaclims_path.engine.loggers import LOGGERS

    settings = running.options(quiet=quiet)
    for name in settings.loggers:
        LOGGERS[name]
    return settings
