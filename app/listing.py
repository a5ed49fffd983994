"""The table of runs as people read it: newest first, states as words, progress where the run told its length."""

import json
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from .text import plain
from .theme import NONFINITE, strategy_style, tint

__all__ = ["coloured", "found", "length_of", "listing", "strategy_cell", "told_by_all"]

STATE_COLOURS = {"running": "#7A86B8", "stalled": "#B8860B", "interrupted": "#B8860B", "failed": NONFINITE}
"""For the states that ask for attention; a finished run stays plain."""

VERDICTS = {"critical": "⛔ critical", "warning": "⚠ warning", "info": "● notes", "ok": "✓ ok"}
"""The worst finding of a run: a sign and a word, never the colour alone."""

VERDICT_COLOURS = {"⛔ critical": NONFINITE, "⚠ warning": "#B8860B"}

SAME = ("Progress", "Layers", "Seed")
LITTLE = ("Tokens", "Parameters", "Group", "Started (UTC)")

LENGTHS = ("steps", "max_steps", "total_steps", "num_steps")
"""Names under which a run's config may say how many steps it is going to take."""


def listing(
    runs: pd.DataFrame,
    verdicts: Mapping[str, str] | None = None,
    losses: Mapping[str, Sequence[float]] | None = None,
    pins: Collection[str] = (),
) -> pd.DataFrame:
    """Rows of `run_table`, oldest first, as the table on screen, newest first, without columns that hold nothing.

    `verdicts`: run -> its worst finding; `losses`: run -> a few losses to draw small. Runs they lack have neither.
    `pins`: runs with a pin.
    """
    verdicts, losses = verdicts or {}, losses or {}
    frame = runs.iloc[::-1]
    table = pd.DataFrame(
        {
            "Pinned": ["📌" if run in pins else None for run in frame["run"]],
            "State": [plain(status) for status in frame["status"]],
            "Verdict": [VERDICTS.get(verdicts.get(run, "")) for run in frame["run"]],
            "Strategy": [plain(s) if isinstance(s, str) and s else "unknown" for s in frame["strategy"]],
            "Run": [plain(run) for run in frame["run"]],
            "Layers": frame["n_layers"].astype("Int64").to_numpy(),
            "Steps": frame["last_step"].astype("Int64").to_numpy(),
            "Progress": [
                _progress(step, config) for step, config in zip(frame["last_step"], frame["config"], strict=True)
            ],
            "Last loss": frame["last_loss"].to_numpy(),
            "Loss": [list(losses[run]) if run in losses else None for run in frame["run"]],
            "Lowest loss": frame["min_loss"].to_numpy(),
            "NaN or Inf": frame["nonfinite"].astype("Int64").to_numpy(),
            "Tokens": frame["tokens"].astype("Int64").to_numpy(),
            "Parameters": frame["n_params"].astype("Int64").to_numpy(),
            "Seed": frame["seed"].astype("Int64").to_numpy(),
            "Group": [plain(name) if isinstance(name, str) and name else None for name in frame["group_name"]],
            "Tags": [[plain(tag) for tag in _tags(tags)] or None for tags in frame["tags"]],
            "Started (UTC)": frame["started_at"].to_numpy(),
        }
    )
    return table.dropna(axis="columns", how="all").reset_index(drop=True)


def told_by_all(table: pd.DataFrame) -> tuple[str, ...]:
    """Columns that say the same of every run, or little: a page hides them at first."""
    same = [name for name in SAME if name in table and table[name].nunique(dropna=False) == 1]
    return (*same, *(name for name in LITTLE if name in table)) if len(table) > 1 else LITTLE


def coloured(table: pd.DataFrame) -> Styler:
    """The listing with states and strategies in their colours."""
    style = table.style.map(strategy_cell, subset=["Strategy"])
    words = {**STATE_COLOURS, **VERDICT_COLOURS}
    columns: list[Hashable] = [name for name in ("State", "Verdict") if name in table]
    return style.map(lambda word: _cell(words[word]) if word in words else "", subset=columns)


def strategy_cell(strategy: object) -> str:
    """CSS of a cell that names a strategy."""
    return _cell(strategy_style(strategy).colour)


def found(runs: pd.DataFrame, words: str) -> pd.DataFrame:
    """The rows whose name, strategy, group or tags hold every one of `words`, whatever their case."""
    texts = [
        " ".join(str(part) for part in (run, strategy, group, *_tags(tags)) if isinstance(part, str)).casefold()
        for run, strategy, group, tags in zip(
            runs["run"], runs["strategy"], runs["group_name"], runs["tags"], strict=True
        )
    ]
    wanted = words.casefold().split()
    return runs[[all(word in text for word in wanted) for text in texts]]


def _tags(tags: object) -> list[str]:
    return [str(tag) for tag in tags] if isinstance(tags, (list, tuple, np.ndarray)) else []


def _cell(colour: str) -> str:
    return f"background-color: {tint(colour, 0.28)}; font-weight: 600"


def _progress(last_step: Any, config: object) -> float:
    """Percent of the planned steps that are done, 0 to 100; NaN when the config tells no length."""
    length = length_of(config)
    if length is None or pd.isna(last_step):
        return float("nan")
    return float(np.clip(100 * (int(last_step) + 1) / length, 0.0, 100.0))


def length_of(config: object) -> int | None:
    """How many steps a run's configuration says it is going to take; None where it does not say."""
    try:
        told = json.loads(config) if isinstance(config, str) else config
    except json.JSONDecodeError:
        return None
    if not isinstance(told, Mapping):
        return None
    found = (told.get(name) for name in LENGTHS)
    return next((n for n in found if isinstance(n, int) and not isinstance(n, bool) and n > 0), None)
