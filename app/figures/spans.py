"""Spans of neighbouring blocks of one run, start x length: what skipping them costs, and how far they turn the stream.

The angle between a span's input and its output is cheap and a poor stand-in for the loss (arXiv 2403.17887; caveat:
arXiv 2605.14075): the two pictures stand side by side.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from depthscope.store import Store

from ..view import View
from .axes import is_log, joined
from .frames import numbers
from .grids import Grid, Grids, grids_alt, grids_figure, grids_table
from .held_out import is_signal, newest, when
from .record import Figure

__all__ = ["SPANS", "spans_info"]

LOSS, ANGLE = "Change of held-out loss (nats/token)", "Angular distance (1 = 180°)"
X_TITLE, Y_TITLE = "First block of the span", "Length (blocks)"


def spans_query(store: Store, view: View) -> pd.DataFrame:
    """Columns run, step, layer, span, kind ('loss' or 'angle'), value, error, tokens, of the focus run."""
    skipped = store.interventions(runs=[view.focus], action="skip", site="block", steps=(0, view.step))
    skipped = skipped[skipped["stack"] == view.stack]
    # An evaluation of single blocks alone is newer than, and no replacement for, one of spans.
    spans = newest(skipped[skipped["span"] > 1])
    skipped = skipped[skipped["step"].isin(spans["step"])].rename(columns={"delta": "value", "delta_se": "error"})
    turned = store.distances(runs=[view.focus], steps=(0, view.step))
    turned = newest(turned[turned["stack"] == view.stack]).rename(columns={"angular_distance": "value"})
    columns = ["run", "step", "layer", "span", "kind", "value", "error", "tokens"]
    parts = [part.assign(kind=kind).reindex(columns=columns) for part, kind in ((skipped, "loss"), (turned, "angle"))]
    return pd.concat([part.astype({"value": "float64", "error": "float64"}) for part in parts], ignore_index=True)


def spans_info(frame: pd.DataFrame, view: View) -> Grids:
    """The grids with spans of more than one block; a single row of blocks is the figure of each layer."""
    frame = frame.dropna(subset=["layer"])
    parts = [(LOSS, frame[frame["kind"] == "loss"]), (ANGLE, frame[frame["kind"] == "angle"])]
    grids = tuple(_grid(title, rows, view.scale) for title, rows in parts if (rows["span"] > 1).any())
    noise = sum(sum(row) for grid in grids for row in grid.noise)
    told = f"{noise:,} grey {'cell is' if noise == 1 else 'cells are'} within two standard errors." if noise else ""
    return Grids(grids, X_TITLE, Y_TITLE, joined(when(frame[frame["kind"] == "loss"]), told))


def _grid(title: str, rows: pd.DataFrame, scale: str) -> Grid:
    starts = tuple(range(int(rows["layer"].min()), int(rows["layer"].max()) + 1))
    lengths = tuple(sorted({int(n) for n in rows["span"]}))
    columns = [numbers(rows[name]) for name in ("span", "layer", "value", "error")]
    cells = {(int(n), int(s)): (value, error) for n, s, value, error in zip(*columns, strict=True)}
    values = tuple(tuple(cells[n, s][0] if (n, s) in cells else None for s in starts) for n in lengths)
    if title != LOSS:
        return Grid(title, starts, lengths, values, marked=_smallest(starts, lengths, values))
    noise = tuple(tuple((n, s) in cells and not is_signal(*cells[n, s]) for s in starts) for n in lengths)
    shown = [v for v, error in cells.values() if v > 0 and is_signal(v, error)]
    log = scale == "log" or (scale == "auto" and is_log("auto", [shown]))
    return Grid(title, starts, lengths, values, noise, log, _smallest(starts, lengths, values))


def _smallest(
    starts: Sequence[int], lengths: Sequence[int], values: Sequence[Sequence[float | None]]
) -> tuple[tuple[int, int], ...]:
    """(start, length) of the smallest value of each length that leaves a choice."""
    found = []
    for length, row in zip(lengths, values, strict=True):
        pairs = [(v, s) for v, s in zip(row, starts, strict=True) if v is not None and np.isfinite(v)]
        if len(pairs) > 1:
            found.append((min(pairs)[1], length))
    return tuple(found)


SPANS = Figure(
    name="spans",
    title="Spans of blocks",
    caption="Look for a dark region: neighbouring blocks that can be left out together. The white dot is the cheapest "
    "span of its length.",
    reads=("runs", "run", "stack", "step"),
    query=spans_query,
    info=spans_info,
    draw=lambda info, theme: grids_figure(info, theme, "No spans of blocks were measured up to this step."),
    table=grids_table,
    alt=lambda info: grids_alt(info, "Spans of blocks"),
    one_run=True,
)
