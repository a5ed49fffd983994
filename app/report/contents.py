"""What stands in a report, in which order: figures by name and the view each is drawn with."""

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from ..figures import FIGURES, TABLES
from ..view import View
from .held_out import FIGURES_HERE, held_out
from .section import Place, Section

__all__ = ["Place", "Section", "rank", "sections"]


# Where a metric is looked at first. A metric at none of these is shown at the first site it has.
SITES = ("resid_post", "block", "attn_out", "mlp_out")

# The metrics most asked about come first; others follow by name.
ORDER = (
    "variance",
    "variance_median",
    "mean_square",
    "param_grad_norm",
    "act_grad_norm",
    "update_ratio",
    "block_influence",
    "angular_distance",
    "angular_distance_last",
    "branch_ratio",
    "branch_cosine",
    "kurtosis",
    "abs_max",
    "median_abs",
    "param_norm",
    "nonfinite",
)

# Over depth and time, one picture a run each.
HEATMAPS = (("variance", "resid_post"), ("param_grad_norm", "block"))


def sections(
    runs: tuple[str, ...], sites: pd.DataFrame, evaluated: pd.DataFrame, detailed: tuple[str, ...]
) -> tuple[Section, ...]:
    """The sections of a report on `runs`; `sites` their `metric_sites`, `evaluated` their `evaluated_steps`;
    `detailed`: runs whose held-out measurements are shown one by one, the first few."""
    view = View(runs=runs)
    placed = (
        Section(
            "loss",
            "Loss",
            "Training loss against the optimizer step.",
            (Place("loss", view),),
        ),
        Section(
            "comparison",
            "Strategies compared",
            "The few numbers and profiles that tell norm strategies apart, at the newest sampled step of each run.",
            (Place("strategy_profiles", view), Place("init_theory", view)),
            (Place("summary", view),),
        ),
        Section(
            "profiles",
            "Depth profiles",
            "Every metric against depth at each run's newest sampled step. Layer 0 is the stream that enters block 1.",
            tuple(profiles(view, sites)),
        ),
        Section(
            "heatmaps",
            "Layers and steps",
            "When something starts, and at which depth. One picture a run.",
            tuple(heatmaps(view, sites)),
        ),
        Section(
            "massive",
            "Massive activations",
            "The largest activations of each block output beside the median, at the newest sampled step of each run.",
            (Place("massive", view),),
        ),
        *held_out(view, evaluated, detailed),
    )
    return placed + tuple(rest(view, placed))


def profiles(view: View, sites: pd.DataFrame) -> Iterator[Place]:
    """One depth profile a stack and metric, 'main' first, metrics in ORDER."""
    layered = sites[~sites["site"].isin(["embed", "final_norm", "head"])]
    pairs = sorted(
        set(zip(layered["stack"], layered["metric"], strict=True)),
        key=lambda pair: (pair[0] != "main", pair[0], rank(pair[1])),
    )
    for stack, metric in pairs:
        rows = layered[(layered["stack"] == stack) & (layered["metric"] == metric)]
        there = list(dict.fromkeys(rows["site"]))
        site = next((site for site in SITES if site in there), there[0])
        named = "" if stack == "main" else f" ({stack})"
        yield Place(
            "depth_profile",
            replace(view, metric=str(metric), site=str(site), stack=str(stack)),
            f"{rows['title'].iloc[0] or metric}{named}",
        )


def rank(metric: str) -> tuple[int, str]:
    """Sorts metrics: those of ORDER first."""
    return ORDER.index(metric) if metric in ORDER else len(ORDER), metric


def heatmaps(view: View, sites: pd.DataFrame) -> Iterator[Place]:
    """HEATMAPS that have values, grouped by run."""
    have = sites[sites["stack"] == "main"].drop_duplicates(["metric", "site"]).set_index(["metric", "site"])["title"]
    for run in view.runs:
        for metric, site in HEATMAPS:
            if (metric, site) in have.index:
                title = have[(metric, site)] or metric
                yield Place("layer_step", replace(view, run=run, metric=metric, site=site), f"{run}: {title}")


def rest(view: View, placed: tuple[Section, ...]) -> Iterator[Section]:
    """Figures and tables that no section above names: one that is added to FIGURES is in the report by itself."""
    named = (
        {place.name for section in placed for place in section.places + section.tables} | SHOWN_ELSEWHERE | FIGURES_HERE
    )
    figures = [figure for figure in FIGURES.values() if figure.name not in named]
    tables = tuple(Place(name, view) for name in TABLES if name not in named)
    places = tuple(
        Place(figure.name, replace(view, run=run) if figure.one_run else view, run if figure.one_run else "")
        for figure in figures
        for run in (view.runs if figure.one_run else ("",))
    )
    if places or tables:
        yield Section("more", "Further figures", "", places, tables)


# The heatmap shows every layer over time; lines of a few layers belong to the dashboard, where layers are chosen, as do
# the baseline of a difference and one panel a strategy. Means over seeds repeat the loss; the gradient norm sums up
# what is shown by layer.
SHOWN_ELSEWHERE = frozenset({"depth_grid", "layer_series", "seed_groups", "grad_norm", "difference"})
