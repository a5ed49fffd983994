"""What depth does under each strategy: the stream, the gradients, and how much each block changes its input."""

import pandas as pd
import plotly.graph_objects as go

from depthscope.store import Store

from ..text import phase_words
from ..theme import Theme
from ..view import View
from .axes import joined
from .depth_profile import depth_profile_info, profiles_query, step_note
from .panels import Panels, panels_alt, panels_figure, panels_table
from .record import Figure

__all__ = ["STRATEGY_PROFILES", "strategy_profiles_figure", "strategy_profiles_info"]

SHOWN = (("variance", "resid_post"), ("param_grad_norm", "block"), ("block_influence", "block"))


def strategy_profiles_query(store: Store, view: View) -> pd.DataFrame:
    """The profiles of SHOWN below each other: the columns of `profile_query`."""
    return profiles_query(store, view, SHOWN)


def strategy_profiles_info(frame: pd.DataFrame, view: View) -> Panels:
    """One panel a metric that has values."""
    parts = [frame[(frame["metric"] == metric) & (frame["site"] == site)] for metric, site in SHOWN]
    panels = [depth_profile_info(part, view) for part in parts]
    note = joined(_batches([p for p in parts if len(p)]), step_note(frame))
    return Panels(tuple(panel for panel in panels if not panel.empty), note)


def _batches(parts: list[pd.DataFrame]) -> str:
    """Which panel was measured on which batch; one sentence where they agree."""
    said = [(str(part["title"].iloc[0]), phase_words(part["phase"].iloc[0])) for part in parts]
    batches = list(dict.fromkeys(phase for _, phase in said))
    if len(batches) == 1:
        return f"Measured on {batches[0]}."
    return " ".join(f"{', '.join(title for title, phase in said if phase == batch)}: {batch}." for batch in batches)


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
