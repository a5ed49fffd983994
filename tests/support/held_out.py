"""Made-up held-out measurements with the shapes of real ones: formulas, the same on every machine.

Pre-LN's deep blocks cost nothing to skip, the others' do; early in training none costs anything; block 1 dominates.
"""

import math
from collections.abc import Iterator

from depthscope.store import Distance, Intervention, LayerEffect, Record, SparsityLayer, SparsityPoint

__all__ = ["GRID", "held_out"]

GRID = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
TOKENS, SE, LOSS = 16_384, 1e-3, 2.0
RANKINGS = ("block_influence", "greedy", "last_k", "random")
MATRICES = ("attn.q", "attn.out", "mlp.up", "mlp.down")


def held_out(strategy: str, layers: int, step: int, last: int) -> Iterator[Record]:
    """Everything one evaluation of a model writes; `last` is the last step of the run."""
    trained = step / max(last, 1)
    for layer in range(1, layers + 1):
        yield from _block(strategy, layers, layer, step, trained)
    for span in range(1, layers):
        for ranking in RANKINGS:
            slope = 0.004 * (1 + RANKINGS.index(ranking))
            yield _row(step, None, span, ranking, "prune_set", slope * trained * span**1.5)
    summary = {"participation_ratio": 0.2 + 0.3 * trained, "deep_half_ratio": 0.1 if strategy == "pre" else 0.6}
    yield from (LayerEffect(step, "main", None, None, name, value) for name, value in summary.items())
    yield from _sparsity(step, trained)
    yield from _matrices(layers, step, trained)


def _cost(strategy: str, layers: int, layer: int, trained: float) -> float:
    if layer == 1:
        return 1.5 * trained
    deep = layer > layers / 2
    return trained * (0.0004 if deep and strategy == "pre" else 0.08 - 0.04 * layer / layers)


def _block(strategy: str, layers: int, layer: int, step: int, trained: float) -> Iterator[Record]:
    cost = _cost(strategy, layers, layer, trained)
    for span in range(1, layers - layer + 2) if layers <= 12 else (1, 2, 4, 8, 16, 24):
        joint = sum(_cost(strategy, layers, n, trained) for n in range(layer, layer + span))
        yield _row(step, layer, span, "block", "skip", joint * span**0.5)
        yield Distance(step, "main", layer, span, min(0.5, 0.03 * span + 0.1 / layer))
    yield _row(step, layer, 1, "block", "repeat", 0.5 * cost)
    yield _row(step, layer, 1, "attn_out", "zero", 0.3 * cost)
    yield _row(step, layer, 1, "mlp_out", "zero", 0.6 * cost)
    yield LayerEffect(step, "main", layer, None, "output_effect", min(1.0, cost))
    yield LayerEffect(step, "main", layer, None, "jacobian_identity", 0.1 + cost)
    yield LayerEffect(step, "main", layer, None, "effectiveness_share_without_1", cost)
    for later in range(layer + 1, layers + 1):
        yield LayerEffect(step, "main", layer, later, "later_effect", 0.5 / (later - layer))


def _row(step: int, layer: int | None, span: int, site: str, action: str, delta: float) -> Intervention:
    return Intervention(step, "main", layer, span, site, action, LOSS + delta, delta, SE, TOKENS)


def _sparsity(step: int, trained: float) -> Iterator[Record]:
    for scope, ranking, steep in (
        ("global", "magnitude", 1.0),
        ("matrix", "magnitude", 0.9),
        ("matrix", "random", 8.0),
    ):
        for sparsity in GRID:
            yield _point(step, "unstructured", scope, ranking, "current", sparsity, steep, trained)
    for pattern, sparsity in (("2:4", 0.0), ("2:4", 0.5), ("4:8", 0.5), ("1:4", 0.75)):
        yield _point(step, pattern, "matrix", "magnitude", "current", sparsity, 1.2, trained)
    for scope in ("global", "matrix") if not step else ():
        for sparsity in GRID:
            yield SparsityPoint(
                step, "oneshot_ce", "unstructured", scope, "magnitude", "init", sparsity, 4.85, SE, TOKENS
            )


def _point(
    step: int, pattern: str, scope: str, ranking: str, weights: str, sparsity: float, steep: float, trained: float
) -> SparsityPoint:
    loss = LOSS + 0.5 * (1 - trained) + steep * (0.02 + trained) * math.exp(8 * (sparsity - 0.9)) * (sparsity > 0)
    return SparsityPoint(step, "oneshot_ce", pattern, scope, ranking, weights, sparsity, loss, SE, TOKENS)


def _matrices(layers: int, step: int, trained: float) -> Iterator[Record]:
    for threshold in (1e-4, 1e-3, 1e-2, 4.7e-4):
        share = min(1.0, threshold * 20 * (1 + trained))
        yield SparsityLayer(step, "main", None, "all", threshold, near_zero=share)
    for layer in range(1, layers + 1):
        for nth, matrix in enumerate(MATRICES):
            for threshold in (1e-4, 1e-3, 1e-2):
                share = min(1.0, threshold * 20 * (1 + trained) * (1 + 0.1 * nth))
                yield SparsityLayer(step, "main", layer, matrix, threshold, near_zero=share)
            for sparsity in (0.5, 0.7):
                share = min(1.0, sparsity * (0.8 + 0.4 * layer / layers))
                yield SparsityLayer(step, "main", layer, matrix, sparsity, pruned_share=share)
