"""Does a run each time a line comes in, in a process of its own that can be killed; imports everything only once.

Arguments are the data and settings; a line is the folder of the run. Says the number of the process, then `0` or why it
ended.
"""

import os
import sys
from functools import partial
from pathlib import Path

from qaclims_path.engine.settings import RunSettings
from qaclims_path.pipeline.run.options import load_run
from qaclims_path.pipeline.run.pipeline import Run, do_run

root, *settings = sys.argv[1:]
quiet = RunSettings(
    devices=1, accelerator="cpu", precision="fp32", workers=0, quiet=True, loggers=(), log_every=1, save_every=1
)
say = partial(print, flush=True)
say("ready")
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        do_run(Run(load_run("phantom/cam", settings), Path(root), Path(line.strip()), running=quiet))
        os._exit(0)
    say(child)
    say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
