"""A training in a command of its own saves before the run that started it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

# As a training does: it turns the first signal into a question, needs a second to save, and says that it was stopped.
CHILD = """
import signal, sys, time
from pathlib import Path
asked = []
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: asked.append(1))
print("begun", file=sys.stderr, flush=True)
while not asked:
    time.sleep(0.02)
time.sleep(1)
Path(sys.argv[1]).touch()
sys.exit(130)
"""
PARENT = """
import sys
from qaclims_path.files.processes import wait_for
print(*wait_for([sys.executable, "-c", {child!r}, sys.argv[1]]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("to", [("process",), ("group",), ("process", "group")])  # the last is what `timeout` does
def test_a_stopped_training_may_save_first(number: signal.Signals, to: tuple[str, ...], tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    command = [sys.executable, "-c", PARENT.format(child=CHILD), str(saved)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, start_new_session=True) as process:
        assert process.stderr.readline() == "begun\n"
        for whom in to:
            os.killpg(process.pid, number) if whom == "group" else process.send_signal(number)
        said, told = process.communicate(timeout=60)
    assert (said, process.returncode) == ("130 True\n", 0), told
    assert saved.exists()


# A signal that comes when the child has begun, and before its parent can tell anybody.
SUDDEN = """
import os, signal, subprocess, sys, time
from pathlib import Path

class Sudden(subprocess.Popen):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        while not Path(sys.argv[1] + "-begun").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.{number})

subprocess.Popen = Sudden
"""


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_a_signal_before_the_child_exists_reaches_it(number: str, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    child = CHILD.replace("while not asked", "Path(sys.argv[1] + '-begun').touch()\nwhile not asked")
    script = SUDDEN.format(number=number) + PARENT.format(child=child)
    done = subprocess.run([sys.executable, "-c", script, str(saved)], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("130 True\n", 0), done.stderr
    assert saved.exists()


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    slow = CHILD.replace("time.sleep(1)", "print('saving', file=sys.stderr, flush=True); time.sleep(600)")
    command = [sys.executable, "-c", PARENT.format(child=slow), str(tmp_path / "saved")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        for told in ("begun", "saving"):
            assert process.stderr.readline() == f"{told}\n"
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(1.2)  # longer than what counts as the same
        assert "KeyboardInterrupt" in process.communicate(timeout=60)[1]
        with pytest.raises(ProcessLookupError):  # noqa: PT012 - the system may take a moment to bury the child
            for _ in range(100):
                os.killpg(process.pid, 0)
                time.sleep(0.1)


WORKER = """
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from qaclims_path.files.processes import end_with_parent

if __name__ == "__main__":
    with ProcessPoolExecutor(1, get_context("spawn"), end_with_parent) as pool:
        pool.submit(time.sleep, 0).result()
        pool.submit(time.sleep, 600)
        print("busy", flush=True)
        time.sleep(600)
"""


def test_a_worker_ends_with_its_parent(tmp_path: Path) -> None:
    script = tmp_path / "work.py"
    script.write_text(WORKER)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "busy\n"
        process.kill()
        process.communicate(timeout=60)  # ends when the worker does, which could write there, too
