"""Small multiples: the same runs in several panels, one quantity each, under one legend."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..text import plotly as safe
from ..theme import Theme, run_styles
from .axes import joined, layer_axis
from .blank import blank_figure
from .crowd import add_context
from .line import Line
from .lines import Lines, add_lines, add_nonfinite, lines_axis, lines_table

__all__ = ["Panels", "over_depth", "over_training", "panels_alt", "panels_figure", "panels_table"]


@dataclass(frozen=True)
class Panels:
    """The panels that have something to show, left to right."""

    panels: tuple[Lines, ...] = ()
    about: str = ""
    """What was measured, as sentences."""

    @property
    def note(self) -> str:
        """What a careful reader must know, with the panels it holds for."""
        told: dict[str, list[str]] = {}
        for panel in self.panels:
            told.setdefault(panel.outside, []).append(panel.y_title.partition(" (")[0])
        crowd = next((panel.crowd for panel in self.panels if panel.crowd), "")
        return joined(self.about, crowd, *(f"{'; '.join(titles)}: {words}" for words, titles in told.items() if words))

    @property
    def divisor(self) -> float:
        """What positions are divided by, where they count training."""
        return next((panel.divisor for panel in self.panels), 1.0)

    @property
    def empty(self) -> bool:
        """No panel has a line."""
        return not self.panels


Across = Callable[[Lines], dict[str, object]]


def over_depth(panel: Lines) -> dict[str, object]:
    """Plotly's settings of the horizontal axis of a panel over layers."""
    deepest = max(line.x[-1] for line in panel.lines)
    return {**layer_axis(deepest), "unifiedhovertitle": {"text": "layer %{x}"}}


def over_training(panel: Lines) -> dict[str, object]:
    """The same of a panel over steps, tokens or time: a zoom into one is a zoom into all."""
    return {"matches": "x"}


def panels_figure(info: Panels, theme: Theme, nothing: str, across: Across = over_depth) -> go.Figure:
    """A row of panels; a run has one legend entry that switches it everywhere."""
    if info.empty:
        return blank_figure(nothing, theme)
    figure = make_subplots(rows=1, cols=len(info.panels), horizontal_spacing=0.13)
    styles = run_styles(_runs(info))
    named: set[str] = set()
    marked = False
    for number, panel in enumerate(info.panels, start=1):
        add_context(figure, panel.back, axis=number, legend=number == 1)
        new, old = _entries(panel, named)
        add_lines(figure, new, styles, markers=True, axis=number)
        add_lines(figure, old, styles, markers=True, axis=number, legend=False)
        named |= {_entry(line, panel) for line in new}
        add_nonfinite(figure, panel.lines, legend=not marked, axis=number)
        marked = marked or any(line.nonfinite for line in panel.lines)
        figure.update_yaxes(
            title_text=_upright(safe(panel.y_title, 80)),
            **lines_axis(panel),
            col=number,
        )
        figure.update_xaxes(
            title_text=safe(panel.x_title),
            **across(panel),
            col=number,
        )
    pointed = "closest" if any(panel.back for panel in info.panels) else "x unified"
    figure.update_layout(template=theme.template, height=380, hovermode=pointed)
    return figure


def _upright(title: str) -> str:
    """The unit on a line of its own where the title is longer than a panel is high."""
    return title.replace(" (", "<br>(", 1) if len(title) > 44 else title


def _entries(panel: Lines, named: Collection[str]) -> tuple[list[Line], list[Line]]:
    """The lines that get a legend entry, the first of each that has none yet; and the others."""
    first = {_entry(line, panel): line for line in reversed(panel.front)}
    new = [line for entry, line in first.items() if entry not in named][::-1]
    return new, [line for line in panel.front if line not in new]


def _entry(line: Line, panel: Lines) -> str:
    """What a legend entry stands for: a run, or where there are many all runs of a strategy."""
    return line.strategy if panel.back else line.label


def _runs(info: Panels) -> list[tuple[str, str]]:
    return list(dict.fromkeys((line.label, line.strategy) for panel in info.panels for line in panel.lines))


def panels_table(info: Panels) -> pd.DataFrame:
    """Run, strategy, layer (or place in the training) and one column a panel."""
    merged: pd.DataFrame | None = None
    for panel in info.panels:
        frame = lines_table(panel, "run").iloc[:, :4]
        merged = frame if merged is None else merged.merge(frame, how="outer", on=list(frame.columns[:3]), sort=False)
    return pd.DataFrame(columns=["run", "strategy", "Layer"]) if merged is None else merged


def panels_alt(info: Panels, what: str, against: str = "depth") -> str:
    """One sentence for readers who cannot see the picture."""
    if info.empty:
        return f"{what}: nothing to show yet."
    return (
        f"{what}, {len(_runs(info))} runs: {'; '.join(panel.y_title for panel in info.panels)}, each against {against}."
    )
