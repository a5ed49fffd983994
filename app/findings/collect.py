"""From a store to the frames that the diagnoses read, one set a run and stack."""

from collections.abc import Sequence

import pandas as pd

from depthscope.store import RunMissing, Store

from .fetch import Tables, fetch
from .frames import Losses, RunFrames

__all__ = ["collect"]


def collect(store: Store, runs: Sequence[str]) -> list[RunFrames]:
    """The frames of each stack of each of `runs`, in their order, 'main' first. Raises RunMissing."""
    tables = fetch(store, runs)
    for run in runs:
        if run not in set(tables.runs["run"]):
            raise RunMissing(f"expected a run of {store.path}; got {run!r}")
    return [stack_frames(tables, run, stack) for run in runs for stack in stacks_of(tables, run)]


def stacks_of(tables: Tables, run: str) -> list[str]:
    """The stacks of a run; 'main' where its model is not described yet."""
    named = {str(stack) for frame in (tables.layers, tables.stats) for stack in rows(frame, run)["stack"]}
    return sorted(named or {"main"}, key=lambda stack: (stack != "main", stack))


def rows(frame: pd.DataFrame, run: str, **equal: str) -> pd.DataFrame:
    """The rows of a run whose columns are equal to what is given."""
    chosen = frame["run"] == run
    for column, value in equal.items():
        chosen &= frame[column] == value
    return frame[chosen]


def stack_frames(tables: Tables, run: str, stack: str) -> RunFrames:
    recent = rows(tables.recent, run)
    phase = "probe" if (recent["phase"] == "probe").any() else "train"
    strategy = rows(tables.runs, run)["strategy"].iloc[0]
    stats = rows(tables.stats, run, stack=stack)

    def measured(site: str, phase: str, *columns: str) -> pd.DataFrame:
        return rows(stats, run, site=site, phase=phase)[["step", "layer", *columns]].astype("float64")

    return RunFrames(
        run=run,
        strategy=strategy if isinstance(strategy, str) else None,
        stack=stack,
        phase=phase,
        n_layers=depth_of(rows(tables.layers, run, stack=stack), stats),
        last_step=None if recent.empty else int(recent["step"].max()),
        sampled=0 if recent.empty else int(recent["sampled"].max()),
        stream=measured("resid_post", phase, "variance"),
        blocks=measured("block", phase, "block_influence", "angular_distance"),
        gradients=measured("block", "train", "param_grad_norm"),
        massive=rows(tables.massive, run, stack=stack, phase=phase),
        nonfinite=rows(tables.broken, run, stack=stack),
        losses=losses_of(rows(tables.losses, run)),
    )


def depth_of(*frames: pd.DataFrame) -> int:
    """The deepest layer that any of the frames knows; 0 when none does."""
    layers = pd.concat([frame["layer"] for frame in frames]).dropna()
    return 0 if layers.empty else int(layers.max())


def losses_of(frame: pd.DataFrame) -> Losses:
    if frame.empty:
        return Losses()
    row = frame.iloc[0]
    bad = [None if pd.isna(step) else int(step) for step in (row["first_bad"], row["last_bad"])]
    return Losses(int(row["count"]), float(row["first"]), float(row["last"]), *bad)
