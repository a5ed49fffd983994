"""The stream at initialisation, measured, beside the laws that theory gives for the norm strategy.

Laws of the mean square E[x²] of the stream over layers l, at initialisation only; training departs from them.
- post, deepnorm: 1 at every depth, because every block ends in a norm.
- peri: ms(h_0) + 2l, because each of a block's two branches adds a normalized, uncorrelated output (arXiv 2502.02732).
- pre: a straight line (Xiong et al. 2020, arXiv 2002.04745); theory gives no slope for our initialisation: fitted.
- lns: ms(h_0) + a·H_l with the harmonic number H_l, because the increment of layer l is scaled by 1/l; a is fitted
  (arXiv 2502.05795).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from depthscope.store import Store

from ..theme import Style, Theme, run_styles, strategy_style
from ..view import View
from .axes import layer_axis
from .crowd import in_front
from .depth_profile import profiles_query, value_title
from .frames import measured, moment, numbers, rows_of, strategy_of
from .lines import Line, Lines, add_lines, lines_alt, lines_figure, lines_info, lines_table
from .record import Figure

__all__ = ["INIT_THEORY", "LAWS", "AtInit", "init_theory_info"]

Values = np.ndarray


def _ones(layers: Values, measured_values: Values) -> Values:
    return np.ones_like(layers)


def _peri(layers: Values, measured_values: Values) -> Values:
    return np.asarray(measured_values[0] + 2 * layers)


def _straight(layers: Values, measured_values: Values) -> Values:
    return _fitted(layers, layers, measured_values)


def _harmonic(layers: Values, measured_values: Values) -> Values:
    sums = np.array([sum(1 / k for k in range(1, int(n) + 1)) for n in layers])
    return _fitted(sums, layers, measured_values)


def _fitted(shape: Values, layers: Values, values: Values) -> Values:
    """values[0] + a · shape, with `a` by least squares."""
    rise = values - values[0]
    return np.asarray(values[0] + shape * float(shape @ rise) / float(shape @ shape))


LAWS: Mapping[str, tuple[str, Callable[[Values, Values], Values]]] = {
    "post": ("1 at every depth", _ones),
    "deepnorm": ("1 at every depth", _ones),
    "peri": ("layer 0 + 2 a block", _peri),
    "pre": ("straight line, fitted", _straight),
    "lns": ("harmonic, fitted", _harmonic),
}
"""Strategy -> words and values of its law, from the layers (0 first) and what was measured there."""


@dataclass(frozen=True)
class AtInit:
    """Measured lines, one a run, and the laws, one a strategy."""

    measured: Lines
    laws: tuple[Line, ...]

    @property
    def note(self) -> str:
        """What a careful reader must know."""
        return self.measured.note

    @property
    def empty(self) -> bool:
        """No run was sampled at step 0."""
        return self.measured.empty


def init_theory_query(store: Store, view: View) -> pd.DataFrame:
    """Columns of `profile_query`: the mean square of the stream of each run at step 0."""
    frame = profiles_query(store, replace(view, step=0), [("mean_square", "resid_post")])
    return frame[frame["step"] == 0]


def init_theory_info(frame: pd.DataFrame, view: View) -> AtInit:
    """One line a run, in the view's order, and the law of each strategy that has one, for its first run."""
    lines = [_line(run, rows) for run, rows in rows_of(frame, view.runs)]
    laws = list(_laws(lines))
    info = lines_info([*lines, *laws], "Layer", value_title(frame), view.scale, measured(moment(frame)), 1, view.bright)
    shown = in_front(laws, info.bright)[0]
    return AtInit(replace(info, lines=tuple(lines)), shown)


def _line(run: str, rows: pd.DataFrame) -> Line:
    rows = rows.sort_values("layer")
    return Line(run, strategy_of(rows), numbers(rows["layer"]), numbers(rows["value"]))


def _laws(lines: Sequence[Line]) -> list[Line]:
    told: dict[str, Line] = {}
    for line in lines:
        layers, values = np.asarray(line.x), np.asarray(line.y)
        if line.strategy in told or line.strategy not in LAWS or not np.isfinite(values).all() or layers[0] != 0:
            continue
        words, law = LAWS[line.strategy]
        label = f"theory, {line.strategy}: {words}"
        told[line.strategy] = Line(label, line.strategy, line.x, tuple(law(layers, values).tolist()))
    return list(told.values())


def init_theory_figure(info: AtInit, theme: Theme) -> go.Figure:
    """Measured lines with markers; laws dotted, in the colour of their strategy."""
    lines = info.measured
    styles = run_styles([(line.label, line.strategy) for line in lines.lines])
    figure = lines_figure(lines, styles, theme, markers=True, nothing="No run was sampled at step 0.")
    if not info.empty:
        dotted = {line.label: Style(strategy_style(line.strategy).colour, "dot", "circle") for line in info.laws}
        add_lines(figure, info.laws, dotted, markers=False)
        deepest = max(line.x[-1] for line in lines.lines)
        figure.update_xaxes(**layer_axis(deepest), unifiedhovertitle={"text": "layer %{x}"})
    return figure


INIT_THEORY = Figure(
    name="init_theory",
    title="At initialisation: measured and theory",
    caption="Look for a run that leaves the dotted line of its strategy before any training: its norms or its "
    "initialisation are not what the label says.",
    reads=("runs", "stack", "phase"),
    query=init_theory_query,
    info=init_theory_info,
    draw=init_theory_figure,
    table=lambda info: lines_table(replace(info.measured, lines=(*info.measured.lines, *info.laws)), "run"),
    alt=lambda info: lines_alt(
        info.measured, "Mean square of the stream of each run at step 0, with the law of theory"
    ),
)
