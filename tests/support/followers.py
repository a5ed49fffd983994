"""Processes that deliver stores to a lake for as long as they live, to be killed and started again."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from depthscope.store import Delivery, StoreBusy, deliver

__all__ = ["Deliveries", "delivered_at_last"]


class Deliveries:
    """`depthscope ingest --follow` for each store, killed at random and started again."""

    def __init__(self, url: str, data: str) -> None:
        self._command = lambda store: [
            sys.executable, "-m", "depthscope.app", "ingest", str(store), "--to", url, "--data", data, "--follow",
        ]  # fmt: skip
        self.running: dict[Path, subprocess.Popen[bytes]] = {}
        self.kills = 0

    def start(self, store: Path) -> None:
        self.running[store] = subprocess.Popen(
            self._command(store), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def kill(self, store: Path) -> None:
        """The process, and the one of its own that talks to the lake."""
        parent = self.running[store]
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        for pid in (*map(int, children), parent.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        parent.wait()
        self.kills += 1

    def stop(self) -> None:
        for child in self.running.values():
            child.terminate()
        for child in self.running.values():
            child.wait(timeout=60)


def delivered_at_last(store: Path, url: str, patience_s: float = 120.0) -> Delivery:
    """Deliver what is left, once the delivery that was under way when its follower was killed has ended."""
    end = time.monotonic() + patience_s
    while True:
        try:
            return deliver(store, url)
        except StoreBusy:
            if time.monotonic() > end:
                raise
