"""What makes a comparison of runs unfair, told in sentences under it."""

import pandas as pd

from .collect import flat

__all__ = ["comparison_caveats"]


def comparison_caveats(runs: pd.DataFrame) -> tuple[str, ...]:
    """Sentences about the compared rows of `run_table`; empty when nothing stands in the way."""
    told = []
    if _differ(runs["data_id"]):
        told.append("The runs were trained on different data (data_id differs), so their losses do not compare.")
    if _differ(runs["tokens"]):
        low, high = int(runs["tokens"].min()), int(runs["tokens"].max())
        told.append(f"The runs have seen different numbers of tokens ({low:,} to {high:,}).")
    elif _differ(runs["last_step"]):
        low, high = int(runs["last_step"].min()), int(runs["last_step"].max())
        told.append(f"The runs have trained for different numbers of steps ({low:,} to {high:,}).")
    if _differ(runs["seed"]):
        told.append("The runs have different seeds: a difference smaller than the spread over seeds means nothing.")
    if _differ(rates := learning_rates(runs)):
        named = ", ".join(sorted(set(rates.dropna())))
        told.append(f"The runs have different learning rates ({named}): each strategy has its own best one.")
    if _differ(runs["n_layers"]):
        told.append("The runs have different depths.")
    return tuple(told)


def learning_rates(runs: pd.DataFrame) -> pd.Series:
    """The learning rate each run's configuration names, as text; missing where it names none."""
    config = runs["config"] if "config" in runs else pd.Series([None] * len(runs))
    return pd.Series([next(map(str, _named(flat(text))), None) for text in config], dtype="object")


def _named(config: dict[str, str]) -> list[str]:
    wanted = ("lr", "learning_rate", "max_lr", "peak_lr")
    found = [
        (wanted.index(last), value)
        for key, value in config.items()
        if (last := key.rpartition(".")[2].lower()) in wanted
    ]
    return [value for _, value in sorted(found)]


def _differ(column: pd.Series) -> bool:
    return bool(column.dropna().nunique() > 1)
