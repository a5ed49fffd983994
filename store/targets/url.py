"""The URL of a target. It is stored and shown, so no password stands in it."""

import re
from pathlib import Path

from ..errors import DepthscopeError

__all__ = ["scheme", "target_url"]

_SECRET = re.compile(r"password\s*=|passfile\s*=|://[^/@\s]*:[^/@\s]*@", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+]+:")
_SERVER = re.compile(r"quack:/{0,2}([^/\s:]+:\d+)/?")
# A path has lost one of two slashes.
_SHORTENED = re.compile(r"^(ducklake:postgres:postgres(?:ql)?):/(?!/)")


def target_url(path: Path | str) -> str | None:
    """The URL that `path` is, None for a folder. Raises DepthscopeError for another URL and one with a password."""
    text = str(path)
    if not _SCHEME.match(text) or (Path(text).exists() and not text.startswith("ducklake:")):
        return None
    if server := _SERVER.fullmatch(text):
        return f"quack:{server[1]}"
    if not text.startswith("ducklake:"):
        raise DepthscopeError(
            f"expected a folder, ducklake:postgres:dbname=NAME or quack://HOST:PORT, got {text[:200]!r}"
        )
    text = _SHORTENED.sub(r"\1://", text)
    if _SECRET.search(text):
        raise DepthscopeError(
            "expected a target without a password, because it is stored and shown; set PGPASSWORD or use ~/.pgpass"
        )
    return text


def scheme(url: str) -> str:
    """What comes before the first colon of a target's URL."""
    return url.partition(":")[0]
