"""A process that talks to a target for us.

DuckDB's clients of other databases can hang (a frozen server), and can end their process (PostgreSQL gone in the middle
of a transaction: an exception in a destructor). Neither may happen to a dashboard, so calls go to a child, which is
killed when it does not answer, and made anew when it is gone.
"""

import atexit
import pickle
import select
import subprocess
import sys
import threading
from typing import Any

from ..errors import StoreBusy

__all__ = ["Child"]


class Child:
    """Runs `serve.py`; one call at a time."""

    def __init__(self, patience: float) -> None:
        self._patience = patience  # seconds
        self._one_at_a_time = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self._end)

    def call(self, name: str, *arguments: Any) -> Any:
        """What a handler of serve.py returns. Raises what it raises; StoreBusy where it died or did not answer."""
        with self._one_at_a_time:
            process = self._alive()
            assert process.stdin is not None and process.stdout is not None
            try:
                pickle.dump((name, arguments), process.stdin)
                process.stdin.flush()
                if not select.select([process.stdout], [], [], self._patience)[0]:
                    raise TimeoutError(f"the target did not answer within {self._patience:g} s")
                fine, answer = pickle.load(process.stdout)
            except (OSError, EOFError, pickle.UnpicklingError) as error:
                self._end()
                said = str(error) if isinstance(error, TimeoutError) else "the connection to the target broke"
                raise StoreBusy(f"{said}; it is made anew at the next try") from error
            except BaseException:  # Ctrl-C: the answer to this call must not be taken for the next one's
                self._end()
                raise
        if not fine:
            raise answer
        return answer

    def close(self) -> None:
        """End the process."""
        with self._one_at_a_time:
            self._end()
        atexit.unregister(self._end)

    def _alive(self) -> "subprocess.Popen[bytes]":
        if self._process is None or self._process.poll() is not None:
            # -P: a file duckdb.py in the user's folder must not stand in for the library.
            command = [sys.executable, "-P", "-m", "depthscope.store.targets.serve"]
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is ours to handle
            )
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:  # what was not written yet
                    continue
