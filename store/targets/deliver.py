"""One delivery: what waits in a store's spool goes to its target, exactly once.

The high-water marks travel with the rows in one transaction, as in the store's own database; segments are unlinked only
after it. A delivery that was cut off, or whose answer was lost, leaves segments below the marks, which the next one
removes.
"""

import random
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import duckdb

from .. import claims
from ..connect import Deadline, opened
from ..errors import DepthscopeError, RunNameTaken, StoreBusy
from ..filesystem import network_kind
from ..fold import Dialect, Folded, fold
from ..ingest import create_database
from ..layout import Layout, Segment, fsync_folder, list_segments
from ..lock import only_one
from ..look import check_version
from ..schema import base_columns, literal, quote
from ..upkeep import compact_when_due
from . import ducklake
from .quack import Server
from .turns import Overtaken
from .url import scheme, target_url

__all__ = ["Delivery", "deliver"]

_PATIENCE = 3.0  # seconds to wait for another delivery of this store
_TRIES = 40  # of a delivery that others overtake


@dataclass(frozen=True)
class Delivery:
    """How many segments went, and the rows of a database of the store's own that went before them."""

    folded: int = 0
    adopted: int = 0


def deliver(store: Path | str, to: str, data: str | None = None) -> Delivery:
    """Fold every complete segment of `store` into a target. From then on the store is delivered there only.

    `to` is a target's URL, or the folder of another store, on a local disk, for a spool on shared storage.
    Raises StoreBusy when another delivery of this store runs, or the target cannot be reached: nothing is lost. Raises
    RunNameTaken when the target has a run of the same name from another store, ExtensionMissing, StoreMissing.
    """
    layout = Layout(Path(store).absolute())
    layout.check()
    url = target_url(to)
    if url is None:
        _check_no_database(layout)
    _claim_target(layout, url or str(Path(to).absolute()))
    if url is None:
        return _to_folder(layout, Layout(Path(to).absolute()))
    with ExitStack() as held:
        if network_kind(layout.lock) is None:  # elsewhere the lake alone keeps deliveries apart
            held.enter_context(only_one(layout, Deadline(_PATIENCE)))
        return _TARGETS[scheme(url)](layout, url, data)


def _to_lake(layout: Layout, url: str, data: str | None) -> Delivery:
    with closing(ducklake.attached(url, data)) as connection:
        ducklake.ensure_tables(connection)

        def take(segments: list[Segment]) -> Folded:
            turn = _turn(connection)
            _check_names(_attempts(connection), layout, {segment.attempt for segment in segments})
            return fold(connection, segments, ducklake.dialect(turn))

        done = Delivery(adopted=_adopt(connection, layout), folded=_fold_all(take, layout, 500))
        if done.folded:
            ducklake.tidy_when_due(connection)
        return done


def _to_server(layout: Layout, url: str, data: str | None) -> Delivery:
    if data is not None:
        raise DepthscopeError(f"expected --data with a lake (ducklake:...); {url} keeps its rows itself")
    _check_no_database(layout)
    with closing(Server(url)) as server:
        server.ensure_tables()

        def take(segments: list[Segment]) -> Folded:
            _check_names(server.attempts, layout, {segment.attempt for segment in segments})
            return server.take(segments)

        return Delivery(folded=_fold_all(take, layout, 20))


_TARGETS = {"ducklake": _to_lake, "quack": _to_server}


def _check_no_database(layout: Layout) -> None:
    if layout.database.exists():
        raise DepthscopeError(
            f"expected a spool without a database, {layout.root} has one; bring its runs over by export"
        )


def _fold_all(take: Callable[[list[Segment]], Folded], layout: Layout, at_once: int) -> int:
    """Fold what waits, `at_once` segments in a transaction."""
    segments = list_segments(layout.spool)
    parts = [segments[start : start + at_once] for start in range(0, len(segments), at_once)]
    return sum(_fold(take, part) for part in parts)


def _to_folder(layout: Layout, other: Layout) -> Delivery:
    """Into the database of another store: one process, holding that store's lock."""
    if other.root == layout.root:
        raise DepthscopeError(f"expected --to to be another folder than {layout.root} itself; leave it out")
    other.create()
    deadline = Deadline(_PATIENCE)
    with only_one(other, deadline):
        create_database(other)
        with opened(other.database, deadline, read_only=False) as connection:
            check_version(connection, other)
            segments = list_segments(layout.spool)
            _check_names(_attempts(connection), layout, {segment.attempt for segment in segments})
            done = fold(connection, segments)
    for segment in done.finished:
        segment.path.unlink(missing_ok=True)
    compact_when_due(other)
    return Delivery(done.folded)


