"""Is a store sound, and what to do where it is not.

`check_store` only looks. `repair_store` folds in what waits and, where the database is damaged, makes a new one of what
can still be read: the rows of the old file, table by table and run by run, and the segments above its marks.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb

from . import claims
from .connect import Deadline, opened, quiet
from .errors import NotAStore, SchemaTooOld
from .layout import Layout, Segment, default_store, list_segments
from .look import check_version
from .migrate import stored_version
from .rescue import Rescued, rescue
from .schema import base_columns, literal, stepped_tables
from .tail import above_marks
from .upkeep import has_doubled
from .views import views_outdated

__all__ = ["Check", "check_store", "repair_store"]

_PATIENCE = 10.0  # seconds to wait for whoever holds the database
_REPAIR = "run `depthscope doctor --repair`"
_COMPACT = "run `depthscope compact`"
_DRAFT_AGE = 3600.0  # seconds after which a half-written segment is nobody's


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `state` is 'ok', 'note' (nothing is lost, something waits) or 'bad'."""

    name: str
    state: str
    said: str
    advice: str = ""


def check_store(path: Path | str | None = None) -> list[Check]:
    """Look at everything and change nothing. Raises StoreMissing, NotAStore for a folder that is none, StoreTooNew,
    StoreBusy."""
    layout = Layout(Path(path if path is not None else default_store()).absolute())
    layout.check()
    segments = list_segments(layout.spool)
    found = [_drafts(layout), _torn(layout), _readable(segments)]
    if not layout.database.exists():
        return [Check("database", "note", "not made yet; the first ingest makes it", _COMPACT), *found]
    try:
        with opened(layout.database, Deadline(_PATIENCE), read_only=True) as connection:
            check_version(connection, layout)
            return [*_database(connection, layout, segments), *found]
    except SchemaTooOld as error:
        return [Check("database", "note", str(error), _COMPACT), *found]
    except (NotAStore, duckdb.Error) as error:
        said = f"damaged: {str(error).splitlines()[0]}"
        return [Check("database", "bad", said, f"{_REPAIR}; the damaged file is kept"), *found]


def repair_store(path: Path | str | None = None) -> Rescued | None:
    """Make a new database of what can be read where it is damaged; None where it is not. Runs that lost their claim
    get it back. Raises as check_store does."""
    layout = Layout(Path(path if path is not None else default_store()).absolute())
    layout.check()
    if any(check.name == "database" and check.state == "bad" for check in check_store(layout.root)):
        return rescue(layout)
    if layout.database.exists():
        _restore_names(layout)
    return None


def _restore_names(layout: Layout) -> None:
    layout.create()
    with opened(layout.database, Deadline(_PATIENCE), read_only=True) as connection:
        rows = connection.execute(
            "SELECT attempt, run, from_step, started_at FROM attempts ORDER BY attempt"
        ).fetchall()
    known: dict[str, list[claims.Attempt]] = {}
    for row in rows:
        known.setdefault(row[1], []).append(claims.Attempt(*row))
    for run, attempts in known.items():
        if not claims.is_claimed(layout.claims, run):
            claims.restore(layout.claims, attempts)


def _database(connection: duckdb.DuckDBPyConnection, layout: Layout, segments: list[Segment]) -> list[Check]:
    rows = {table: _rows(connection, table) for table in [*base_columns(), "high_water"]}
    size = layout.database.stat().st_size
    said = f"schema {stored_version(connection)}, {sum(rows.values()):,} rows read, {size / 1e6:.1f} MB"
    checks: list[Callable[[], Check]] = [
        lambda: _waiting(connection, segments),
        lambda: _gaps(connection, segments),
        lambda: _strangers(connection),
        lambda: _doubled(connection),
        lambda: _names(connection, layout),
        lambda: _place(connection, layout),
        lambda: _size(layout),
    ]
    return [Check("database", "ok", said), *(check() for check in checks)]


