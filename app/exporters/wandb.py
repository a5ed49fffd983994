"""Weights & Biases offline runs: `wandb sync FOLDER/wandb/offline-run-*` uploads them."""

import json
from collections.abc import Sequence
from pathlib import Path

from depthscope.store import Store

from .series import empty_folder, series_rows

__all__ = ["export_wandb"]


def export_wandb(store: Store, runs: Sequence[str], folder: Path) -> None:
    """Write every number of `runs` as history, without a network. Raises DepthscopeError when the folder is in use."""
    import wandb

    target = empty_folder(folder)
    known = store.runs().set_index("run")
    for run in runs:
        config = known.config[run]
        with wandb.init(
            project="depthscope",
            name=run,
            dir=str(target),
            mode="offline",
            config=json.loads(config) if isinstance(config, str) else {},
            settings=wandb.Settings(silent=True, console="off", x_disable_stats=True, x_disable_meta=True),
        ) as logged:
            for step, wall_time, values in series_rows(store, run):
                logged.log({**values, "wall_time": wall_time}, step=step)
