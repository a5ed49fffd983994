"""The sections of what not every run has: which layers work, which weights are needed, how masks move."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pandas as pd

from ..figures import FIGURES
from ..figures.sparsity_frames import curve_words
from ..view import View
from .section import Place, Section

__all__ = ["FIGURES_HERE", "held_out"]

PER_RUN = ("layer_cost", "spans", "pruning_curve", "later_effects", "skip_over_time")
PER_RUN_OF_WEIGHTS = ("pruned_shares", "near_zero")

PRUNINGS = ("matrix:magnitude", "global:magnitude")
"""Ways of pruning a report shows: across strategies a ranking inside each matrix is the fair one."""

FIGURES_HERE = frozenset(
    {"skip_cost", "layer_measures", "effectiveness", "sparsity_curve", "sparsity_patterns", "dropping_points", "masks"}
    | {*PER_RUN, *PER_RUN_OF_WEIGHTS}
)
"""Figures and tables whose place is here, also where nothing was measured."""


DETAILED = 3
"""Runs that are shown one by one at most: the pictures of a run are many, and those of its seeds alike."""


ONE_BY_ONE = f"One by one: the first run of each strategy, up to {DETAILED}; --run NAME chooses."


def held_out(view: View, evaluated: pd.DataFrame, detailed: Sequence[str]) -> Iterator[Section]:
    """A section a table that `evaluated` (`evaluated_steps`) has rows of; none for runs that were never evaluated.

    The first DETAILED of the runs `detailed` are shown one by one too.
    """
    for name, section in (("interventions", effectiveness), ("sparsity", sparsity), ("masks", sparse_training)):
        measured = set(evaluated.loc[evaluated["table"] == name, "run"])
        runs = tuple(run for run in view.runs if run in measured)
        if runs:
            yield section(replace(view, runs=runs), [run for run in detailed if run in measured][:DETAILED])


def effectiveness(view: View, detailed: Sequence[str]) -> Section:
    return Section(
        "effectiveness",
        "Effectiveness of layers",
        "Held-out loss with blocks skipped, repeated, zeroed or removed together, at each run's newest evaluation. "
        "Differences within two standard errors are drawn hollow or grey, or are left out. "
        f"{ONE_BY_ONE}",
        (Place("skip_cost", view), Place("layer_measures", view), *each_run(view, PER_RUN, detailed)),
        (Place("effectiveness", view),),
    )


def sparsity(view: View, detailed: Sequence[str]) -> Section:
    title = FIGURES["sparsity_curve"].title
    curves = (Place("sparsity_curve", replace(view, pruning=key), f"{title}: {curve_words(key)}") for key in PRUNINGS)
    return Section(
        "sparsity",
        "Sparsity",
        "Held-out loss of one-shot pruned weights beside the same on untrained ones, at each run's newest evaluation. "
        f"Nothing is fine-tuned. {ONE_BY_ONE}",
        (*curves, Place("sparsity_patterns", view), *each_run(view, PER_RUN_OF_WEIGHTS, detailed)),
        (Place("dropping_points", view),),
    )


def sparse_training(view: View, detailed: Sequence[str]) -> Section:
    return Section(
        "masks",
        "Sparse training",
        "How many weights of masked runs are active, and how far the mask moves, at the sampled steps.",
        (Place("masks", view),),
    )


def each_run(view: View, names: Sequence[str], runs: Sequence[str]) -> Iterator[Place]:
    """The figures of one run for each of `runs`, grouped by figure."""
    for name in names:
        for run in runs:
            yield Place(name, replace(view, run=run), f"{FIGURES[name].title}: {run}")
