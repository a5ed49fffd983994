"""A PostgreSQL server of a test's own, on a free port of loopback, that can be killed and started again."""

import os
import pwd
import secrets
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Server", "find_binaries"]


def find_binaries() -> Path | None:
    """The folder of initdb and pg_ctl, as Debian installs them; the newest."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """`make` it, then `stop` it, or `kill` and `start` it in between."""

    folder: Path
    port: int = field(default_factory=_free_port)
    password: str = field(default_factory=lambda: secrets.token_hex(8))

    def make(self) -> None:
        """A new cluster with a password for its one user, started."""
        self.folder.mkdir(parents=True)
        secret = self.folder / "password"
        secret.write_text(self.password)
        if os.getuid() == 0:  # PostgreSQL does not run as root
            owner = pwd.getpwnam("postgres")
            for path in (self.folder, secret):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        self._run("initdb", "-D", self._data, "-U", "lake", "-A", "scram-sha-256", f"--pwfile={secret}")
        self.start()

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder}"
        self._run("pg_ctl", "-D", self._data, "-l", self.folder / "log", "-w", "-t", "120", "-o", options, "start")

    def kill(self) -> None:
        """As a crash: no checkpoint, connections cut off."""
        self._run("pg_ctl", "-D", self._data, "-w", "-m", "immediate", "stop")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self._data, "-w", "-m", "fast", "stop")

    def database(self, name: str) -> str:
        """Make a database; gives the target of deliveries to it."""
        binaries = find_binaries()
        assert binaries is not None
        environment = {**os.environ, "PGPASSWORD": self.password}
        command = [str(binaries / "createdb"), "-h", "127.0.0.1", "-p", str(self.port), "-U", "lake", name]
        subprocess.run(command, check=True, capture_output=True, env=environment)
        return f"ducklake:postgres:dbname={name} host=127.0.0.1 port={self.port} user=lake"

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _run(self, program: str, *arguments: object) -> None:
        binaries = find_binaries()
        assert binaries is not None
        command = [str(binaries / program), *map(str, arguments)]
        user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
        subprocess.run(
            command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            cwd="/", **user,
        )  # fmt: skip
