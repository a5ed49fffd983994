"""`depthscope demo`: train the sample runs beside a dashboard that shows them grow."""

import threading
import time
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import Popen

from rich.console import Console

from depthscope.store import DepthscopeError, StoreBusy, open_store

from ..dashboard import address, free_port, is_up, server_process
from .dashboard import announce, has_display

__all__ = ["beside_dashboard", "chosen_strategies"]

HOST, PORT = "127.0.0.1", 8501
INTERRUPTED = 130


class UnknownStrategy(DepthscopeError):
    """A strategy that depthscope does not have, said before anything is started."""


def chosen_strategies(text: str, known: Sequence[str]) -> list[str]:
    """The names in 'pre, post,...', without repetitions. Raises UnknownStrategy."""
    chosen = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in chosen if name not in known]
    if unknown or not chosen:
        raise UnknownStrategy(f"expected strategies among {', '.join(known)}; got {', '.join(unknown) or 'none'}")
    return chosen


def beside_dashboard(train: Callable[[Console], int], store: Path, dashboard: bool) -> int:
    """Run `train` beside a dashboard of `store`, and keep that up until Ctrl-C. Returns train's exit status."""
    out = Console(stderr=True, highlight=False)
    check_place(store)
    if not dashboard:
        return train(out)
    with served(store, out) as server:
        status = train(out)
        if status != INTERRUPTED:
            out.print("The dashboard stays up until Ctrl-C.")
            wait(server)
    return status


def check_place(store: Path) -> None:
    """Raise NotAStore or StoreTooNew for what is there and cannot be written to, before anything is started."""
    if store.is_file() or (store.is_dir() and any(store.iterdir())):
        with suppress(StoreBusy):  # training never opens the database
            open_store(store)


@contextmanager
def served(store: Path, out: Console) -> Iterator[Popen[bytes]]:
    """A dashboard of `store` in a child process, announced, and opened in the browser once it answers."""
    port = free_port(HOST, PORT)
    url = address(HOST, port)
    with server_process(store, HOST, port) as server:
        announce(out, url, f"Store: {store}")
        threading.Thread(target=open_when_up, args=(server, url, store, out), daemon=True).start()
        yield server


def open_when_up(server: Popen[bytes], url: str, store: Path, out: Console) -> None:
    """Open the browser as soon as the server answers; say so if it never does."""
    while server.poll() is None:
        if is_up(url):
            if has_display():
                webbrowser.open(url)
            return
        time.sleep(0.25)
    if server.returncode > 0:
        out.print(f"The dashboard ended with status {server.returncode}; training goes on. Try `depthscope dashboard`.")


def wait(server: Popen[bytes]) -> None:
    """Until the server ends or the user presses Ctrl-C."""
    try:
        server.wait()
    except KeyboardInterrupt:
        return
