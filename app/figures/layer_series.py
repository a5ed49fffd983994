"""One metric of a few layers of one run over training: which layer left the others, and when."""

from dataclasses import replace

import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from depthscope.store import Store, layer_series

from ..theme import DASHES, Style, Theme
from ..view import View
from .axes import horizontal
from .depth_profile import value_title
from .frames import batch, described, followed_phase, measured, numbers
from .lines import Line, Lines, lines_alt, lines_figure, lines_info, lines_table
from .record import Figure

__all__ = ["LAYER_SERIES", "layer_series_figure", "layer_series_info", "spread"]


def spread(layers: tuple[int, ...], count: int = 5) -> tuple[int, ...]:
    """`count` of `layers` spread evenly over the depth, both ends included."""
    if len(layers) <= count:
        return layers
    return tuple(layers[round(i * (len(layers) - 1) / (count - 1))] for i in range(count))


def layer_series_query(store: Store, view: View) -> pd.DataFrame:
    """Columns layer, step, x, low, high, last, nonfinite, phase, run, metric, title, unit, site, for the focus run."""
    run = view.focus
    layers = list(view.layers or _default_layers(store, view))

    def fetch(phase: str) -> pd.DataFrame:
        return layer_series(
            store, run, view.metric, view.site, phase, layers, x=view.x, stack=view.stack, within=view.stretch
        )

    frame = followed_phase(view.phase, fetch)
    return described(frame, view.metric, store.metrics()).assign(site=view.site, run=run)


def _default_layers(store: Store, view: View) -> tuple[int, ...]:
    known = store.layers([view.focus])
    blocks = known[(known["stack"] == view.stack) & (known["layer"] > 0)]
    return spread(tuple(sorted({int(n) for n in blocks["layer"]})))


def layer_series_info(frame: pd.DataFrame, view: View) -> Lines:
    """One line a layer, first layer first."""
    axis = horizontal(view.x, float(frame["x"].max()) if len(frame) else 0.0)
    groups = frame.astype({"layer": int}).sort_values(["layer", "x"]).groupby("layer") if len(frame) else ()
    lines = [_line(f"layer {layer}", rows, axis.divisor) for layer, rows in groups]
    info = lines_info(lines, axis.title, value_title(frame), view.scale, measured(batch(frame)))
    return replace(info, divisor=axis.divisor)


def _line(label: str, rows: pd.DataFrame, divisor: float) -> Line:
    x, y, low, high, broken = (numbers(rows[name]) for name in ("x", "last", "low", "high", "nonfinite"))
    return Line(label, "", tuple(v / divisor for v in x), y, low, high, broken)


def layer_series_figure(info: Lines, theme: Theme) -> go.Figure:
    """Lines coloured by depth, dark to light on light ground and the other way round on dark."""
    ends = (0.0, 0.85) if theme.name == "light" else (0.25, 1.0)
    styles = _depth_styles([line.label for line in info.lines], ends)
    return lines_figure(info, styles, theme, markers=False, nothing="This run has no values of this metric here yet.")


def _depth_styles(labels: list[str], ends: tuple[float, float]) -> dict[str, Style]:
    low, high = ends
    points = [low + (high - low) * i / max(len(labels) - 1, 1) for i in range(len(labels))]
    colours = sample_colorscale("Viridis", points, colortype="tuple") if points else []
    hexes = ["#" + "".join(f"{round(255 * part):02x}" for part in colour) for colour in colours]
    return {
        label: Style(colour, DASHES[i % 3], "circle")
        for i, (label, colour) in enumerate(zip(labels, hexes, strict=True))
    }


LAYER_SERIES = Figure(
    name="layer_series",
    title="Layers over time",
    caption="Look for the layer that leaves the others and for the step at which it does; the band is the range "
    "inside each bucket of steps.",
    reads=("runs", "run", "metric", "site", "stack", "phase", "layers", "x", "zoom"),
    query=layer_series_query,
    info=layer_series_info,
    draw=layer_series_figure,
    table=lambda info: lines_table(info, "layer").drop(columns="strategy"),
    alt=lambda info: lines_alt(info, "Chosen layers of one run over time"),
    one_run=True,
)
