"""Massive activations: the largest magnitude of each layer beside the median (Sun et al., arXiv 2402.17762)."""

import pandas as pd
import plotly.graph_objects as go

from depthscope.store import Store, sampled_steps

from ..theme import Theme
from ..view import View
from .axes import joined
from .frames import compared_phase, measured, moment, numbers, rows_of, strategy_of
from .lines import Line, lines_info
from .panels import Panels, panels_alt, panels_figure, panels_table
from .record import Figure

__all__ = ["MASSIVE", "massive_figure", "massive_info"]

SHOWN = (
    ("top", "Largest magnitude (activation)"),
    ("median_abs", "Median magnitude (activation)"),
    ("ratio", "Largest over median"),
)


def massive_query(store: Store, view: View) -> pd.DataFrame:
    """Columns run, strategy, step, layer, top, median_abs, count, phase, at each run's newest step."""
    return compared_phase(view.phase, view.runs, lambda phase: _newest(store, view, phase))


def _newest(store: Store, view: View, phase: str) -> pd.DataFrame:
    steps = sampled_steps(store, view.runs, phase)
    if view.step is not None:
        steps = steps[steps["step"] <= view.step]
    newest = {run: int(rows["step"].max()) for run, rows in rows_of(steps, view.runs)}
    together = {step: [run for run in newest if newest[run] == step] for step in newest.values()}
    parts = [_at(store, view, phase, runs, step) for step, runs in together.items()]
    columns = ["run", "strategy", "step", "layer", "top", "median_abs", "count"]
    frame = pd.concat(parts) if parts else pd.DataFrame(columns=columns)
    return _with_strategy(store, frame)[columns]


def _at(store: Store, view: View, phase: str, runs: list[str], step: int) -> pd.DataFrame:
    rows = store.massive(runs=runs, phase=phase, steps=(step, step))
    first = rows[(rows["rank"] == 1) & (rows["stack"] == view.stack)]
    return first.assign(top=first["value"].abs())


def _with_strategy(store: Store, frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop(columns="strategy", errors="ignore").merge(
        store.runs()[["run", "strategy"]], on="run", how="left"
    )


def massive_info(frame: pd.DataFrame, view: View) -> Panels:
    """Three panels over depth: the largest magnitude, the median, and their ratio, which has no scale."""
    frame = frame.assign(ratio=frame["top"] / frame["median_abs"].where(frame["median_abs"] > 0))
    panels = []
    for column, title in SHOWN:
        lines = [_line(run, rows, column) for run, rows in rows_of(frame, view.runs)]
        panels.append(lines_info(lines, "Layer", title, view.scale, first=1, bright=view.bright))
    return Panels(tuple(p for p in panels if not p.empty), joined(_rule(frame), measured(moment(frame))))


def _line(run: str, rows: pd.DataFrame, column: str) -> Line:
    rows = rows.sort_values("layer")
    return Line(run, strategy_of(rows), numbers(rows["layer"]), numbers(rows[column]))


def _rule(frame: pd.DataFrame) -> str:
    rule = "|x| > 100 and |x| ≥ 1,000 times the median"
    hit = frame[frame["count"] > 0]
    if frame.empty:
        return ""
    if hit.empty:
        return f"No activation is massive by the rule {rule}."
    layers = f"{hit.groupby(['run', 'layer']).ngroups:,} {'layer has' if len(hit) == 1 else 'layers have'}"
    return f"{layers} massive activations by the rule {rule}."


def massive_figure(info: Panels, theme: Theme) -> go.Figure:
    """Panels in a row."""
    return panels_figure(info, theme, "These runs have no massive-activation rows yet.")


MASSIVE = Figure(
    name="massive",
    title="Massive activations",
    caption="Look for a layer where the largest magnitude jumps while the median stays: a few channels of a few "
    "tokens carry it.",
    reads=("runs", "stack", "phase", "step"),
    query=massive_query,
    info=massive_info,
    draw=massive_figure,
    table=panels_table,
    alt=lambda info: panels_alt(info, "Massive activations"),
)
