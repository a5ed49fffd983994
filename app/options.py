"""The arguments and options that several commands take."""

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = [
    "BuildOption",
    "CheckpointsArgument",
    "DataOption",
    "Flag",
    "JsonOption",
    "Number",
    "OneRunOption",
    "OnlyOption",
    "RunOption",
    "StepOption",
    "StoreArgument",
    "StoreOption",
    "default",
]


def Flag(name: str, help: str) -> Any:
    """A switch that is off; typer would show its type and default in the help."""
    return typer.Option(name, help=help, metavar="", show_default=False)


def Number(least: int, help: str, usual: int) -> Any:
    """A whole number; where it is not given, run_demo takes `usual` by itself."""
    return typer.Option(min=least, metavar="N", help=f"{help} {default(usual)}")


def default(value: object) -> str:
    return f"\\[default: {value}]"  # the backslash keeps rich from reading it as markup


StoreArgument = Annotated[
    Path | None, typer.Argument(metavar="[STORE]", help="Store folder; the same as --store.", show_default=False)
]
StoreOption = Annotated[
    Path | None,
    typer.Option(
        "--store", metavar="DIR", help=f"Store folder. {default('$DEPTHSCOPE_STORE, else ./depthscope-runs')}"
    ),
]
CheckpointsArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="CHECKPOINT...",
        help="state_dict files (.pt, .safetensors) or Hugging Face folders.",
        show_default=False,
    ),
]
DataOption = Annotated[
    Path, typer.Option(metavar="FILE", help="Held-out token ids \\[N, T] (.pt, .npy, .safetensors), or text.")
]
BuildOption = Annotated[
    str | None,
    typer.Option(metavar="MODULE:FUNCTION", help="A function that returns the model; not needed for folders."),
]
OneRunOption = Annotated[
    str | None, typer.Option("--run", metavar="NAME", help="The run they belong to, or a new one's name.")
]
StepOption = Annotated[
    list[int] | None,
    typer.Option("--step", metavar="N", help="Their steps, in order, where their names do not tell."),
]
OnlyOption = Annotated[
    str | None, typer.Option(metavar="NAME,...", help="What to measure: skip, zero, repeat, sparsity, ...")
]
RunOption = Annotated[list[str] | None, typer.Option("--run", metavar="NAME", help="Only this run; may be repeated.")]
JsonOption = Annotated[bool, Flag("--json", "Print JSON, whose fields stay the same between versions.")]
