"""Numbers of recorded runs that claims speak of. L blocks, layer 0 is the stream before the first one."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from depthscope.store import Store, depth_profile

__all__ = ["Measured", "Runs"]


@dataclass(frozen=True)
class Measured:
    """A number and its standard error."""

    value: float
    error: float


@dataclass(frozen=True)
class Runs:
    """The recorded runs of one seed, by strategy: one run each."""

    store: Store
    seed: int
    names: dict[str, str]

    @classmethod
    def by_seed(cls, store: Store) -> "list[Runs]":
        """All runs of a store, the first of each strategy and seed, in order of the seeds."""
        table = store.runs().drop_duplicates(["strategy", "seed"])
        of_seed = {int(seed): table[table.seed == seed] for seed in sorted(set(table.seed))}
        return [cls(store, seed, dict(zip(rows.strategy, rows.run, strict=True))) for seed, rows in of_seed.items()]

    def profile(self, strategy: str, metric: str, site: str = "resid_post") -> pd.Series:
        """A metric by layer on held-out tokens, at the newest sampled step."""
        found = depth_profile(self.store, [self.names[strategy]], metric, site, "probe")
        return found.set_index("layer").value

    def growth(self, strategy: str) -> float:
        """Variance after the last block over that after the first, at the end of training."""
        variance = self.profile(strategy, "variance")
        return float(variance.iloc[-1] / variance.loc[1])

    def fit(self, strategy: str) -> dict[str, float]:
        """R² of variance against depth over layers 2 to L, as a line and as an exponential, at the end of training."""
        variance = self.profile(strategy, "variance").loc[2:]
        return {"line": _r2(variance.index, variance), "exponential": _r2(variance.index, np.log(variance))}

    def gradient_spread(self, strategy: str) -> float:
        """Standard deviation over mean of the blocks' gradient norms, averaged over the second half of training."""
        frame = self.store.layer_stats([self.names[strategy]], site="block", phase="train", columns=["param_grad_norm"])
        frame = frame[frame.step >= frame.step.max() / 2]
        by_layer = frame.groupby("layer").param_grad_norm.mean()
        return float(by_layer.std(ddof=0) / by_layer.mean())

    def skips(self, strategy: str) -> pd.DataFrame:
        """Loss deltas of single skipped blocks and their standard errors, by layer, with the trained weights."""
        rows = self.store.interventions([self.names[strategy]], action="skip", site="block")
        last = rows[(rows.span == 1) & (rows.step == rows.step.max())]
        return last.set_index("layer")[["delta", "delta_se"]]

    def mean_skip(self, strategy: str, *, deep: bool) -> Measured:
        """Mean delta of the blocks of a half, nats; the first block is in neither half."""
        skips = self.skips(strategy)
        middle = skips.index.max() // 2
        half = skips.loc[middle + 1 :] if deep else skips.loc[2:middle]
        return Measured(float(half.delta.mean()), float(np.sqrt(half.delta_se.pow(2).sum()) / len(half)))

    def deep_distance(self, strategy: str) -> float:
        """Mean angular distance between input and output of the blocks of the deep half."""
        distance = self.profile(strategy, "angular_distance", "block")
        return float(distance.loc[distance.index.max() // 2 + 1 :].mean())

    def fluctuation(self, strategy: str) -> pd.Series:
        """Distance of batch variances from running ones, the largest over the layers, by step."""
        rows = self.store.layer_stats([self.names[strategy]], phase="train", columns=["batch_var_fluctuation"])
        return rows.groupby("step").batch_var_fluctuation.max().dropna()

    def held_out(self, strategy: str) -> float:
        """Held-out loss at the end of training, nats a byte."""
        rows = self.store.scalars([self.names[strategy]], name="held_out_loss")
        return float(rows.sort_values("step").value.iloc[-1])


def _r2(x: pd.Index, y: pd.Series) -> float:
    return float(np.corrcoef(x.to_numpy(float), y.to_numpy(float))[0, 1] ** 2)
