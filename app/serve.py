"""The dashboard's server as a child process: `python -m depthscope.app.serve STORE HOST PORT`.

It ends when its stdin is closed: a parent that is killed cannot end its children, but its pipes close.
"""

import os
import signal
import sys
import threading
from pathlib import Path

from .dashboard import run_server

__all__: list[str] = []


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    run_server(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
