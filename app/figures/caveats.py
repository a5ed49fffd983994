"""What makes a comparison of runs unfair, told in sentences under it."""

import pandas as pd

__all__ = ["comparison_caveats"]


def comparison_caveats(runs: pd.DataFrame) -> tuple[str, ...]:
    """Sentences about the compared rows of `run_table`; empty when nothing stands in the way."""
    told = []
    if _differ(runs["data_id"]):
        told.append("The runs were trained on different data (data_id differs), so their losses do not compare.")
    if _differ(runs["tokens"]):
        low, high = int(runs["tokens"].min()), int(runs["tokens"].max())
        told.append(f"The runs have seen different numbers of tokens ({low:,} to {high:,}).")
    if _differ(runs["seed"]):
        told.append("The runs have different seeds: a difference smaller than the spread over seeds means nothing.")
    if _differ(runs["n_layers"]):
        told.append("The runs have different depths.")
    return tuple(told)


def _differ(column: pd.Series) -> bool:
    return bool(column.dropna().nunique() > 1)
