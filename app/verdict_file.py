"""Verdicts that outlive the server: a small file a store in the user's cache folder, never in the store itself.

It is only a memory: what is not in it, or was said by other rules, is judged anew.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from .findings import FINDINGS, SEVERITIES, THRESHOLDS
from .recorded import cache_folder

__all__ = ["State", "load_verdicts", "save_verdicts", "verdict_file"]

State = tuple[str, str, str, int]
"""A run, when it began, its state, the order of magnitude of its newest step."""


def verdict_file(store: str) -> Path:
    """Where the verdicts on the runs of `store` are kept."""
    name = hashlib.sha256(store.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return cache_folder() / f"verdicts-{name}.json"


def load_verdicts(file: Path) -> dict[State, str]:
    """State -> verdict, '' for none; nothing where the file is missing, broken or of other rules."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        rows = content["verdicts"] if content["rules"] == _rules() else []
        found = {(str(run), str(began), str(status), int(size)): word for run, began, status, size, word in rows}
    except (OSError, ValueError, TypeError, KeyError):
        return {}
    return {state: word for state, word in found.items() if word in ("", *SEVERITIES)}


def save_verdicts(file: Path, verdicts: Mapping[State, str]) -> None:
    """Replace the file; where that is not possible the verdicts end with the server."""
    rows = [[*state, word] for state, word in list(verdicts.items())]  # others go on judging
    content = json.dumps({"rules": _rules(), "verdicts": rows})
    try:
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
        with os.fdopen(handle, "w", encoding="utf-8") as whole:
            whole.write(content)
        Path(name).replace(file)
    except OSError:
        return


def _rules() -> str:
    """What changes when the diagnoses do."""
    words = json.dumps([(check.name, check.rule(THRESHOLDS)) for check in FINDINGS.values()])
    return hashlib.sha256(words.encode()).hexdigest()[:16]
