"""`depthscope preflight`: what models do across depth at initialization, one row a model."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from ..text import plain
from .output import console, to_json

__all__ = ["checks_json", "collected", "show_checks"]

COLUMNS = (
    "Strategy",
    "Loss",
    "Stream",
    "Theory",
    "Growth",
    "Grad skew",
    "fp16 bits: stream",
    "branches",
    "bf16 drops: first",
    "middle",
    "last",
)
LEGEND = """\
Loss: nats a token on one batch, about ln(vocabulary) before training. Stream, Theory: mean square after the last
block, measured and predicted. Growth: after the last block over after the first. Grad skew: mean parameter gradient of
the deeper half of the blocks over that of the other, block 1 left out. fp16 bits: factors of 2 between the largest
magnitude and the largest fp16 number. bf16 drops: share of branch updates smaller than half a bf16 step of the stream
they are added to, in the first, middle and last block. Empty: no theory, or the model does not show it."""


def collected(checks: Iterable[Any], total: int, quiet: bool) -> list[Any]:
    """All checks, with a progress bar on a terminal."""
    return list(track(checks, "Preflight", total, console=Console(stderr=True), transient=True, disable=quiet))


def checks_json(checks: Sequence[Any]) -> str:
    """A JSON list, one object a model, with its blocks under `layers`; NaN and infinity are null."""
    return to_json([{**asdict(check), **summary(check)} for check in checks])


def summary(check: Any) -> dict[str, Any]:
    return {
        "growth": check.growth,
        "gradient_skew": check.gradient_skew,
        "stream_bits": check.stream_bits,
        "raw_bits": check.raw_bits,
    }


def show_checks(checks: Sequence[Any]) -> None:
    """Print one row a model, and what the columns mean."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for title in COLUMNS:
        table.add_column(title, justify="left" if title == COLUMNS[0] else "right", no_wrap=title == COLUMNS[0])
    for check in checks:
        table.add_row(*(Text(cell) for cell in cells(check)))
    out = console()
    out.print(table)
    out.print(LEGEND, markup=False, highlight=False)


def cells(check: Any) -> list[str]:
    last = check.layers[-1]
    return [
        plain(check.name),
        shown(check.loss, "{:.3f}"),
        shown(last.mean_square, "{:.3g}"),
        shown(last.theory, "{:.3g}"),
        shown(check.growth, "{:.3g}x"),
        shown(check.gradient_skew, "{:.2f}"),
        shown(check.stream_bits, "{:.1f}"),
        shown(check.raw_bits, "{:.1f}"),
        *(shown(check.absorbed(share), "{:.1%}") for share in (0.0, 0.5, 1.0)),
    ]


def shown(value: float | None, style: str) -> str:
    return "" if value is None else style.format(value)
