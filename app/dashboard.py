"""Starting the dashboard's server, in this process or in a child that dies with it.

It listens on 127.0.0.1 and has no login: a tunnel (`ssh -L`) is the way to it from elsewhere.
"""

import errno
import importlib
import ipaddress
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from depthscope.store import DepthscopeError, target_url

from .style import THEME

__all__ = ["Unavailable", "address", "free_port", "is_loopback", "is_up", "run_server", "server_process"]

MAIN = Path(__file__).with_name("main.py")
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
PORTS_TRIED = 100


class Unavailable(DepthscopeError):
    """The server cannot listen where it was asked to."""


def is_loopback(host: str) -> bool:
    """Whether `host` can only be reached from this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def address(host: str, port: int) -> str:
    """The URL to open in a browser on this machine."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "localhost": "127.0.0.1"}.get(host, host)
    return f"http://{f'[{shown}]' if ':' in shown and not shown.startswith('[') else shown}:{port}"


def free_port(host: str, wanted: int) -> int:
    """The first port from `wanted` on that nothing listens on. Raises Unavailable without one or such a host."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in range(wanted, min(wanted + PORTS_TRIED, 65536)):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # As the server does: a port whose last connections are still closing is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except (socket.gaierror, PermissionError) as error:
                raise Unavailable(
                    f"cannot listen on {host} port {port}: {error.strerror}; try another --host or --port"
                ) from None
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise Unavailable(f"cannot listen on {host}: {error.strerror}; try --host 127.0.0.1") from None
                continue
            return port
    raise Unavailable(f"expected a free port from {wanted} on; {PORTS_TRIED} are taken; try another --port")


def is_up(url: str) -> bool:
    """Whether the server at `url` answers yet."""
    try:
        with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def settings(host: str, port: int) -> dict[str, object]:
    """Streamlit's configuration. It wins over any config.toml in the working or home folder."""
    local = is_loopback(host)
    return {
        "server.address": host,
        "server.port": port,
        "server.headless": True,
        "server.allowedHosts": list(LOOPBACK_NAMES) if local else [],
        "server.fileWatcherType": "none",
        "server.maxUploadSize": 1,
        "browser.gatherUsageStats": False,
        "browser.serverAddress": host if local else socket.gethostname(),
        "client.toolbarMode": "viewer",
        "client.showErrorDetails": "type",
        "client.showErrorLinks": False,
        # Our widgets have a default and a value in the session on purpose: see widgets.remember.
        "global.disableWidgetStateDuplicationWarning": True,
        # A full collection after every run of a page takes about as long as the page; Python's own come when due.
        "runner.postScriptGC": False,
        "logger.hideWelcomeMessage": True,
        **THEME,
    }


def run_server(store: Path, host: str, port: int) -> None:
    """Serve `store` in this process until it is interrupted. Call once per process."""
    import streamlit
    from starlette.middleware import Middleware
    from starlette.responses import FileResponse
    from starlette.routing import Route
    from streamlit.runtime.pages_manager import PagesManager

    from .guard import Guard
    from .plot import LIBRARY, LIBRARY_PATH

    # For main.py, a script to Streamlit; a lake's URL is no path.
    os.environ["DEPTHSCOPE_STORE"] = target_url(store) or str(store.absolute())
    # Our pages/ holds modules. Until the first st.navigation Streamlit would take it for a folder of scripts, and a
    # link to a page, on a fresh server, would run one of them.
    PagesManager.uses_pages_directory = False
    # What the first page needs is loaded while the browser comes up.
    for name in ("depthscope.app.figures", "depthscope.app.findings"):
        threading.Thread(target=importlib.import_module, args=(name,), daemon=True).start()
    library = Route(LIBRARY_PATH, lambda request: FileResponse(LIBRARY, media_type="text/javascript"))
    hosts = LOOPBACK_NAMES if is_loopback(host) else ()
    streamlit.App(MAIN, routes=[library], middleware=[Middleware(Guard, hosts=hosts)]).run(config=settings(host, port))


@contextmanager
def server_process(store: Path, host: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Serve `store` in a child process, ended on leaving; it also ends when this process dies, however that happens."""
    command = [sys.executable, "-m", "depthscope.app.serve", str(store.absolute()), host, str(port)]
    # Its own session: Ctrl-C in the terminal reaches only us, and we end the child in order.
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdin:
            child.stdin.close()
