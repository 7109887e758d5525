"""Runs `qaclims` and `python -c` in forks of one process that has imported the libraries, which takes 15 s per command.

`python warm.py SOCKET FOLDER` writes both programs to the folder, says `ready`, and waits for calls of them.
"""

import importlib
import json
import os
import signal
import socket
import sys
import traceback
from pathlib import Path

LIBRARIES = "monai", "open_clip", "segmentation_models_pytorch", "lightning_fabric", "numba", "shapely", "skimage"
OURS = ("qaclims_path.pipeline.demo.demo",)  # it imports nearly all of the package, which takes a second per command
PROGRAM = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.connect({address!r})
    call = json.dumps([sys.argv, os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [call], [0, 1, 2])
    sys.exit(int(server.recv(8) or 1))
"""


def do(call: bytes, files: list[int]) -> int:
    """Do a call with its arguments, folder, variables, and standard files; returns the exit code."""
    (program, *words), folder, variables = json.loads(call)
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    importlib.invalidate_caches()  # a block may have installed something
    sys.argv = [program, *words]
    of_command = Path(program).name == "qaclims"
    sys.path[0] = str(Path(program).parent) if of_command else ""
    try:
        if of_command:
            from qaclims_path.cli.app import main

            main()
        else:
            exec(compile(words[1], "<block>", "exec"), {"__name__": "__main__"})
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    address, folder = sys.argv[1:]
    for name in (*LIBRARIES, *OURS):
        importlib.import_module(name)
    for name in ("qaclims", "python"):
        path = Path(folder) / name
        path.write_text(PROGRAM.format(python=sys.executable, address=address))
        path.chmod(0o755)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(address)
        listener.listen()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system forgets children that have ended
        while True:
            caller, _ = listener.accept()
            call, files, *_ = socket.recv_fds(caller, 2**20, 3)
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                listener.close()
                code = do(call, files)
                sys.stdout.flush()
                caller.send(str(code).encode())
                return
            for file in (*files, caller.detach()):
                os.close(file)


if __name__ == "__main__":
    main()
