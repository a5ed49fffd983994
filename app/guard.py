"""What the dashboard's server refuses and promises: foreign Host headers get 403, every page carries a strict CSP.

Without the Host check a page on the web could reach a server bound to 127.0.0.1 by rebinding its own name to that
address; Streamlit's allowedHosts guards the WebSocket only.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

__all__ = ["Guard", "host_name"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

# Streamlit loads the module of a component from a blob of the page's own making.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' ws://127.0.0.1:* ws://localhost:*; "
    "frame-ancestors 'none'; base-uri 'self'; form-action 'none'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


class Guard:
    """ASGI middleware. `hosts` are the names the server answers to, in lower case; empty: any name."""

    def __init__(self, app: Application, hosts: tuple[str, ...]) -> None:
        self.app = app
        self.hosts = hosts

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
        elif self.hosts and host_name(scope) not in self.hosts:
            await refuse(scope, send)
        else:
            await self.app(scope, receive, with_headers(send))


def host_name(scope: Message) -> str:
    """The Host header without its port, in lower case; '' when there is none or more than one."""
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if len(hosts) != 1:
        return ""
    host = str(hosts[0].decode("latin-1")).lower()
    return host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]


async def refuse(scope: Message, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})  # before accept: the server answers 403
        return
    body = b"This server does not answer to that host name.\n"
    await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain"), *HEADERS]})
    await send({"type": "http.response.body", "body": body})


def with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            ours = {name for name, _ in HEADERS}
            kept = [pair for pair in message.get("headers", []) if pair[0].lower() not in ours]
            message = {**message, "headers": [*kept, *HEADERS]}
        await send(message)

    return wrapped
