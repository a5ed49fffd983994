"""DuckDB's Quack server in a process of a test's own, that can be killed, stopped for a while and started again."""

import secrets
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["QuackServer"]

SERVE = """
import sys, duckdb
from depthscope.store.connect import quiet
from depthscope.store.targets.extensions import load
connection = quiet(duckdb.connect(sys.argv[1]))
load(connection, "httpfs", "quack")
connection.execute("CALL quack_serve(?, token => ?)", [sys.argv[2], sys.argv[3]])
print("serves", flush=True)
sys.stdin.read()
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class QuackServer:
    """`start` it, then `kill` it."""

    database: Path
    port: int = field(default_factory=_free_port)
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    _process: "subprocess.Popen[str] | None" = None

    @property
    def url(self) -> str:
        """The target of deliveries to it."""
        return f"quack://localhost:{self.port}"

    def start(self) -> None:
        """Returns when it serves. The port of one that was killed is not free at once."""
        command = [sys.executable, "-c", SERVE, str(self.database), f"quack:localhost:{self.port}", self.token]
        end = time.monotonic() + 60
        while True:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            assert self._process.stdout is not None and self._process.stderr is not None
            if self._process.stdout.readline() == "serves\n":
                return
            said = self._process.communicate()[1]
            assert time.monotonic() < end, said
            time.sleep(0.5)

    def kill(self) -> None:
        """As a crash."""
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.communicate()

    def freeze(self) -> None:
        """It keeps its connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)
