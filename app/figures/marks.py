"""Phases of a run (`probe.event`) and the steps where it was resumed, as upright lines under a figure over training."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from depthscope.store import Store

from ..text import plotly as safe
from ..view import View
from .frames import numbers

__all__ = ["Mark", "add_marks", "marks_note", "marks_of", "with_marks"]

_KINDS = ("phase", "resume")
_GREY = "#7F7F7F"
_MOST_LINES = 100  # more of them are a grey wall, and seconds of drawing
_MOST_LABELS = 12  # further lines are drawn without one


@dataclass(frozen=True)
class Mark:
    """Something that the loop said of a run at `x`."""

    x: float
    run: str
    text: str


def with_marks(store: Store, view: View, frame: pd.DataFrame) -> pd.DataFrame:
    """A frame of `series` with a column `mark`: what happened in the bucket of steps that a row stands for."""
    events = store.events(runs=view.runs)
    events = events[events["kind"].isin(_KINDS)].sort_values("step")
    if events.empty or frame.empty:
        return frame.assign(mark="")
    if view.zoom:  # what came before has no place in the picture
        events = events[events["step"] > events["run"].map(frame.groupby("run")["step"].min())]
    rows = frame[["run", "step"]].reset_index(drop=True).reset_index().sort_values("step")
    placed = pd.merge_asof(events, rows, on="step", by="run", direction="forward").dropna(subset="index")
    texts = placed.groupby(placed["index"].astype(int))["text"].agg("; ".join).to_dict()
    return frame.assign(mark=[texts.get(place, "") for place in rows["index"].sort_values()])


def marks_of(frame: pd.DataFrame, divisor: float) -> tuple[Mark, ...]:
    """The marks of a frame, from left to right; none where it has no such column."""
    if "mark" not in frame:
        return ()
    marked = frame[frame["mark"] != ""].sort_values(["x", "run"])
    return tuple(
        Mark(x / divisor, str(run), str(mark))
        for x, run, mark in zip(numbers(marked["x"]), marked["run"], marked["mark"], strict=True)
    )


def add_marks(figure: go.Figure, marks: Sequence[Mark]) -> None:
    """One dotted line a mark, labelled with its run where runs differ; evenly picked ones where there are too many."""
    several = len({mark.run for mark in marks}) > 1
    drawn = marks[:: math.ceil(len(marks) / _MOST_LINES)] if marks else ()
    figure.update_layout(
        shapes=[_line(mark) for mark in drawn],
        annotations=[_label(mark, several) for mark in drawn[:_MOST_LABELS]],
    )


def marks_note(marks: Sequence[Mark]) -> str:
    """A sentence where there are more marks than lines; '' otherwise."""
    every = math.ceil(len(marks) / _MOST_LINES)
    return f"One in {every:,} of {len(marks):,} marks of phases and resumes is drawn." if every > 1 else ""


def _line(mark: Mark) -> dict[str, object]:
    grey = {"color": _GREY, "width": 1, "dash": "dot"}
    return {"type": "line", "x0": mark.x, "x1": mark.x, "y0": 0, "y1": 1, "yref": "y domain", "line": grey,
            "layer": "below"}  # fmt: skip


def _label(mark: Mark, several: bool) -> dict[str, object]:
    text = f"{mark.run}: {mark.text}" if several else mark.text
    return {"x": mark.x, "y": 1, "yref": "paper", "yanchor": "top", "xanchor": "left", "textangle": 90,
            "showarrow": False, "text": safe(text, 40), "font": {"size": 10}}  # fmt: skip
