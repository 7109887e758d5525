import os
import signal
import subprocess
import sys

import pytest

from qaclims_path.files import lock
from qaclims_path.files.lock import Locked, locked

HOLD = "import sys, time; from pathlib import Path; from qaclims_path.files.lock import locked\n"
HOLD += "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"


@pytest.fixture
def holder(tmp_path):
    """Another process that holds `run.lock`."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run.lock")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline().strip() == "held"
        yield process
        process.kill()


def test_the_second_process_is_refused_by_name(tmp_path, holder):
    with pytest.raises(Locked, match=f"process {holder.pid} on .*another --out"), locked(tmp_path / "run.lock"):
        pass


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path, holder):
    holder.kill()
    holder.wait()
    assert str(holder.pid) in (tmp_path / "run.lock").read_text()
    with locked(tmp_path / "run.lock"):
        assert str(os.getpid()) in (tmp_path / "run.lock").read_text()
    assert (tmp_path / "run.lock").read_text() == ""


def test_shared_holders_keep_out_only_those_who_want_it_alone(tmp_path):
    path = tmp_path / "run.lock"
    with locked(path, shared=True), locked(path, shared=True), pytest.raises(Locked), locked(path):
        pass
    with locked(path), pytest.raises(Locked), locked(path, shared=True):
        pass


def test_without_locks_of_the_system_the_holder_must_live(tmp_path, holder, monkeypatch):
    monkeypatch.setattr(lock, "fcntl", None)
    with pytest.raises(Locked), locked(tmp_path / "run.lock"):
        pass
    holder.kill()
    holder.wait()
    with locked(tmp_path / "run.lock"):
        pass
    for number in (1, os.getpid()):  # the first process of every container has the same one
        (tmp_path / "other.lock").write_text(f'{{"pid": {number}, "host": "elsewhere.example"}}')
        with pytest.raises(Locked, match=r"on elsewhere\.example"), locked(tmp_path / "other.lock"):
            pass


def test_without_locks_of_the_system_those_who_share_do_not_keep_each_other_out(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "fcntl", None)
    path = tmp_path / "run.lock"
    path.write_text('{"pid": 1, "host": "elsewhere.example", "shared": true}')
    with pytest.raises(Locked), locked(path):
        pass
    with locked(path, shared=True):
        assert '"shared": true' in path.read_text()
    assert path.read_text() == ""


FULL = "import resource, sys; from pathlib import Path; from qaclims_path.files.lock import locked\n"
FULL += "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
FULL += "with locked(Path(sys.argv[1])): pass"


def test_a_full_disk_is_a_sentence(tmp_path):
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path / "run.lock")], capture_output=True, text=True)
    assert f"errors.QaclimsError: {tmp_path / 'run.lock'} cannot be written: File too large." in done.stderr


def test_a_process_that_a_killed_one_has_forked_holds_no_lock(tmp_path):
    """Workers that load data are forked, and may outlive the process that was killed."""
    fork = "import os, sys, time; from pathlib import Path; from qaclims_path.files.lock import locked\n"
    fork += "with locked(Path(sys.argv[1])):\n if not os.fork(): print(os.getpid(), flush=True)\n time.sleep(60)"
    path = tmp_path / "run.lock"
    with subprocess.Popen([sys.executable, "-c", fork, str(path)], stdout=subprocess.PIPE, text=True) as process:
        child = int(process.stdout.readline())
        with pytest.raises(Locked), locked(path):  # the child has let go of it, the parent has not
            pass
        process.kill()
        process.wait()
        os.kill(child, 0)  # is still there
        with locked(path):
            pass
        os.kill(child, signal.SIGKILL)