def _claim_target(layout: Layout, url: str) -> None:
    """Say in the store where its segments go, so that nobody folds them into its own database."""
    if layout.target.exists() and layout.target.read_text(encoding="utf-8").strip() == url:
        return
    draft = layout.target.with_suffix(".tmp")
    draft.write_text(url + "\n", encoding="utf-8")
    draft.replace(layout.target)
    fsync_folder(layout.root)


def _fold(take: Callable[[list[Segment]], Folded], segments: list[Segment]) -> int:
    """Fold some segments; again while other deliveries commit in between."""
    for attempt in range(_TRIES):
        try:
            done = take(segments)
            break
        except (Overtaken, duckdb.TransactionException) as conflict:
            if isinstance(conflict, duckdb.TransactionException) and "conflict" not in str(conflict).lower():
                raise StoreBusy(
                    f"the target did not take the rows: {str(conflict).splitlines()[-1][:200]}"
                ) from conflict
            time.sleep(random.uniform(0.02, 0.1) * (attempt + 1))
        except duckdb.Error as error:
            raise StoreBusy(f"the target did not take the rows: {str(error).splitlines()[-1][:200]}") from error
    else:
        raise StoreBusy(f"expected a turn at the target within {_TRIES} tries, others keep delivering")
    for segment in done.finished:
        segment.path.unlink(missing_ok=True)
    return done.folded


def _turn(connection: duckdb.DuckDBPyConnection) -> int:
    return int(connection.execute("SELECT max(n) FROM turns").fetchall()[0][0])


def _attempts(connection: duckdb.DuckDBPyConnection) -> Callable[[str], set[str]]:
    """What tells the attempts at a run that a database has."""
    asked = "SELECT attempt FROM attempts WHERE run = ?"
    return lambda run: {row[0] for row in connection.execute(asked, [run]).fetchall()}


def _check_names(known: Callable[[str], set[str]], layout: Layout, attempts: set[str]) -> None:
    """Two stores may have given one name to two runs: their rows must not become one."""
    for run in claims.runs(layout.claims, attempts):
        mine = {attempt.attempt for attempt in claims.attempts_of(layout.claims, run)}
        if not known(run) <= mine:
            raise RunNameTaken(
                f"the target has a run {run[:80]!r} of another store; rename this one: depthscope rename OLD NEW"
            )


def _adopt(connection: duckdb.DuckDBPyConnection, layout: Layout) -> int:
    """Take over what the store's own database holds, once: rows of runs that were folded before there was a target."""
    if not layout.database.exists():
        return 0
    try:
        connection.execute(f"ATTACH {literal(str(layout.database))} AS own (READ_ONLY)")
    except duckdb.Error as error:
        raise StoreBusy(f"expected to read {layout.database} now: {str(error).splitlines()[0][:200]}") from error
    try:
        there = "SELECT attempt FROM attempts"
        if not connection.execute(f"SELECT 1 FROM own.attempts WHERE attempt NOT IN ({there}) LIMIT 1").fetchall():
            return 0
        attempts = {row[0] for row in connection.execute("SELECT attempt FROM own.attempts").fetchall()}
        turn = _turn(connection)
        _check_names(_attempts(connection), layout, attempts)
        return _copy(connection, ducklake.dialect(turn))
    except (Overtaken, duckdb.Error) as error:
        raise StoreBusy(f"the target did not take the rows: {str(error).splitlines()[-1][:200]}") from error
    finally:
        connection.execute("DETACH own")


def _copy(connection: duckdb.DuckDBPyConnection, how: Dialect) -> int:
    """All tables of `own` with their marks, in one transaction."""
    connection.execute("BEGIN")
    try:
        how.began(connection)
        known = {
            row[0].lower() for row in connection.execute("SELECT column_name FROM (DESCRIBE layer_stats)").fetchall()
        }
        for name, kind in connection.execute(
            "SELECT column_name, column_type FROM (DESCRIBE own.layer_stats)"
        ).fetchall():
            if name.lower() not in known:
                connection.execute(f"ALTER TABLE layer_stats ADD COLUMN {quote(name)} {kind}")
        how.replace(connection, "metrics", ("name",), "FROM own.metrics")
        rows = 0
        for table in [*(name for name in base_columns() if name != "metrics"), "high_water"]:
            connection.execute(f"INSERT INTO {quote(table)} BY NAME FROM own.{quote(table)}")
            rows += int(connection.execute(f"SELECT count(*) FROM own.{quote(table)}").fetchall()[0][0])
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    return rows
