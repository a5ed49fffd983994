"""The `depthscope` command. Every command is a few lines here and a module of its own; heavy imports happen inside.

The one file of app/ that may import probes or sample_runs, and only inside a command: `depthscope dashboard` never
loads torch, `depthscope demo --no-dashboard` never loads streamlit.
"""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from depthscope.store import DepthscopeError, default_store, import_bundle

from .commands.stores import chosen_runs, find_store, named_store
from .ending import CRITICAL, INTERRUPTED, Session, ending
from .exporters import EXPORTERS, Target
from .extras import MODULES, require
from .options import (
    BuildOption,
    CheckpointsArgument,
    DataOption,
    Flag,
    JsonOption,
    Number,
    OneRunOption,
    OnlyOption,
    RunOption,
    StepOption,
    StoreArgument,
    StoreOption,
    default,
)
from .upkeep_cli import upkeep

__all__ = ["app", "main"]

app = typer.Typer(
    help="See what happens across depth while a transformer trains.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    ctx: typer.Context,
    debug: Annotated[bool, Flag("--debug", "Show the traceback of an unexpected error.")] = False,
    version: Annotated[bool, Flag("--version", "Print the version and end.")] = False,
) -> None:
    """The options of every command, and what `depthscope` alone says."""
    ctx.obj.debug = debug
    if version:
        typer.echo(f"depthscope {installed_version('depthscope')}")
    elif ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


@app.command()
def demo(
    strategies: Annotated[
        str, typer.Option(metavar="NAME,...", help="Norm strategies to train.")
    ] = "pre,post,peri,mix,lns",
    layers: Annotated[int | None, Number(2, "Blocks of each model.", 12)] = None,
    steps: Annotated[int | None, Number(1, "Steps of each run.", 500)] = None,
    seed: Annotated[int | None, Number(0, "Seed of weights and data order.", 0)] = None,
    store: StoreOption = None,
    no_dashboard: Annotated[bool, Flag("--no-dashboard", "Only train; end when training ends.")] = False,
) -> None:
    """Train small transformers that differ only in where they normalize, and watch them live."""
    require("train", "the demo")
    if not no_dashboard:
        require("app", "the demo's dashboard (or use --no-dashboard)")
    from depthscope.sample_runs import STRATEGIES, run_demo

    from .commands.demo import beside_dashboard, chosen_strategies

    chosen = chosen_strategies(strategies, list(STRATEGIES))
    folder = named_store(None, store) or default_store()
    # What is not given is run_demo's to choose.
    given = {"layers": layers, "steps": steps, "seed": seed}
    budget = {name: value for name, value in given.items() if value is not None}

    def train(console: Console) -> int:
        return run_demo(chosen, store=folder, console=console, **budget)

    raise typer.Exit(beside_dashboard(train, folder, dashboard=not no_dashboard))


@app.command()
def preflight(
    strategies: Annotated[
        str, typer.Option(metavar="NAME,...", help="Norm strategies of the reference decoder, or 'all'.")
    ] = "all",
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:FUNCTION", help="Your own model instead: a function that returns it, or it and ids."
        ),
    ] = None,
    layers: Annotated[int, typer.Option(min=2, metavar="N", help="Blocks of each model.")] = 24,
    width: Annotated[int, typer.Option(min=2, metavar="N", help="Features of the stream.")] = 512,
    norm: Annotated[str, typer.Option(metavar="rms|layer", help="Kind of norm.")] = "rms",
    json: JsonOption = False,
) -> None:
    """Say how a model starts: variance and gradients across depth, and what fp16 and bf16 leave of them."""
    require("train", "preflight")
    from depthscope.sample_runs import STRATEGIES, preflight_model, preflight_strategies

    from .commands.demo import chosen_strategies
    from .commands.preflight import checks_json, collected, show_checks

    if model is not None:
        checks = [preflight_model(model)]
    else:
        chosen = chosen_strategies(",".join(STRATEGIES) if strategies == "all" else strategies, list(STRATEGIES))
        checks = collected(preflight_strategies(chosen, layers=layers, width=width, norm=norm), len(chosen), json)
    typer.echo(checks_json(checks)) if json else show_checks(checks)


