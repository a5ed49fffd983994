"""The commands that keep stores: small, tidy, sound, and delivered to where many of them come together."""

from typing import Annotated

import typer

from depthscope.store import remove_runs, rename_run

from .commands.stores import find_store
from .ending import CRITICAL
from .options import Flag, JsonOption, StoreArgument, StoreOption
from .text import plain

__all__ = ["upkeep"]

upkeep = typer.Typer()


@upkeep.command("compact")
def compact_(store: StoreArgument = None, option: StoreOption = None) -> None:
    """Fold everything into the database and rewrite it in order, which gives space back."""
    from .commands.upkeep import compacted, store_folder

    typer.echo(compacted(store_folder(store, option)), err=True)


@upkeep.command()
def rm(
    run: Annotated[list[str], typer.Argument(metavar="RUN...", help="Runs to delete.", show_default=False)],
    store: StoreOption = None,
) -> None:
    """Delete runs that have ended, and free their names."""
    gone = remove_runs(find_store(None, store), run)
    typer.echo(f"Removed {len(gone)} run{'s' * (len(gone) != 1)}; `depthscope compact` gives the space back.", err=True)


@upkeep.command()
def rename(
    old: Annotated[str, typer.Argument(metavar="OLD", help="A run that has ended.", show_default=False)],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.", show_default=False)],
    store: StoreOption = None,
) -> None:
    """Give a run another name."""
    typer.echo(f"Renamed {plain(old)!r} to {plain(rename_run(find_store(None, store), old, new))!r}.", err=True)


@upkeep.command()
def doctor(
    store: StoreArgument = None,
    option: StoreOption = None,
    repair: Annotated[
        bool, Flag("--repair", "Make a new database of what can be read where it is damaged; the old one is kept.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Check a store and say what to do; exit status 3 when something is wrong with it."""
    from .commands.upkeep import doctor_json, examine, repaired, show_checks, store_folder

    folder = store_folder(store, option)
    if repair:
        typer.echo(repaired(folder), err=True)
    checks = examine(folder)
    typer.echo(doctor_json(checks)) if json else show_checks(checks)
    if any(check.state == "bad" for check in checks):
        raise typer.Exit(CRITICAL)


@upkeep.command("ingest")
def ingest_(
    store: StoreArgument = None,
    option: StoreOption = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="URL|DIR",
            help="Where segments go from now on: ducklake:postgres:DSN, quack://HOST:PORT, or a folder on a disk here.",
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", metavar="DIR_OR_BUCKET", help="Where a new lake keeps its Parquet files.")
    ] = None,
    follow: Annotated[bool, Flag("--follow", "Go on until interrupted.")] = False,
) -> None:
    """Fold what waits in a store's spool into its database, or deliver it to a target."""
    from .commands.deliver import delivered
    from .commands.upkeep import store_folder

    typer.echo(delivered(store_folder(store, option), to, data, again=follow), err=True)