def _rows(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    """Number of rows, all of which are read, so that every block's checksum is looked at."""
    found = connection.execute(f"SELECT count(*), bit_xor(hash(t)) FROM {table} AS t").fetchall()
    return int(found[0][0])


def _waiting(connection: duckdb.DuckDBPyConnection, segments: list[Segment]) -> Check:
    fresh = above_marks(connection, "", segments)
    if len(fresh) > 1_000:
        return Check("spool", "bad", f"{len(fresh):,} segments wait: nobody has folded them in for long", _COMPACT)
    done = len(segments) - len(fresh)
    return Check("spool", "ok", f"{len(fresh)} segments wait" + (f", {done} are folded and can go" if done else ""))


def _gaps(connection: duckdb.DuckDBPyConnection, segments: list[Segment]) -> Check:
    """Numbers of each writer follow on from its mark."""
    marks = connection.execute("SELECT attempt, rank, seq FROM high_water").fetchall()
    expected = {(attempt, rank): seq + 1 for attempt, rank, seq in marks}
    lost = []
    for segment in above_marks(connection, "", segments):
        writer = (segment.attempt, segment.rank)
        if segment.seq != expected.get(writer, 0):
            lost.append(f"{segment.attempt}-{segment.rank}-{expected.get(writer, 0)}")
        expected[writer] = segment.seq + 1
    if not lost:
        return Check("order", "ok", "no segment is missing")
    return Check(
        "order", "bad", f"segments are missing from {lost[0]} on", "copy them back into spool/ if you have them"
    )


def _strangers(connection: duckdb.DuckDBPyConnection) -> Check:
    counts = {
        table: connection.execute(f"SELECT count(*) FROM {table} ANTI JOIN runs USING (run)").fetchall()[0][0]
        for table in stepped_tables()
    }
    if not (bad := {table: count for table, count in counts.items() if count}):
        return Check("runs", "ok", "every row belongs to a run")
    return Check("runs", "bad", f"rows of no run: {bad}", "export what you need; the rows show up nowhere")


def _doubled(connection: duckdb.DuckDBPyConnection) -> Check:
    found = connection.execute(
        "SELECT count(*) FROM (SELECT 1 FROM layer_stats GROUP BY run, stack, site, phase, layer, step "
        "HAVING count(*) > 1)"
    ).fetchall()
    if not found[0][0]:
        return Check("rows", "ok", "no row of layer_stats is there twice")
    said = f"{found[0][0]:,} rows of layer_stats are there more than once"
    return Check("rows", "bad", said, "was one run written by two processes at once?")


def _names(connection: duckdb.DuckDBPyConnection, layout: Layout) -> Check:
    names = [row[0] for row in connection.execute("SELECT run FROM runs ORDER BY run").fetchall()]
    free = [name for name in names if not claims.is_claimed(layout.claims, name)]
    if not free:
        return Check("names", "ok", f"{len(names)} runs own their names")
    said = f"{len(free)} runs do not own their names, {free[0][:80]!r} for one"
    return Check("names", "bad", said, _REPAIR)


def _place(connection: duckdb.DuckDBPyConnection, layout: Layout) -> Check:
    try:
        outdated = views_outdated(connection, layout)
    except duckdb.Error:  # they read the spool
        return Check("place", "note", "the all_ views cannot read a segment", _COMPACT)
    if outdated:
        return Check("place", "note", "the all_ views lead elsewhere: the store was moved", _COMPACT)
    return Check("place", "ok", f"the all_ views lead to {layout.spool}")


def _size(layout: Layout) -> Check:
    if has_doubled(layout):
        return Check("size", "note", "the database has doubled since it was compacted", _COMPACT)
    return Check("size", "ok", "compacting would save little")


def _drafts(layout: Layout) -> Check:
    old = [draft for draft in layout.spool.glob("*.tmp") if time.time() - draft.stat().st_mtime > _DRAFT_AGE]
    if not old:
        return Check("drafts", "ok", "no half-written segment")
    return Check("drafts", "note", f"{len(old)} half-written segments of processes that died", "they go after a day")


def _torn(layout: Layout) -> Check:
    torn = sorted(path.name for path in layout.spool.glob("*.torn"))
    if not torn:
        return Check("torn", "ok", "no segment was set aside")
    return Check(
        "torn", "note", f"{len(torn)} segments were torn and set aside: {torn[0]}", "delete them when you like"
    )


def _readable(segments: Iterable[Segment]) -> Check:
    count, bad = 0, []
    with quiet(duckdb.connect(":memory:")) as connection:
        for segment in segments:
            count += 1
            try:
                connection.execute(f"SELECT bit_xor(hash(t)) FROM {literal(str(segment.path))} AS t").fetchall()
            except duckdb.IOException:
                if segment.path.exists():  # else it was folded in this moment
                    bad.append(segment.path.name)
            except duckdb.Error:
                bad.append(segment.path.name)
    if not bad:
        return Check("segments", "ok", f"{count} waiting segments are whole")
    said = f"{len(bad)} of {count} waiting segments are torn: {bad[0]}"
    return Check("segments", "bad", said, f"{_COMPACT}: it sets them aside and folds in the others")
