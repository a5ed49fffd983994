"""The URL of a target. It is stored and shown, so no password stands in it."""

import re
from pathlib import Path

from ..errors import DepthscopeError

__all__ = ["SCHEMES", "target_url"]

SCHEMES = ("ducklake", "quack")
_SECRET = re.compile(r"password\s*=|passfile\s*=|token\s*=|://[^/@\s]*:[^/@\s]*@", re.IGNORECASE)
# A path has lost one of two slashes.
_SHORTENED = re.compile(r"^(quack|ducklake:postgres:postgres(?:ql)?):/(?!/)")


def target_url(path: Path | str) -> str | None:
    """The URL that `path` is, None for a folder. Raises DepthscopeError for one that holds a password."""
    text = str(path)
    if not text.startswith(tuple(f"{scheme}:" for scheme in SCHEMES)):
        return None
    text = _SHORTENED.sub(r"\1://", text)
    if _SECRET.search(text):
        raise DepthscopeError(
            "expected a target without a password, because it is stored and shown; "
            "set PGPASSWORD or use ~/.pgpass (PostgreSQL), DEPTHSCOPE_QUACK_TOKEN (Quack)"
        )
    return text
