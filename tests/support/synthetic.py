"""Made-up runs with the shapes of real ones: variance grows with depth as each norm strategy is known to make it grow.

Nothing is trained: the numbers are formulas, the same on every machine. Written through `open_run`, as a training does
it.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from held_out import held_out

from depthscope.store import (
    Event,
    Layer,
    LayerStats,
    Massive,
    Metric,
    Record,
    RunInfo,
    RunWriter,
    Scalar,
    Step,
    Store,
    ingest,
    open_run,
    open_store,
)

__all__ = ["STRATEGIES", "SyntheticRun", "make_store"]

EVERY = 10  # steps from one sampled step to the next
START = 1_790_000_000.0  # Unix time of the first step
TOKENS = 4096  # per step

METRICS = {
    "variance": "activation^2",
    "variance_median": "activation^2",
    "mean_square": "activation^2",
    "abs_max": "activation",
    "median_abs": "activation",
    "kurtosis": "1",
    "nonfinite": "count",
    "act_grad_norm": "loss / activation",
    "param_grad_norm": "loss / weight",
    "param_norm": "weight",
    "update_ratio": "1",
    "block_influence": "1",
    "angular_distance": "1",
    "angular_distance_last": "1",
    "branch_ratio": "1",
    "branch_cosine": "1",
}
STRATEGIES = ("pre", "post", "peri", "mix", "lns")

# Sites every strategy has (with the size of their values against the stream's), and those that its norms add.
SITES = {"resid_post": 1.0, "resid_mid": 0.95, "attn_out": 0.3, "mlp_out": 0.4}
OWN_SITES = {"peri": {"attn_raw": 2.0, "mlp_raw": 3.0}, "post": {"resid_sum": 1.6}, "mix": {"resid_sum": 1.4}}


@dataclass(frozen=True)
class SyntheticRun:
    """One run. `nan_from`: the number of the sampled step from which the last third of the layers is NaN.

    `words`: what group, layers, a setting and its value are called, where that is to be tried.
    """

    run: str
    strategy: str
    status: str = "finished"
    nan_from: int | None = None
    words: str = ""
    masked: bool = False
    """Trained sparse: its mask closes over the first half and comes to rest in the second."""


def make_store(
    path: Path | str,
    runs: Sequence[SyntheticRun | str] | int = 5,
    layers: int = 12,
    steps: int = 40,
    *,
    fold: bool = True,
    evaluated: bool = False,
) -> Store:
    """Write runs of `steps` sampled steps, ten optimizer steps apart, and return the store.

    `runs`: how many of the default ones (`pre-0`, `post-0`, ...; the last one turns NaN half-way and fails), or the
    runs themselves, or strategies. `fold=False` leaves everything in the spool; `evaluated` adds held-out measurements
    at the first, the middle and the last sampled step. No process is started.
    """
    with mock.patch("depthscope.store.spool.start_ingest"):
        for seed, run in enumerate(_runs(runs, steps)):
            _write(Path(path), run, seed, layers, steps, evaluated)
    if fold:
        ingest(path)
    return open_store(path)


def _runs(runs: Sequence[SyntheticRun | str] | int, steps: int) -> list[SyntheticRun]:
    if not isinstance(runs, int):
        return [run if isinstance(run, SyntheticRun) else SyntheticRun(f"{run}-{i}", run) for i, run in enumerate(runs)]
    names = [(f"{STRATEGIES[i % 5]}-{i // 5}", STRATEGIES[i % 5]) for i in range(runs)]
    made = [SyntheticRun(name, strategy) for name, strategy in names]
    return [*made[:-1], SyntheticRun(*names[-1], "failed", steps // 2)]


def _write(path: Path, run: SyntheticRun, seed: int, layers: int, steps: int, evaluated: bool) -> None:
    writer = open_run(path, _info(run, seed, layers))
    writer.write(
        *(Metric(name, unit, name.replace("_", " "), "made up", "none", "mean") for name, unit in METRICS.items())
    )
    placement = {layer: "none" if layer == 0 else run.strategy for layer in range(layers + 1)}
    writer.write(
        *(Layer("main", i, f"{run.words or 'blocks'}.{i}", "Block", 49_152, norm) for i, norm in placement.items())
    )
    for number in range(steps):
        _drain(writer)
        writer.write(*_steps(run, seed, number, steps), *_sample(run, seed, layers, number, "train"))
        writer.write(*_sample(run, seed, layers, number, "probe"))
        if run.masked:
            writer.write(*_mask(number, steps, layers))
    for number in (0, steps // 2, steps - 1) if evaluated else ():
        writer.write(*held_out(run.strategy, layers, number * EVERY, (steps - 1) * EVERY))
    if run.nan_from is not None:
        writer.write(Event(run.nan_from * EVERY, "warning", "activations are not finite"))
    writer.close(run.status)


def _drain(writer: RunWriter) -> None:
    """Made-up steps take no time; wait before the writer would have to drop rows."""
    while len(writer._incoming) > 20_000:
        time.sleep(0.01)


def _info(run: SyntheticRun, seed: int, layers: int) -> RunInfo:
    return RunInfo(
        run.run,
        strategy=run.strategy,
        group_name=run.words or "synthetic",
        model="Synthetic",
        n_layers=layers,
        n_params=49_152 * layers,
        seed=seed,
        data_id="synthetic",
        config={"lr": 1e-3, "width": 64, "layers": layers, **({run.words: run.words} if run.words else {})},
        tags=("synthetic", run.strategy),
        world_size=1,
        environment={"python": "3", "device": "none"},
    )


def _steps(run: SyntheticRun, seed: int, number: int, steps: int) -> Iterator[Record]:
    offset = 0.05 * STRATEGIES.index(run.strategy) if run.strategy in STRATEGIES else 0.0
    for step in range(number * EVERY, number * EVERY + EVERY):
        broken = run.nan_from is not None and step >= run.nan_from * EVERY
        loss = math.nan if broken else 1.5 + offset + 4.0 * math.exp(-step / 120) + 0.02 * math.sin(step + seed)
        lr = 1e-3 * min(1.0, (step + 1) / 20) * (1 - 0.9 * step / (steps * EVERY))
        yield Step(
            step,
            START + 100 * seed + 0.1 * step,
            tokens=TOKENS * (step + 1),
            loss=loss,
            lr=lr,
            grad_norm=math.nan if broken else 1.0 + 0.5 * math.exp(-step / 50),
            clip_factor=1.0,
            sampled=step % EVERY == 0,
        )
        yield Scalar(step, "val/loss", loss + 0.1)


def _sample(run: SyntheticRun, seed: int, layers: int, number: int, phase: str) -> Iterator[Record]:
    step = number * EVERY
    factors = SITES | OWN_SITES.get(run.strategy, {})
    for layer in range(layers + 1):
        broken = run.nan_from is not None and number >= run.nan_from and layer > layers * 2 // 3
        size = (
            math.nan if broken else _variance(run.strategy, layer, number) * (1 + 0.01 * math.sin(step + layer + seed))
        )
        for site, factor in factors.items():
            if layer > 0 or site == "resid_post":
                values = _stream(size * factor, layer, layers, phase)
                if site in ("attn_out", "mlp_out"):
                    values |= _influence(run.strategy, layer, layers)
                yield LayerStats(step, phase, "main", layer, site, values)
        if layer > 0:
            yield from _block(run.strategy, step, phase, layer, layers)
        for rank in (1, 2, 3):
            peak = size**0.5 * 40 / rank
            yield Massive(step, phase, "main", layer, rank, peak, 0.5, int(peak > 200), 0, 0, 7 * rank)
    if phase == "train":
        for site in ("embed", "final_norm", "head"):
            yield LayerStats(step, phase, "main", None, site, _weights(0, layers))


def _mask(number: int, steps: int, layers: int) -> Iterator[Record]:
    closed = min(1.0, 2 * number / steps)  # of the way from dense to half
    values = {
        "mask_density": 1 - 0.5 * closed,
        "mask_flip_rate": 1 / steps if 0 < closed < 1 else 0.0,
        "mask_flip_rate_initial": 0.5 * closed,
        "active_parameters": 49_152 * layers * (1 - 0.5 * closed),
    }
    yield from (Scalar(number * EVERY, name, value) for name, value in values.items())


def _variance(strategy: str, layer: int, number: int) -> float:
    """Variance of the stream: Pre-LN grows with depth ever faster as training goes on, post-norm stays at 1."""
    trained = 1 - math.exp(-number / 10)
    shapes = {
        "post": 1.0,
        "peri": 1.0 + 2.0 * layer * (1 + 0.2 * trained),
        "lns": 1.0 + math.log1p(layer) * (1 + trained),
        "mix": 1.0 if layer <= 3 else 1.0 + (layer - 3) * (1 + trained),
    }
    return shapes.get(strategy, (1.0 + 0.5 * layer) * math.exp(0.25 * layer * trained))


def _stream(size: float, layer: int, layers: int, phase: str) -> dict[str, float]:
    values = {
        "variance": size,
        "variance_median": size * 0.9,
        "mean_square": size * 1.01,
        "abs_max": size**0.5 * 40,
        "median_abs": size**0.5 * 0.67,
        "kurtosis": 3.0 + layer / layers,
        "nonfinite": 64.0 if math.isnan(size) else 0.0,
    }
    if phase == "train":
        values["act_grad_norm"] = 1e-3 * (1 + layer / layers)
    return values


def _block(strategy: str, step: int, phase: str, layer: int, layers: int) -> Iterator[Record]:
    weights = _weights(layer, layers) if phase == "train" else {}
    yield LayerStats(step, phase, "main", layer, "block", weights | _influence(strategy, layer, layers))
    if phase == "train":
        for site in ("attn", "mlp"):
            yield LayerStats(step, phase, "main", layer, site, {name: 0.7 * value for name, value in weights.items()})


def _weights(layer: int, layers: int) -> dict[str, float]:
    return {"param_grad_norm": 0.1 * (1 - 0.5 * layer / layers), "param_norm": 8.0 + 0.1 * layer, "update_ratio": 1e-3}


def _influence(strategy: str, layer: int, layers: int) -> dict[str, float]:
    fades = 0.9 if strategy == "pre" else 0.3
    strength = 1 - fades * layer / layers
    return {
        "block_influence": 0.3 * strength,
        "angular_distance": 0.25 * strength,
        "angular_distance_last": 0.2 * strength,
        "branch_ratio": 0.5 * strength,
        "branch_cosine": 0.1,
    }