@app.command()
def compare(
    strategies: Annotated[
        str, typer.Option(metavar="NAME,...", help="Norm strategies; others are held against the first.")
    ],
    layers: Annotated[int | None, Number(2, "Blocks of each model.", 12)] = None,
    steps: Annotated[int | None, Number(1, "Steps of each run.", 500)] = None,
    seeds: Annotated[int | None, Number(1, "Seeds of each strategy and rate.", 3)] = None,
    lr: Annotated[
        str | None, typer.Option(metavar="RATE,...", help=f"Learning rates. {default('0.0007,0.002,0.006')}")
    ] = None,
    store: StoreOption = None,
) -> None:
    """Train strategies with equal data and budget, at several learning rates and seeds, and print one table.

    Runs that the store has already are not trained again: after an interruption the same command goes on.
    """
    require("train", "the comparison")
    from depthscope.sample_runs import STRATEGIES, run_compare

    from .commands.compare import learning_rates
    from .commands.demo import chosen_strategies
    from .commands.output import console

    chosen = chosen_strategies(strategies, list(STRATEGIES))
    # What is not given is run_compare's to choose.
    given = {"layers": layers, "steps": steps, "seeds": seeds, "learning_rates": learning_rates(lr)}
    budget: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    folder = named_store(None, store) or default_store()
    raise typer.Exit(run_compare(chosen, store=folder, console=Console(stderr=True), out=console(), **budget))


@app.command()
def evaluate(
    checkpoints: CheckpointsArgument,
    data: DataOption,
    model: BuildOption = None,
    run: OneRunOption = None,
    step: StepOption = None,
    only: OnlyOption = None,
    tokens: Annotated[int, typer.Option(min=2, metavar="N", help="Held-out tokens to measure on.")] = 16384,
    length: Annotated[int, typer.Option(min=2, metavar="N", help="Tokens of a sequence, of text.")] = 256,
    store: StoreOption = None,
    json: JsonOption = False,
) -> None:
    """Measure saved weights on held-out data: which layers do work, and how much can be pruned.

    Every checkpoint is a step of a run. What the store has of it is not measured again: the same command goes on.
    """
    require("train", "evaluate")
    from depthscope.probes import Watcher, evaluate_checkpoints, read_holdout

    from .commands.evaluate import evaluated_json, evaluation, model_function, show_evaluated, tokenizer_of
    from .commands.output import console

    holdout = read_holdout(data, tokens=tokens, length=length, encode=tokenizer_of(checkpoints[0]))
    build = None if model is None else model_function(model)
    where: dict[str, Any] = {"store": named_store(None, store) or default_store(), "run": run}
    with evaluation() as shown:
        watcher = Watcher(shown.estimated, shown.advance)
        found = evaluate_checkpoints(checkpoints, build, holdout, steps=step, only=only, watcher=watcher, **where)
    typer.echo(evaluated_json(found)) if json else show_evaluated(found, console())


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def run(
    script: Annotated[str, typer.Argument(metavar="SCRIPT", help="The training script, as it is.", show_default=False)],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[ARGS]...", help="Its arguments.", show_default=False)
    ] = None,
    every: Annotated[int, typer.Option(min=1, metavar="N", help="Measure every N steps.")] = 10,
    store: StoreOption = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Class or name of the model, where it is not the largest that is trained."),
    ] = None,
    module: Annotated[bool, Flag("-m", "SCRIPT is a module, as in `python -m`.")] = False,
) -> None:
    """Run a training script and record the model that its optimizer trains. Under torchrun: `torchrun --no-python`."""
    require("train", "run")
    from depthscope.probes import run_script

    folder = named_store(None, store) or default_store()
    raise typer.Exit(run_script(script, arguments or [], as_module=module, model=model, store=folder, every=every))


