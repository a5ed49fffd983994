"""What depth does under each strategy: the stream, the gradients, and how much each block changes its input."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import plotly.graph_objects as go

from depthscope.store import Store

from ..theme import Theme
from ..view import View
from .depth_profile import depth_profile_info, profiles_query
from .frames import measured, moment
from .panels import Panels, panels_alt, panels_figure, panels_table
from .record import Figure

__all__ = ["STRATEGY_PROFILES", "moments", "strategy_profiles_figure", "strategy_profiles_info"]

SHOWN = (("variance", "resid_post"), ("param_grad_norm", "block"), ("block_influence", "block"))


def strategy_profiles_query(store: Store, view: View) -> pd.DataFrame:
    """The profiles of SHOWN below each other: the columns of `profile_query`."""
    return profiles_query(store, view, SHOWN)


def strategy_profiles_info(frame: pd.DataFrame, view: View) -> Panels:
    """One panel a metric that has values."""
    parts = [frame[(frame["metric"] == metric) & (frame["site"] == site)] for metric, site in SHOWN]
    absolute = replace(view, depth="layer")
    panels = [depth_profile_info(part, absolute) for part in parts]
    return Panels(tuple(panel for panel in panels if not panel.empty), moments([part for part in parts if len(part)]))


def moments(parts: Sequence[pd.DataFrame]) -> str:
    """What was measured on which batch at which step; one sentence where all parts agree."""
    said = [(str(part["title"].iloc[0]), moment(part)) for part in parts]
    different = list(dict.fromkeys(words for _, words in said))
    if len(different) <= 1:
        return measured("".join(different))
    return " ".join(f"{', '.join(title for title, own in said if own == words)}: {words}." for words in different)


def strategy_profiles_figure(info: Panels, theme: Theme) -> go.Figure:
    """Panels in a row."""
    return panels_figure(info, theme, "These runs have no profiles yet.")


STRATEGY_PROFILES = Figure(
    name="strategy_profiles",
    title="Depth profiles by strategy",
    caption="Look for variance that keeps growing, gradients that fade on one side, and deep blocks whose influence "
    "goes to zero.",
    reads=("runs", "stack", "phase", "step"),
    query=strategy_profiles_query,
    info=strategy_profiles_info,
    draw=strategy_profiles_figure,
    table=panels_table,
    alt=lambda info: panels_alt(info, "Depth profiles by strategy"),
)
