"""What skipping each block of one run costs, over training: when deep blocks begin to do work, or stop."""

import numpy as np
import pandas as pd

from depthscope.store import Store

from ..view import View
from .axes import horizontal, is_log, joined
from .clock import on_axis
from .frames import measured, numbers
from .heat import Heat, heat_alt, heat_figure, heat_table
from .held_out import is_signal
from .layer_cost import DELTA
from .record import Figure

__all__ = ["SKIP_OVER_TIME", "skip_over_time_info"]


def skip_over_time_query(store: Store, view: View) -> pd.DataFrame:
    """Interventions of the focus run that skip one block, at every evaluation, with `x`."""
    run = view.focus
    frame = store.interventions(runs=[run], action="skip", site="block")
    frame = frame[(frame["span"] == 1) & (frame["stack"] == view.stack)].dropna(subset=["layer"])
    return on_axis(store, view, frame)


def skip_over_time_info(frame: pd.DataFrame, view: View) -> Heat:
    """Cells with a signal; noise is left blank. Empty with fewer than two evaluations."""
    if frame["step"].nunique() < 2:
        return Heat()
    axis = horizontal(view.x, float(frame["x"].max()))
    columns = [numbers(frame[name]) for name in ("layer", "x", "delta", "delta_se")]
    shown = {
        (int(layer), x): delta
        for layer, x, delta, error in zip(*columns, strict=True)
        if not np.isfinite(delta) or is_signal(delta, error)
    }
    layers, places = sorted({int(n) for n in frame["layer"]}), sorted({float(x) for x in frame["x"]})
    finite = np.array([v for (layer, _), v in shown.items() if np.isfinite(v) and layer > 1])
    finite = finite if len(finite) else np.array([v for v in shown.values() if np.isfinite(v)])
    log = is_log(view.scale, [finite.tolist()])
    core = finite[finite > 0] if log else finite
    low, high = (float(core.min()), float(core.max())) if len(core) else (0.0, 1.0)
    blank = len(frame) - len(shown)
    told = f"{blank:,} blank {'cell is' if blank == 1 else 'cells are'} within two standard errors." if blank else ""
    return Heat(
        x=tuple(x / axis.divisor for x in places),
        layers=tuple(layers),
        values=tuple(tuple(shown.get((layer, x)) for x in places) for layer in layers),
        x_title=axis.title,
        value_title=DELTA,
        log=log,
        low=low,
        high=high if high > low else low + (abs(low) or 1.0),
        nonfinite=sum(not np.isfinite(v) for v in shown.values()),
        steps=tuple(int(frame.loc[frame["x"] == x, "step"].max()) for x in places),
        note=joined(measured("held-out batches"), told),
    )


SKIP_OVER_TIME = Figure(
    name="skip_over_time",
    title="Cost of skipping over training",
    caption="Look for blocks that gain or lose their use as training goes on: early in training most deep blocks cost "
    "nothing, whatever the strategy.",
    reads=("runs", "run", "stack", "x"),
    query=skip_over_time_query,
    info=skip_over_time_info,
    draw=heat_figure,
    table=heat_table,
    alt=heat_alt,
    one_run=True,
)
