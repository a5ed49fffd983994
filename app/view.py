"""What the reader is looking at, as data: it travels between the widgets, the URL, the figures and the report."""

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = ["DEPTHS", "PHASE_WISHES", "SCALES", "X_AXES", "View", "from_params", "to_params"]

X_AXES = {"step": "steps", "tokens": "tokens", "wall_time": "time"}
PHASE_WISHES = {"auto": "auto", "probe": "probe", "train": "train"}
DEPTHS = {"layer": "layer", "relative": "relative"}
SCALES = {"auto": "auto", "log": "log", "linear": "linear"}


@dataclass(frozen=True)
class View:
    """One view of a store. Every field has a default, and the defaults are what the URL leaves out."""

    runs: tuple[str, ...] = ()
    """The runs on screen, in this order."""
    run: str = ""
    """The one run of a figure that shows only one; empty: the first of `runs`."""
    metric: str = "variance"
    site: str = "resid_post"
    stack: str = "main"
    phase: str = "auto"
    """'train', 'probe', or 'auto': the probe batch where every run has it, else training batches."""
    layers: tuple[int, ...] = ()
    """Layers to follow over time; empty: a spread over the depth."""
    step: int | None = None
    """Show each run at its newest sample up to this step; None: the newest there is."""
    x: str = "step"
    zoom: tuple[float, ...] = ()
    """The stretch of `x` that figures over training show, from and to, in its units; empty: all of it."""
    scale: str = "auto"
    """Axis of the values: 'log', 'linear', or 'auto': log where they span more than 1.5 decades."""
    search: str = ""
    """Words that the listed runs must have in their name, strategy, group or tags."""
    baseline: str = ""
    """The run that others are compared with; empty: the first of `runs`."""
    depth: str = "layer"
    """Axis of the depth profile: 'layer', or 'relative' to each run's own depth."""

    pruning: str = "matrix:magnitude"
    """How weights were pruned: scope and ranking of a sparsity curve."""
    level: int | None = None
    """Percent of the weights pruned, where shares of matrices are shown; None: about half of them."""

    pins: tuple[str, ...] = ()
    """Runs that stay on screen and on top of the table."""
    group: str = "strategy"
    """What runs are grouped by: a column of `run_table`, or 'config.KEY'."""
    sections: tuple[str, ...] = ()
    """Sections of a report; empty: all."""
    bright: tuple[str, ...] = ()
    """Strategies in colour where there are too many for all of them; empty: the first few."""

    @property
    def focus(self) -> str:
        """The run that a single-run figure shows; '' when there is none."""
        return self.run if self.run in self.runs else next(iter(self.runs), "")

    @property
    def stretch(self) -> tuple[float, float] | None:
        """`zoom` as queries take it."""
        return (self.zoom[0], self.zoom[1]) if self.zoom else None

    def keep(self, names: Iterable[str]) -> "View":
        """This view with every field outside `names` at its default: what a cached query may depend on."""
        return View(**{name: getattr(self, name) for name in names})


_CHOICES = {"x": X_AXES, "phase": PHASE_WISHES, "scale": SCALES, "depth": DEPTHS}


def to_params(view: View) -> dict[str, list[str]]:
    """The fields that differ from the defaults, as URL parameters."""
    params = {}
    for field in dataclasses.fields(View):
        value = getattr(view, field.name)
        if value != field.default and value is not None:
            params[field.name] = [_written(v) for v in value] if isinstance(value, tuple) else [str(value)]
    return params


def _written(value: object) -> str:
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def from_params(params: Mapping[str, list[str]]) -> View:
    """The view of a URL. A parameter that is unknown or unreadable is left at its default: links outlive versions."""
    fields: dict[str, object] = {}
    for name, values in params.items():
        reader = _READERS.get(name)
        if reader is None or not values:
            continue
        value = reader(name, values)
        if value is not None:
            fields[name] = value
    return View(**fields)  # type: ignore[arg-type]


def _names(_name: str, values: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _text(name: str, values: list[str]) -> str | None:
    allowed = _CHOICES.get(name)
    return values[-1] if allowed is None or values[-1] in allowed else None


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _number(_name: str, values: list[str]) -> int | None:
    return _whole(values[-1])


def _numbers(_name: str, values: list[str]) -> tuple[int, ...]:
    return tuple(n for n in map(_whole, dict.fromkeys(values)) if n is not None)


def _stretch(_name: str, values: list[str]) -> tuple[float, ...] | None:
    ends = tuple(float(text) for text in values if _DECIMAL.fullmatch(text))
    return ends if len(ends) == len(values) == 2 and -math.inf < ends[0] < ends[1] < math.inf else None


_DECIMAL = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?(e[-+]?[0-9]{1,3})?", re.ASCII)

_READERS = {
    "runs": _names,
    "run": _text,
    "baseline": _text,
    "search": _text,
    "metric": _text,
    "site": _text,
    "stack": _text,
    "phase": _text,
    "layers": _numbers,
    "step": _number,
    "x": _text,
    "zoom": _stretch,
    "scale": _text,
    "depth": _text,
    "pruning": _text,
    "level": _number,
    "sections": _names,
    "bright": _names,
    "pins": _names,
    "group": _text,
}
