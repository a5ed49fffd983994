"""Steps that the figures' queries share: which batch to show, and what a metric is called."""

from collections.abc import Callable, Collection, Iterable

import numpy as np
import pandas as pd

from ..text import phase_words

__all__ = [
    "batch",
    "compared_phase",
    "described",
    "followed_phase",
    "measured",
    "moment",
    "numbers",
    "rows_of",
    "strategy_of",
]

Fetch = Callable[[str], pd.DataFrame]


def compared_phase(wish: str, runs: Collection[str], fetch: Fetch) -> pd.DataFrame:
    """`fetch(phase)` for a comparison of `runs`, with a column `phase`.

    Dropout, data order and schedule confound training batches, so 'auto' takes the probe batch where every run that
    has anything has it. A wish that no run can meet (gradients on the probe batch) gives the other batch.
    """
    if wish != "auto":
        return _first(wish, fetch)
    probe = fetch("probe")
    if set(runs) and set(probe["run"]) >= set(runs):
        return _marked(probe, "probe")
    train = fetch("train")
    fair = set(probe["run"]) >= set(train["run"]) and len(probe) > 0
    return _marked(probe, "probe") if fair else _marked(train, "train")


def followed_phase(wish: str, fetch: Fetch) -> pd.DataFrame:
    """`fetch(phase)` for one run over time: 'auto' takes training batches, which are sampled most often."""
    return _first("train" if wish == "auto" else wish, fetch)


def _first(wish: str, fetch: Fetch) -> pd.DataFrame:
    frame = fetch(wish)
    if len(frame):
        return _marked(frame, wish)
    other = "train" if wish == "probe" else "probe"
    return _marked(fetch(other), other)


def _marked(frame: pd.DataFrame, phase: str) -> pd.DataFrame:
    return frame.assign(phase=phase)


def described(frame: pd.DataFrame, metric: str, metrics: pd.DataFrame) -> pd.DataFrame:
    """`frame` with `metric`, `title` and `unit` from the table `metrics`; a metric it lacks is called by its name."""
    known = metrics[metrics["name"] == metric]
    title = str(known["title"].iloc[0]) if len(known) else metric
    unit = known["unit"].iloc[0] if len(known) else None
    return frame.assign(metric=metric, title=title, unit=unit or "")


def batch(frame: pd.DataFrame) -> str:
    """Which batch the rows were measured on: 'training batches'; '' without rows."""
    return " and ".join(phase_words(phase) for phase in sorted(set(frame["phase"]))) if len(frame) else ""


def moment(frame: pd.DataFrame) -> str:
    """The batch and the step of rows that belong to one moment: 'the held-out probe batch at step 40', or ''."""
    if frame.empty:
        return ""
    first, last = int(frame["step"].min()), int(frame["step"].max())
    when = f"step {first:,}" if first == last else f"steps {first:,} to {last:,}, which differ between runs"
    return f"{batch(frame)} at {when}"


def measured(words: str) -> str:
    """A sentence of `batch` or `moment`."""
    return f"Measured on {words}." if words else ""


def rows_of(frame: pd.DataFrame, runs: Iterable[str]) -> list[tuple[str, pd.DataFrame]]:
    """The rows of each run that has any, in the order of `runs`."""
    groups = dict(iter(frame.groupby("run", sort=False))) if len(frame) else {}
    return [(run, groups[run]) for run in runs if run in groups]


def strategy_of(rows: pd.DataFrame) -> str:
    """The strategy of a run's rows; a run without one is 'unknown'."""
    value = rows["strategy"].iloc[0]
    return value if isinstance(value, str) and value else "unknown"


def numbers(column: pd.Series) -> tuple[float, ...]:
    """A column as plain floats; a missing value is NaN."""
    return tuple(column.to_numpy(dtype=np.float64, na_value=np.nan).tolist())
