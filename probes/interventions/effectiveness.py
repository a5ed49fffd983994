"""Sum up what skipping and repeating single blocks costs: which layers do work, and how evenly it is spread.

With the loss difference d_l of block l and its standard error s_l, the effect is e_l = d_l where d_l > 2 s_l, else 0:
noise is never shown as work. Every measure comes a second time without layer 1, whose effect is mostly that of turning
embeddings into features, and larger than all others together in small models.
"""

from collections.abc import Callable, Sequence

from depthscope.store import Intervention, LayerEffect

from .holdout import Losses

__all__ = ["TOLERANCE", "loop_effects", "skip_effects"]

TOLERANCE = 0.01  # of the loss: an effect below it is one that the model bears
TARGET_ERROR = 1e-3  # nats; below it deep layers' effects of a few thousandths can be told from none
_SURE = 20  # an effect of so many standard errors needs no more tokens


def skip_effects(rows: Sequence[Intervention], base: Losses) -> list[LayerEffect]:
    """The shares of each layer and the measures of the stack, from the skips of one stack in order of depth.

    effectiveness_share: e_l / sum e (layers whose effect is noise have 0; none at all where every effect is).
    participation_ratio: (sum e)^2 / (L sum e^2), in (0, 1]: 1 where all blocks matter alike, 1/L where one does it all.
    effective_depth: blocks whose e_l exceeds 1 % of the loss. skip_tolerance: share of blocks with d_l below that.
    deep_half_ratio: mean e_l of the deeper half over that of the other.
    tokens_needed: held-out tokens that would bring every standard error below 0.001 nats, of effects not sure already.
    """
    found: list[LayerEffect] = []
    for suffix, chosen in (("", list(rows)), ("_without_1", [r for r in rows if r.layer != 1])):
        found += _shares(f"effectiveness_share{suffix}", chosen)
        found += _summaries(suffix, chosen, _SUMMARIES, TOLERANCE * base.mean)
    return [*found, *_tokens_needed(rows)]


def loop_effects(rows: Sequence[Intervention], base: Losses) -> list[LayerEffect]:
    """loop_tolerance: share of blocks whose repetition costs less than 1 % of the loss."""
    found: list[LayerEffect] = []
    for suffix, chosen in (("", list(rows)), ("_without_1", [r for r in rows if r.layer != 1])):
        found += _summaries(suffix, chosen, {"loop_tolerance": _tolerance}, TOLERANCE * base.mean)
    return found


def effect(row: Intervention) -> float:
    """What can be told from noise: the difference where it is above two standard errors, else 0."""
    return row.delta if row.delta > 2 * row.delta_se else 0.0


def _shares(measure: str, rows: Sequence[Intervention]) -> list[LayerEffect]:
    total = sum(effect(row) for row in rows)
    if total <= 0:
        return []
    return [LayerEffect(row.step, row.stack, row.layer, None, measure, effect(row) / total) for row in rows]


def _summaries(
    suffix: str, rows: Sequence[Intervention], summaries: dict[str, Callable[..., float | None]], bearable: float
) -> list[LayerEffect]:
    if not rows:
        return []
    values = {name: summary(rows, bearable) for name, summary in summaries.items()}
    return [
        LayerEffect(rows[0].step, rows[0].stack, None, None, name + suffix, value)
        for name, value in values.items()
        if value is not None
    ]


def _participation(rows: Sequence[Intervention], bearable: float) -> float | None:
    effects = [effect(row) for row in rows]
    squares = sum(e * e for e in effects)
    return sum(effects) ** 2 / (len(effects) * squares) if squares > 0 else None


def _effective_depth(rows: Sequence[Intervention], bearable: float) -> float | None:
    return float(sum(effect(row) > bearable for row in rows))


def _tolerance(rows: Sequence[Intervention], bearable: float) -> float | None:
    return sum(row.delta < bearable for row in rows) / len(rows)


def _deep_half_ratio(rows: Sequence[Intervention], bearable: float) -> float | None:
    middle = len(rows) // 2
    early, deep = ([effect(row) for row in part] for part in (rows[:middle], rows[-middle:] if middle else []))
    total = sum(early)
    return sum(deep) / total if total > 0 else None


_SUMMARIES: dict[str, Callable[..., float | None]] = {
    "participation_ratio": _participation,
    "effective_depth": _effective_depth,
    "skip_tolerance": _tolerance,
    "deep_half_ratio": _deep_half_ratio,
}


def _tokens_needed(rows: Sequence[Intervention]) -> list[LayerEffect]:
    unsure = [row for row in rows if abs(row.delta) < _SURE * row.delta_se]
    if not unsure:
        return []
    worst = max(unsure, key=lambda row: row.delta_se)
    needed = worst.tokens * (worst.delta_se / TARGET_ERROR) ** 2
    return [LayerEffect(worst.step, worst.stack, None, None, "tokens_needed", needed)]
