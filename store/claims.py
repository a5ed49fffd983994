"""Who owns a run name: one file per name, created exclusively, with the attempts made at the run.

An attempt is one watch() of a run, named by a ULID (https://github.com/ulid/spec): 26 characters that sort by time.
"""

import hashlib
import json
import os
import secrets
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from .errors import RunMissing, RunNameTaken
from .layout import fsync_folder

__all__ = [
    "APPENDS",
    "Attempt",
    "attempts_of",
    "claim",
    "copy",
    "is_claimed",
    "join",
    "new_ulid",
    "newest",
    "release",
    "restore",
    "runs",
]

APPENDS = 2**62
"""As `from_step` of an attempt that replaces nothing: it is beyond every step."""

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True)
class Attempt:
    """One watch() of a run. Its rows replace those of earlier attempts from `from_step` on."""

    attempt: str
    run: str
    from_step: int
    started_at: datetime


def new_ulid(after: str = "") -> str:
    """A ULID that sorts after `after`, even when the clock has gone backwards since."""
    number = (time.time_ns() // 1_000_000 << 80) | secrets.randbits(80)
    if after:
        number = max(number, _decode(after) + 1)
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def _decode(ulid: str) -> int:
    number = 0
    for letter in ulid:
        number = number << 5 | _ALPHABET.index(letter)
    return number


def claim(claims: Path, run: str, from_steps: Sequence[int] = (0,)) -> list[Attempt]:
    """Take the name for a new run. RunNameTaken when it is another's."""
    made = _mint("", run, from_steps)
    _create(claims, run, made)
    return made


def copy(claims: Path, run: str, new: str) -> None:
    """Take the name `new` for the attempts of `run`. RunNameTaken when it is another's."""
    _create(claims, new, attempts_of(claims, run))


def restore(claims: Path, attempts: Sequence[Attempt]) -> None:
    """Take the name of a run whose claim was lost, for the attempts that are known of it."""
    _create(claims, attempts[0].run, attempts)


def _create(claims: Path, run: str, made: Sequence[Attempt]) -> None:
    try:
        handle = os.open(_file(claims, run), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        raise RunNameTaken(
            f"the run name {run[:80]!r} is taken in {claims.parent}; choose another, or go on with it by resume=True"
        ) from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(_text(run, made))
        file.flush()
        os.fsync(file.fileno())
    fsync_folder(claims)


def join(claims: Path, run: str, from_steps: Sequence[int]) -> list[Attempt]:
    """Add attempts to a name that may be claimed already; they sort after every earlier one."""
    earlier = attempts_of(claims, run)
    made = _mint(earlier[-1].attempt if earlier else "", run, from_steps)
    target = _file(claims, run)
    draft = target.with_suffix(f".{made[0].attempt}.tmp")
    with draft.open("w", encoding="utf-8") as file:
        file.write(_text(run, [*earlier, *made]))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(target)
    fsync_folder(claims)
    return made


def is_claimed(claims: Path, run: str) -> bool:
    """Whether the name belongs to a run."""
    return _file(claims, run).exists()


def attempts_of(claims: Path, run: str) -> list[Attempt]:
    """The attempts made at a run, oldest first; empty when the name is free."""
    try:
        content = json.loads(_file(claims, run).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        # A claim cut short by a crash still holds the name; it had no attempt that wrote anything.
        return []
    return [
        Attempt(each["attempt"], run, each["from_step"], datetime.fromisoformat(each["started_at"]))
        for each in sorted(content["attempts"], key=lambda each: str(each["attempt"]))
    ]


def runs(claims: Path, attempts: Collection[str]) -> list[str]:
    """The names of the runs that these attempts were made at."""
    found = []
    for file in claims.glob("*.json"):
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # cut short by a crash: none of its attempts wrote anything
            continue
        if any(each["attempt"] in attempts for each in content["attempts"]):
            found.append(str(content["run"]))
    return sorted(found)


def newest(claims: Path, run: str) -> Attempt:
    """The attempt that further ranks of a run join. RunMissing when there is none."""
    attempts = attempts_of(claims, run)
    if not attempts:
        raise RunMissing(f"rank 0 has not opened the run {run[:80]!r} in {claims.parent}; open it there first")
    return attempts[-1]


def release(claims: Path, run: str) -> None:
    """Give the name back."""
    _file(claims, run).unlink(missing_ok=True)


def _mint(after: str, run: str, from_steps: Sequence[int]) -> list[Attempt]:
    made: list[Attempt] = []
    for from_step in from_steps:
        after = new_ulid(after)
        made.append(Attempt(after, run, from_step, datetime.now(UTC).replace(tzinfo=None)))
    return made


def _file(claims: Path, run: str) -> Path:
    return claims / f"{hashlib.sha256(run.encode()).hexdigest()}.json"


def _text(run: str, attempts: Sequence[Attempt]) -> str:
    rows = [{"attempt": a.attempt, "from_step": a.from_step, "started_at": a.started_at.isoformat()} for a in attempts]
    return json.dumps({"run": run, "attempts": rows})
