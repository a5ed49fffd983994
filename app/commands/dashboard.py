"""`depthscope dashboard`: serve a store, or the recorded runs where there is no store yet."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from depthscope.store import default_store, open_store

from ..dashboard import address, free_port, is_loopback, run_server
from ..recorded import recorded_store

__all__ = ["announce", "has_display", "serve"]


def serve(named: Path | None, host: str, port: int, bundles: Callable[[], list[Path]]) -> None:
    """Serve until interrupted. `bundles` gives the recorded runs, for when none is named and no default is there."""
    out = Console(stderr=True, highlight=False)
    store, words = choose(named, bundles)
    found = free_port(host, port)
    if found != port:
        out.print(f"Port {port} is taken; using {found}.")
    if not is_loopback(host):
        out.print(
            Text(
                f"Warning: {host} can be reached from other machines and the dashboard has no login.",
                style="bold yellow",
            ),
            Text("An ssh tunnel is safer: ssh -L 8501:127.0.0.1:8501 THIS_MACHINE"),
            sep="\n",
        )
    announce(out, address(host, found), words)
    run_server(store, host, found)


def choose(named: Path | None, bundles: Callable[[], list[Path]]) -> tuple[Path, str]:
    """The store to serve and a sentence about it. Raises StoreMissing or NotAStore for a named one that is no store."""
    path = named or default_store()
    if named is None and not path.exists():
        words = f"There is no store at {path} yet: these are runs recorded with `depthscope demo`'s models."
        return recorded_store(bundles()), words
    return open_store(path).path, f"Store: {path}"


def announce(out: Console, url: str, words: str) -> None:
    """The URL, impossible to miss."""
    body = Text.assemble((url, "bold cyan underline"), "\n", words, "\n", ("Ctrl-C ends it.", "dim"))
    out.print(Panel(body, title="depthscope dashboard", title_align="left", expand=False, padding=(0, 2)))


def has_display() -> bool:
    """Whether opening a browser makes sense: someone at a terminal, and a screen to open it on."""
    screen = sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    return sys.stdout.isatty() and screen
