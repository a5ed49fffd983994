"""From a store to the frames that the diagnoses read, one set a run and stack."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import pandas as pd

from depthscope.store import RunMissing, Store

from .fetch import Tables, fetch
from .frames import Losses, Rates, RunFrames
from .held_out import HeldOut
from .thresholds import THRESHOLDS, Thresholds

__all__ = ["collect", "flat"]


NOTHING_BROKEN = RunFrames("").nonfinite


def collect(store: Store, runs: Sequence[str], limits: Thresholds = THRESHOLDS) -> list[RunFrames]:
    """The frames of each stack of each of `runs`, in their order, 'main' first. Raises RunMissing."""
    with store.one_look():
        tables = fetch(store, runs, limits)
    known = set(tables.runs["run"])
    for run in runs:
        if run not in known:
            raise RunMissing(f"expected a run of {store.path}; got {run!r}")
    apart = of_each_run(tables, runs)
    return [stack_frames(apart[run], run, stack) for run in runs for stack in stacks_of(apart[run], run)]


def of_each_run(tables: Tables, runs: Sequence[str]) -> dict[str, Tables]:
    """Run -> the rows of it alone, sorted out once: a thousand runs are not searched a thousand times."""
    held_out = split(tables.held_out, runs)
    own = split(tables, runs)
    return {run: Tables(**own[run], held_out=HeldOut(**held_out[run])) for run in runs}


def split(tables: Tables | HeldOut, runs: Sequence[str]) -> dict[str, dict[str, pd.DataFrame]]:
    """Run -> name of a frame of `tables` -> its rows of that run."""
    frames = {field.name: getattr(tables, field.name) for field in fields(tables)}
    frames = {name: frame for name, frame in frames.items() if isinstance(frame, pd.DataFrame)}
    groups = {name: dict(iter(frame.groupby("run", sort=False))) for name, frame in frames.items()}
    return {run: {name: groups[name].get(run, frame.iloc[:0]) for name, frame in frames.items()} for run in runs}


def stacks_of(tables: Tables, run: str) -> list[str]:
    """The stacks of a run; 'main' where its model is not described yet."""
    named = {str(stack) for frame in (tables.layers, tables.stats) for stack in rows(frame, run)["stack"]}
    return sorted(named or {"main"}, key=lambda stack: (stack != "main", stack))


def rows(frame: pd.DataFrame, run: str, **equal: str) -> pd.DataFrame:
    """The rows of a run whose columns are equal to what is given."""
    chosen = frame["run"].to_numpy() == run
    for column, value in equal.items():
        chosen &= frame[column].to_numpy() == value
    return frame if chosen.all() else frame[chosen]


def stack_frames(tables: Tables, run: str, stack: str) -> RunFrames:
    about = rows(tables.runs, run).iloc[0]
    steps = rows(tables.sampled, run)
    phase = "probe" if (steps["phase"] == "probe").any() else "train"
    stats, layers = rows(tables.stats, run, stack=stack), rows(tables.layers, run, stack=stack)
    rates = rows(tables.rates, run)
    seen = Seen(stats, phase)
    return RunFrames(
        run=run,
        strategy=about["strategy"] if isinstance(about["strategy"], str) else None,
        stack=stack,
        phase=phase,
        n_layers=depth_of(layers, stats),
        n_params=whole(about["n_params"]),
        tokens=whole(rates["tokens"].iloc[0]) if len(rates) else None,
        dtype=flat(about["environment"]).get("dtype", ""),
        config=flat(about["config"]),
        last_step=whole(steps["step"].max()) if len(steps) else None,
        sampled=0 if steps.empty else int(steps["phase"].value_counts().max()),
        layers=layers[["layer", "norm_placement", "n_params"]],
        stream=seen.at("resid_post", "variance", "variance_median", "kurtosis"),
        extremes=seen.everywhere("abs_max"),
        branches=seen.everywhere("branch_ratio", "attn_out", "mlp_out"),
        blocks=seen.at("block", "block_influence", "angular_distance"),
        gradients=Seen(stats, "train").at("block", "param_grad_norm", "param_norm", "update_ratio"),
        massive=rows(tables.massive, run, stack=stack, phase=phase),
        peaks=rows(tables.peaks, run, stack=stack),
        histories=rows(tables.histories, run, stack=stack),
        nonfinite=with_clean_steps(rows(tables.broken, run, stack=stack), steps),
        counted=bool(stats["nonfinite"].notna().any()),
        losses=losses_of(rows(tables.losses, run)),
        rates=rates_of(rates),
        spikes=rows(tables.spikes, run),
        around=long(rows(tables.around, run, stack=stack)),
        skips=rows(tables.held_out.skips, run, stack=stack),
        removals=rows(tables.held_out.removals, run, stack=stack),
        drops=rows(tables.held_out.drops, run),
        jumps=rows(tables.held_out.jumps, run, stack=stack),
        fluctuation=rows(tables.held_out.fluctuation, run, stack=stack),
    )


class Seen:
    """The recent statistics of one stack in one phase."""

    def __init__(self, stats: pd.DataFrame, phase: str) -> None:
        self._stats = stats[stats["phase"] == phase]

    def at(self, site: str, *columns: str) -> pd.DataFrame:
        """step, layer and the columns at one site."""
        return self._stats.loc[self._stats["site"] == site, ["step", "layer", *columns]].astype("float64")

    def everywhere(self, column: str, *sites: str) -> pd.DataFrame:
        """step, layer, site and the column where it was measured, at the sites named, or at all."""
        kept = self._stats[column].notna()
        if sites:
            kept &= self._stats["site"].isin(sites)
        return self._stats.loc[kept, ["step", "layer", "site", column]]


def whole(value: Any) -> int | None:
    """A number of the store as int; None where it is missing."""
    return None if pd.isna(value) else int(value)


def flat(text: object) -> dict[str, str]:
    """A JSON column of the store with dotted keys and values as text: {'optimizer.lr': '0.001'}; {} for NULL."""
    value = json.loads(text) if isinstance(text, str) else None
    return dict(_items(value, "")) if isinstance(value, Mapping) else {}


def _items(value: Mapping[str, Any], prefix: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            found += _items(item, f"{prefix}{key}.")
        else:
            said = item if isinstance(item, str) else json.dumps(item, sort_keys=True, ensure_ascii=False)
            found.append((f"{prefix}{key}", said))
    return found


def depth_of(*frames: pd.DataFrame) -> int:
    """The deepest layer that any of the frames knows; 0 when none does."""
    layers = pd.concat([frame["layer"] for frame in frames]).dropna()
    return 0 if layers.empty else int(layers.max())


def with_clean_steps(broken: pd.DataFrame, steps: pd.DataFrame) -> pd.DataFrame:
    """`broken` with `last_clean`, the newest sampled step of the row's phase before its first bad one."""
    if broken.empty:
        return NOTHING_BROKEN
    clean = [
        steps.loc[(steps["phase"] == phase) & (steps["step"] < first), "step"].max()
        for phase, first in zip(broken["phase"], broken["first_step"], strict=True)
    ]
    return broken.assign(last_clean=pd.Series(clean, index=broken.index, dtype="float64"))


def long(around: pd.DataFrame) -> pd.DataFrame:
    """step, layer, metric, value of what was measured."""
    parts = [
        around.loc[around["site"] == site, ["step", "layer"]].assign(metric=name, value=around[name])
        for name, site in (("variance", "resid_post"), ("param_grad_norm", "block"))
    ]
    return pd.concat(parts).dropna(subset=["value"])


def losses_of(frame: pd.DataFrame) -> Losses:
    if frame.empty:
        return Losses()
    row = frame.iloc[0]
    bad = [whole(row[name]) for name in ("first_bad", "last_bad", "last_step")]
    return Losses(int(row["count"]), float(row["first"]), float(row["last"]), *bad)


def rates_of(frame: pd.DataFrame) -> Rates:
    if frame.empty or not frame["count"].iloc[0]:
        return Rates()
    row = frame.iloc[0]
    return Rates(
        int(row["count"]), int(row["first_step"]), float(row["first"]), float(row["peak"]), int(row["peak_step"])
    )
