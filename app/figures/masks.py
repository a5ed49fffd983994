"""Sparse training: how many weights are active and how far their mask moves, over training.

The flip rate is that of Adaptive Sparse Trainer (arXiv 2407.20584); the running mean of the active parameters takes the
place of the parameter count in the scaling law of sparse pre-training (arXiv 2501.12486).
"""

import pandas as pd
import plotly.graph_objects as go

from depthscope.store import Store, average_parameters, series

from ..theme import Theme
from ..view import View
from .frames import rows_of
from .loss import series_info
from .panels import Panels, over_training, panels_alt, panels_figure, panels_table
from .record import Figure

__all__ = ["MASKS", "masks_info"]

SHOWN = {
    "mask_density": "Active weights (%)",
    "mask_flip_rate": "Mask flipped since the last sample (%)",
    "mask_flip_rate_initial": "Mask flipped since the first one (%)",
}
"""Scalar of a masked run -> title of its panel."""


def masks_query(store: Store, view: View) -> pd.DataFrame:
    """Columns of `series` with `scalar`, and `average`: the run's mean active parameters over training, or NaN."""
    parts = [series(store, view.runs, name, x=view.x, within=view.stretch).assign(scalar=name) for name in SHOWN]
    frame = pd.concat(parts)
    means = average_parameters(store.scalars(list(view.runs), "active_parameters"))
    newest = means.sort_values("step").groupby("run")["average"].last()
    return frame.assign(average=frame["run"].map(newest).astype("float64"))


def masks_info(frame: pd.DataFrame, view: View) -> Panels:
    """One panel a scalar that some run has, in percent."""
    parts = [(frame[frame["scalar"] == name], title) for name, title in SHOWN.items()]
    panels = [series_info(_percent(part), view, title) for part, title in parts if len(part)]
    return Panels(tuple(panels), _averages(frame, view))


def _percent(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(**{name: 100 * frame[name] for name in ("low", "high", "last")})


def _averages(frame: pd.DataFrame, view: View) -> str:
    """'Active parameters, mean over training: a 1,234; b 2,345.'"""
    means = [(run, rows["average"].iloc[0]) for run, rows in rows_of(frame, view.runs)]
    told = "; ".join(f"{run} {mean:,.0f}" for run, mean in means if pd.notna(mean))
    return f"Active parameters, mean over training: {told}." if told else ""


def masks_figure(info: Panels, theme: Theme) -> go.Figure:
    """Panels in a row."""
    return panels_figure(info, theme, "No mask was seen: these runs were trained dense.", over_training)


MASKS = Figure(
    name="masks",
    title="Masks over training",
    caption="Look for the step at which the mask comes to rest: a flip rate near zero means that training no longer "
    "changes which weights there are, one that stays high that it has not settled.",
    reads=("runs", "x", "zoom"),
    query=masks_query,
    info=masks_info,
    draw=masks_figure,
    table=panels_table,
    alt=lambda info: panels_alt(info, "Masks of sparse training", "training"),
)
