"""Where two runs part: one metric of a run over layers and steps, against that of the baseline."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from depthscope.store import Store, layer_step

from ..text import short
from ..theme import Theme
from ..view import View
from .axes import horizontal, joined
from .clock import placed, sampled_clock, steps_around
from .depth_profile import value_title
from .frames import batch, compared_phase, described, measured, numbers
from .heat import Heat, heat_alt, heat_figure, heat_table
from .record import Figure

__all__ = ["DIFFERENCE", "baseline_of", "difference_info"]

RATIO, MINUS = "log2 of the ratio to the baseline", "difference from the baseline"


def baseline_of(view: View) -> str:
    """The run that others are held against: the chosen one, else the first pinned one, else the first on screen."""
    wanted = (view.baseline, *view.pins)
    return next((run for run in wanted if run in view.runs), next(iter(view.runs), ""))


def other_of(view: View) -> str:
    """The run that is held against the baseline: the focus, or the first other one."""
    others = [run for run in view.runs if run != baseline_of(view)]
    return view.focus if view.focus in others else next(iter(others), "")


def difference_query(store: Store, view: View) -> pd.DataFrame:
    """Columns run, step, x, layer, value, base, phase, metric, title, unit, site; base is the baseline's newest."""
    run, base = other_of(view), baseline_of(view)
    if not run:
        empty = pd.DataFrame(columns=["run", "step", "x", "layer", "value", "base", "phase"])
        return described(empty, view.metric, store.metrics()).assign(site=view.site)
    frame = compared_phase(view.phase, (run, base), lambda phase: _both(store, view, run, base, phase))
    own, other = frame[frame["run"] == run], frame[frame["run"] == base]
    other = other.rename(columns={"value": "base"})[["step", "layer", "base"]]
    keys = {"step": "int64", "layer": "int64"}
    paired = pd.merge_asof(
        own.astype(keys).sort_values("step"), other.astype(keys).sort_values("step"), on="step", by="layer"
    )
    return described(paired.dropna(subset=["base"]), view.metric, store.metrics()).assign(site=view.site)


def _both(store: Store, view: View, run: str, base: str, phase: str) -> pd.DataFrame:
    """Both runs at equal steps; `x` is where `run` was at each."""
    clock = sampled_clock(store, run, phase, view.x)
    steps = steps_around(clock, view.zoom)
    parts = [
        layer_step(store, name, view.metric, view.site, phase, stack=view.stack, steps=steps).assign(run=name)
        for name in (run, base)
    ]
    frame = placed(pd.concat(parts).rename(columns={"last": "value"}), clock)
    return frame[["run", "step", "x", "layer", "value"]]


def difference_info(frame: pd.DataFrame, view: View) -> Heat:
    """The logarithm of the ratio where all values are positive, which most metrics' are; else the difference."""
    if frame.empty:
        return Heat()
    value, base = (np.asarray(numbers(frame[name])) for name in ("value", "base"))
    finite = np.isfinite(value) & np.isfinite(base)
    ratio = bool(finite.any() and (value[finite] > 0).all() and (base[finite] > 0).all())
    with np.errstate(divide="ignore", invalid="ignore"):
        shown = np.where(finite, np.log2(value / base) if ratio else value - base, np.nan)
    cells = dict(zip(zip(numbers(frame["layer"]), numbers(frame["step"]), strict=True), shown.tolist(), strict=True))
    steps, layers = sorted({int(n) for n in frame["step"]}), sorted({int(n) for n in frame["layer"]})
    places = frame.groupby("step")["x"].first()
    axis = horizontal(view.x, float(places.max()))
    reach = float(np.percentile(np.abs(shown[finite]), 99)) if finite.any() else 1.0
    words = f"{short(frame['run'].iloc[0])} against {short(baseline_of(view))}"
    return Heat(
        x=tuple(float(places[step]) / axis.divisor for step in steps),
        layers=tuple(layers),
        values=tuple(tuple(cells.get((layer, step)) for step in steps) for layer in layers),
        x_title=axis.title,
        value_title=f"{value_title(frame)}: {RATIO if ratio else MINUS}",
        low=-reach or -1.0,
        high=reach or 1.0,
        nonfinite=int((~finite).sum()),
        steps=tuple(steps),
        divisor=axis.divisor,
        note=joined(f"{words}.", measured(batch(frame))),
    )


def difference_figure(info: Heat, theme: Theme) -> go.Figure:
    """A diverging scale, the same on both sides: white where the runs agree."""
    figure = heat_figure(info, theme)
    if not info.empty:
        figure.data[0].update(colorscale="RdBu", reversescale=True, zmid=0)
        figure.data[0].colorbar.title.text = RATIO if info.value_title.endswith(RATIO) else MINUS
    return figure


DIFFERENCE = Figure(
    name="difference",
    title="Difference over layers and steps",
    caption="Look for where the colour begins: the layer and the step at which the runs part. 1 is twice the "
    "baseline's value, -1 half of it.",
    reads=("runs", "run", "baseline", "pins", "metric", "site", "stack", "phase", "x", "zoom"),
    query=difference_query,
    info=difference_info,
    draw=difference_figure,
    table=heat_table,
    alt=heat_alt,
)
