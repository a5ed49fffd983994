"""Slow, obvious versions of every metric, token by token in float64. Tests compare the probe's numbers with these."""

import math

import numpy as np

Array = np.ndarray


def real_tokens(x_BTD: Array, real_BT: Array | None) -> list[Array]:
    """The real tokens without NaN or Inf, as a list of `[D]` vectors."""
    x_BTD = np.asarray(x_BTD, dtype=np.float64)
    found = []
    for b in range(x_BTD.shape[0]):
        for t in range(x_BTD.shape[1]):
            if (real_BT is None or real_BT[b, t]) and np.isfinite(x_BTD[b, t]).all():
                found.append(x_BTD[b, t])
    return found


def variance(x_BTD, real_BT=None):
    return float(np.mean([np.mean((h - h.mean()) ** 2) for h in real_tokens(x_BTD, real_BT)]))


def variance_median(x_BTD, real_BT=None):
    values = sorted(np.mean((h - h.mean()) ** 2) for h in real_tokens(x_BTD, real_BT))
    return float(values[(len(values) - 1) // 2])


def mean_square(x_BTD, real_BT=None):
    return float(np.mean([np.mean(h**2) for h in real_tokens(x_BTD, real_BT)]))


def abs_max(x_BTD, real_BT=None):
    return float(max(np.abs(h).max() for h in real_tokens(x_BTD, real_BT)))


def median_abs(x_BTD, real_BT=None):
    values = sorted(np.abs(np.concatenate(real_tokens(x_BTD, real_BT))))
    return float(values[(len(values) - 1) // 2])


def kurtosis(x_BTD, real_BT=None):
    return float(np.mean([np.mean(h**4) / np.mean(h**2) ** 2 for h in real_tokens(x_BTD, real_BT)]))


def nonfinite(x_BTD, real_BT=None):
    x_BTD = np.asarray(x_BTD, dtype=np.float64)
    kept = np.ones(x_BTD.shape[:2], dtype=bool) if real_BT is None else np.asarray(real_BT)
    return float((~np.isfinite(x_BTD[kept])).sum())


def act_grad_norm(grad_BTD, real_BT=None):
    return float(sum(math.sqrt((g**2).sum()) for g in real_tokens(grad_BTD, real_BT)))


def _pairs(in_BTD, delta_BTD, real_BT):
    for b in range(in_BTD.shape[0]):
        for t in range(in_BTD.shape[1]):
            if real_BT is None or real_BT[b, t]:
                yield np.asarray(in_BTD[b, t], np.float64), np.asarray(delta_BTD[b, t], np.float64)


def _cosine(u, v):
    scale = math.sqrt((u @ u) * (v @ v))
    return float(u @ v) / scale if scale else None


def block_influence(in_BTD, delta_BTD, real_BT=None):
    cosines = [_cosine(h, h + d) for h, d in _pairs(in_BTD, delta_BTD, real_BT)]
    return float(np.mean([0.0 if c is None else 1 - c for c in cosines]))


def angular_distance(in_BTD, delta_BTD, real_BT=None):
    cosines = [_cosine(h, h + d) for h, d in _pairs(in_BTD, delta_BTD, real_BT)]
    return float(np.mean([0.0 if c is None else math.acos(max(-1, min(1, c))) / math.pi for c in cosines]))


def angular_distance_last(in_BTD, delta_BTD, real_BT=None):
    values = []
    for b in range(in_BTD.shape[0]):
        real_T = range(in_BTD.shape[1]) if real_BT is None else np.flatnonzero(real_BT[b])
        if len(real_T):
            last = real_T[-1]
            values.append(angular_distance(in_BTD[b : b + 1, last : last + 1], delta_BTD[b : b + 1, last : last + 1]))
    return float(np.mean(values))


def branch_ratio(in_BTD, delta_BTD, real_BT=None):
    norms = [(np.linalg.norm(h), np.linalg.norm(d)) for h, d in _pairs(in_BTD, delta_BTD, real_BT)]
    return float(np.mean([d / h for h, d in norms if h > 0]))


def branch_cosine(in_BTD, delta_BTD, real_BT=None):
    return float(np.mean([_cosine(h, d) or 0.0 for h, d in _pairs(in_BTD, delta_BTD, real_BT)]))