@app.command()
def dashboard(
    store: StoreArgument = None,
    option: StoreOption = None,
    port: Annotated[int, typer.Option(min=1, max=65535, metavar="N", help="First port to try.")] = 8501,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Serve the dashboard of a store; with no store yet, of the recorded runs that come with depthscope."""
    require("app", "the dashboard")
    from depthscope.sample_runs.recorded import recorded_bundles

    from .commands.dashboard import serve

    serve(named_store(store, option), host, port, recorded_bundles)


@app.command()
def runs(store: StoreArgument = None, option: StoreOption = None, json: JsonOption = False) -> None:
    """List the runs of a store."""
    from .commands.runs import runs_json, show_runs

    found = find_store(store, option)
    typer.echo(runs_json(found)) if json else show_runs(found)


@app.command()
def diagnose(
    store: StoreArgument = None,
    option: StoreOption = None,
    run: RunOption = None,
    thresholds: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Thresholds to use in place of the usual ones.")
    ] = None,
    follow: Annotated[bool, Flag("--follow", "Tell what is new until no run trains any more.")] = False,
    webhook: Annotated[
        str | None, typer.Option(metavar="URL", help="With --follow: post warnings there, once a minute at most.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Say what is wrong with the runs of a store, and why; exit status 3 when something is critical."""
    from .commands.diagnose import caveats_of, findings_json, follow_findings, is_critical, show_findings
    from .findings import THRESHOLDS, diagnose_runs, read_thresholds

    limits = read_thresholds(thresholds) if thresholds else THRESHOLDS
    interrupted = False
    if follow:
        findings, interrupted = follow_findings(lambda: find_store(store, option), run, limits, webhook, json)
    elif webhook:
        raise DepthscopeError("expected --webhook together with --follow; got --webhook alone; add --follow")
    else:
        found = find_store(store, option)
        chosen = chosen_runs(found, run)
        findings, caveats = diagnose_runs(found, chosen, limits), caveats_of(found, chosen)
        typer.echo(findings_json(findings, caveats)) if json else show_findings(findings, caveats)
    if is_critical(findings):
        raise typer.Exit(CRITICAL)
    if interrupted:
        raise typer.Exit(INTERRUPTED)


@app.command()
def report(
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", help="File to write, .html or .json (the same for programs)."),
    ],
    store: StoreArgument = None,
    option: StoreOption = None,
    run: RunOption = None,
    section: Annotated[
        list[str] | None, typer.Option("--section", metavar="NAME", help="Only this section; may be repeated.")
    ] = None,
    notes: Annotated[Path | None, typer.Option(metavar="FILE.md", help="Your own notes, in Markdown.")] = None,
    template: Annotated[
        Path | None, typer.Option(metavar="FILE.j2", help="Your own Jinja2 template; may extend 'report.html.j2'.")
    ] = None,
    thresholds: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Thresholds of the findings; as in diagnose.")
    ] = None,
) -> None:
    """Write one self-contained HTML file: findings, figures with their data, definitions. It needs no network."""
    require("app", "the report")
    from .commands.output import progress_bar
    from .findings import THRESHOLDS, read_thresholds
    from .report import SECTIONS, Wishes, read_text, write_report

    wishes = Wishes(
        sections=tuple(section or SECTIONS),
        notes=read_text(notes) if notes else "",
        template=read_text(template) if template else "",
        limits=read_thresholds(thresholds) if thresholds else THRESHOLDS,
    )
    found = find_store(store, option)
    chosen = chosen_runs(found, run)
    with progress_bar("Drawing") as progress:
        write_report(found, chosen, output, progress, wishes)
    typer.echo(f"Wrote {output} ({output.stat().st_size / 1e6:.1f} MB).", err=True)


@app.command()
def export(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder to write; must not exist or be empty.")
    ],
    store: StoreArgument = None,
    option: StoreOption = None,
    run: RunOption = None,
    to: Annotated[Target, typer.Option(help="Format.")] = Target.parquet,
) -> None:
    """Copy runs out of a store: as Parquet that `depthscope import` reads, or for people whose home is elsewhere."""
    if to in MODULES:
        require(to, f"export --to {to}")
    found = find_store(store, option)
    chosen = chosen_runs(found, run)
    EXPORTERS[to](found, chosen, output)
    typer.echo(f"Exported {len(chosen)} run{'s' * (len(chosen) != 1)} to {output}.", err=True)


@app.command("import")
def import_(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A bundle written by `depthscope export`.", show_default=False)
    ],
    store: StoreOption = None,
    rename: Annotated[
        str | None, typer.Option(metavar="NEW", help="Name for the run, where the bundle holds one.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace runs of the same name.")] = False,
) -> None:
    """Copy the runs of a bundle into a store, which is made if need be."""
    if rename is not None and replace:
        raise DepthscopeError("expected --rename or --replace; got both")
    target = named_store(None, store) or default_store()
    import_bundle(folder, target, rename=rename, replace=replace)
    typer.echo(f"Imported {folder} into {target}.", err=True)


app.add_typer(upkeep)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command and end the process; the exit status is `ending`'s."""
    session = Session()
    sys.exit(ending(lambda: app(arguments, prog_name="depthscope", standalone_mode=False, obj=session), session))
