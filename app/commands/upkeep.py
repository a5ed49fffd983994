"""`depthscope compact`, `rm`, `rename` and `doctor`: keeping a store small, tidy and sound."""

from pathlib import Path

from rich.table import Table
from rich.text import Text

from depthscope.store import Check, check_store, compact, compact_lake, default_store, repair_store, target_url

from ..text import plain
from .output import console, to_json
from .stores import named_store

__all__ = ["compacted", "doctor_json", "examine", "repaired", "show_checks", "store_folder"]

STYLES = {"ok": "green", "note": "yellow", "bad": "bold red"}


def store_folder(positional: Path | None, option: Path | None) -> Path:
    """The store that the user named, else the default one; it need not be sound, or one at all."""
    return named_store(positional, option) or default_store()


def compacted(folder: Path) -> str:
    """Rewrite the database, or merge the files of a lake; what to say of it."""
    if (url := target_url(folder)) is not None:
        before, after = compact_lake(url)
        return f"{before:,} files before, {after:,} files now; those merged are deleted by a later delivery."
    done = compact(folder)
    return (
        f"{done.ingested.folded} segments folded in; {done.before / 1e6:.1f} MB before, {done.after / 1e6:.1f} MB now."
    )


def repaired(folder: Path) -> str:
    """Repair what is damaged; what to say of it."""
    done = repair_store(folder)
    if done is None:
        return "The database is not damaged."
    lost = "nothing" if not done.lost else plain("; ".join(done.lost))
    return (
        f"Made a new database: {done.rows:,} rows read out of the damaged one, {done.segments} segments folded in. "
        f"Could not be read: {lost}. The damaged file is {done.kept}."
    )


def examine(folder: Path) -> list[Check]:
    """Everything that was looked at."""
    return check_store(folder)


def doctor_json(checks: list[Check]) -> str:
    """The checks for other programs: name, state (ok, note, bad), said, advice."""
    return to_json([vars(check) for check in checks])


def show_checks(checks: list[Check]) -> None:
    """Print the checks as a table."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for title in ("Looked at", "State", "Found", "What to do"):
        table.add_column(title, overflow="fold")
    for check in checks:
        state = Text(check.state, style=STYLES[check.state])
        table.add_row(check.name, state, Text(plain(check.said)), Text(plain(check.advice)))
    console().print(table)
