"""Which channels and tokens carry the largest activations, and how steadily: the tables of the massive page."""

from collections.abc import Mapping

import pandas as pd

from depthscope.store import Store

from .view import View

__all__ = ["SHOWN_PLACES", "TITLES", "persistence", "places_query"]

SHOWN_PLACES = 6
"""Places listed: massive activations sit in a handful of channels and tokens (arXiv 2402.17762)."""

TITLES: Mapping[str, str] = {"channel": "Channel", "token": "Token"}

_PLACES = """
    WITH found AS (
        SELECT step, layer, abs(value) AS size, token, channel FROM massive
        WHERE run = $run AND phase = $phase AND stack = $stack AND layer > 0
    )
    SELECT CASE WHEN grouping(channel) = 0 THEN 'channel' ELSE 'token' END AS kind,
        CASE WHEN grouping(channel) = 0 THEN channel ELSE token END AS place, count(DISTINCT step) AS steps,
        (SELECT count(DISTINCT step) FROM found) AS sampled, min(layer) AS first_layer, max(layer) AS last_layer,
        max(size) FILTER (NOT isnan(size)) AS largest, max(step) AS last_step
    FROM found GROUP BY GROUPING SETS ((channel), (token))
"""


def places_query(store: Store, view: View) -> pd.DataFrame:
    """One row a channel and one a token position among the three largest activations of any block of the focus run.

    Columns kind ('channel' or 'token'), place, steps (at which it is among them), sampled (steps there are),
    first_layer, last_layer, largest, last_step, phase. 'auto' takes the probe batch where the run has one: its tokens
    stay the same from step to step.
    """
    frame = pd.DataFrame()
    for phase in ("probe", "train") if view.phase == "auto" else (view.phase,):
        asked = {"run": view.focus, "phase": phase, "stack": view.stack}
        frame = store.sql(_PLACES, asked).assign(phase=phase)
        if len(frame):
            break
    return frame


def persistence(places: pd.DataFrame, kind: str) -> pd.DataFrame:
    """The SHOWN_PLACES steadiest places of a kind, steadiest first, then largest first."""
    own = places[(places["kind"] == kind) & places["place"].notna()]
    steadiest = own.sort_values(["steps", "largest"], ascending=False, kind="stable").head(SHOWN_PLACES)
    layers = zip(steadiest["first_layer"].astype(int), steadiest["last_layer"].astype(int), strict=True)
    return pd.DataFrame(
        {
            TITLES[kind]: steadiest["place"].astype("int64"),
            "Share of steps": (100 * steadiest["steps"] / steadiest["sampled"]).astype("float64"),
            "Layers": [str(first) if first == last else f"{first}–{last}" for first, last in layers],
            "Largest": steadiest["largest"].astype("float64"),
            "Last at step": steadiest["last_step"].astype("int64"),
        }
    ).reset_index(drop=True)
