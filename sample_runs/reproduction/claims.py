"""The claims, each with what is looked at. A claim stays whatever comes out."""

from collections.abc import Callable

from .evidence import Runs
from .verdict import Claim, Evidence, Verdict, larger, larger_by

__all__ = ["CLAIMS"]

PERI = ("Peri-LN", "Kim et al. 2025, arXiv 2502.02732")
CURSE = ("The Curse of Depth", "Sun et al. 2025, arXiv 2502.05795")
MIX = ("Mix-LN", "Li, Yin and Liu 2025, arXiv 2412.13795")
PRERMS = ("Pre-RMSNorm and Pre-CRMSNorm", "Jiang et al. 2023, arXiv 2305.14858")
POWER = ("PowerNorm", "Shen et al. 2020, arXiv 2003.07845")
SLAB = ("SLAB (PRepBN)", "Guo et al. 2024, arXiv 2405.11582")

LOSS_NOISE = 0.05
"""Nats: seeds of one strategy were seen to differ by less at this kind of size; one run each cannot decide below it."""


def more_growth(faster: str, slower: str) -> Callable[[Runs], Evidence]:
    """Variance of the stream grows more over depth for one strategy than for the other."""

    def look(runs: Runs) -> Evidence:
        first, second = runs.growth(faster), runs.growth(slower)
        text = f"variance after the last block over that after the first: {faster} {first:.1f}, {slower} {second:.1f}"
        return Evidence(text, larger(first, second))

    return look


def more_even_gradients(even: str, others: tuple[str, ...]) -> Callable[[Runs], Evidence]:
    """The blocks' gradient norms are closer together for one strategy than for each of the others."""

    def look(runs: Runs) -> Evidence:
        spread = {strategy: runs.gradient_spread(strategy) for strategy in (even, *others)}
        numbers = ", ".join(f"{strategy} {value:.2f}" for strategy, value in spread.items())
        verdicts = [larger(spread[other], spread[even]) for other in others]
        text = f"standard deviation over mean of the blocks' gradient norms, second half of training: {numbers}"
        return Evidence(text, weakest(verdicts))

    return look


def lower_loss(better: str, others: tuple[str, ...]) -> Callable[[Runs], Evidence]:
    """One strategy ends with a lower held-out loss than each of the others."""

    def look(runs: Runs) -> Evidence:
        loss = {strategy: runs.held_out(strategy) for strategy in (better, *others)}
        numbers = ", ".join(f"{strategy} {value:.3f}" for strategy, value in loss.items())
        verdicts = [larger_by(loss[other] - loss[better], LOSS_NOISE) for other in others]
        return Evidence(f"held-out loss in nats a byte: {numbers}", weakest(verdicts))

    return look


def no_worse(strategy: str, other: str) -> Callable[[Runs], Evidence]:
    """One strategy ends with a held-out loss no higher than another's."""

    def look(runs: Runs) -> Evidence:
        first, second = runs.held_out(strategy), runs.held_out(other)
        verdict = Verdict.OPPOSITE if first - second > LOSS_NOISE else Verdict.SHOWN
        return Evidence(f"held-out loss in nats a byte: {strategy} {first:.3f}, {other} {second:.3f}", verdict)

    return look


def grows_linearly(strategy: str) -> Callable[[Runs], Evidence]:
    """A line describes variance against depth, and better than an exponential."""

    def look(runs: Runs) -> Evidence:
        fit = runs.fit(strategy)
        text = f"R² over layers 2 to 24 at the end: line {fit.linear:.3f}, exponential {fit.exponential:.3f}"
        if fit.linear >= 0.95 and fit.linear > fit.exponential:
            return Evidence(text, Verdict.SHOWN)
        return Evidence(text, Verdict.OPPOSITE if fit.exponential > fit.linear else Verdict.NOT_SHOWN)

    return look


def grows_exponentially(strategy: str) -> Callable[[Runs], Evidence]:
    """An exponential describes variance against depth better than a line."""

    def look(runs: Runs) -> Evidence:
        fit = runs.fit(strategy)
        text = f"R² over layers 2 to 24 at the end: exponential {fit.exponential:.3f}, line {fit.linear:.3f}"
        return Evidence(text, Verdict.SHOWN if fit.exponential > fit.linear else Verdict.OPPOSITE)

    return look


def deep_blocks_matter_less(strategy: str) -> Callable[[Runs], Evidence]:
    """Skipping a block of the deep half costs less than skipping one of the first half."""

    def look(runs: Runs) -> Evidence:
        (early, early_se), (deep, deep_se) = (runs.mean_skip(strategy, deep=deep) for deep in (False, True))
        text = (
            f"mean loss of skipping one block: {early:.4f} ± {early_se:.4f} nats in the first half without block 1, "
            f"{deep:.4f} ± {deep_se:.4f} in the deep half"
        )
        return Evidence(text, larger_by(early - deep, 2 * (early_se**2 + deep_se**2) ** 0.5))

    return look


def deep_blocks_do_more(strategy: str, other: str) -> Callable[[Runs], Evidence]:
    """Skipping a block of the deep half costs more under one strategy than under the other."""

    def look(runs: Runs) -> Evidence:
        (first, first_se), (second, second_se) = (runs.mean_skip(name, deep=True) for name in (strategy, other))
        text = (
            f"mean loss of skipping one block of the deep half: {strategy} {first:.4f} ± {first_se:.4f} nats, "
            f"{other} {second:.4f} ± {second_se:.4f}"
        )
        return Evidence(text, larger_by(first - second, 2 * (first_se**2 + second_se**2) ** 0.5))

    return look


def deep_blocks_turn_more(strategy: str, other: str) -> Callable[[Runs], Evidence]:
    """Blocks of the deep half turn the stream by a larger angle under one strategy than under the other."""

    def look(runs: Runs) -> Evidence:
        first, second = runs.deep_distance(strategy), runs.deep_distance(other)
        text = f"mean angular distance over a block of the deep half: {strategy} {first:.4f}, {other} {second:.4f}"
        return Evidence(text, larger(first, second))

    return look


def same_training(first: str, second: str) -> Callable[[Runs], Evidence]:
    """Two ways to write one model train alike."""

    def look(runs: Runs) -> Evidence:
        difference = abs(runs.held_out(first) - runs.held_out(second))
        text = f"held-out losses of {first} and {second} at the end differ by {difference:.4f} nats"
        return Evidence(text, Verdict.SHOWN if difference <= LOSS_NOISE else Verdict.OPPOSITE)

    return look


def fluctuates(strategy: str) -> Callable[[Runs], Evidence]:
    """Batch variances lie far from the running ones, relative to them, at some time of the training."""

    def look(runs: Runs) -> Evidence:
        rows = runs.store.layer_stats([runs.names[strategy]], phase="train", columns=["batch_var_fluctuation"])
        worst = rows.groupby("step").batch_var_fluctuation.max().dropna()
        text = (
            f"largest distance of batch variances from running ones over the layers: {worst.max():.3g} at step "
            f"{worst.idxmax()}, {worst.iloc[-1]:.3g} at the end"
        )
        return Evidence(text, larger(float(worst.max()), float(worst.iloc[-1])))

    return look


def weakest(verdicts: list[Verdict]) -> Verdict:
    """A claim against several is shown when it is shown against each, and opposite when it is against any."""
    for verdict in (Verdict.OPPOSITE, Verdict.NOT_SHOWN):
        if verdict in verdicts:
            return verdict
    return Verdict.SHOWN


CLAIMS = (
    Claim(
        *PERI,
        "Under Pre-LN the variance of the stream grows more over depth than under Peri-LN.",
        ("pre", "peri"),
        more_growth("pre", "peri"),
    ),
    Claim(*PERI, "Under Peri-LN the variance grows linearly with depth.", ("peri",), grows_linearly("peri")),
    Claim(
        *PERI,
        "Gradient norms are more even over depth under Peri-LN than under Pre-LN and Post-LN.",
        ("peri", "pre", "post"),
        more_even_gradients("peri", ("pre", "post")),
    ),
    Claim(*PERI, "Peri-LN reaches a lower loss than Pre-LN.", ("peri", "pre"), lower_loss("peri", ("pre",))),
    Claim(
        *CURSE,
        "Under Pre-LN the variance of the stream grows exponentially with depth (the paper's upper bound).",
        ("pre",),
        grows_exponentially("pre"),
    ),
    Claim(*CURSE, "Under Pre-LN deep blocks matter less than early ones.", ("pre",), deep_blocks_matter_less("pre")),
    Claim(
        *CURSE,
        "LayerNorm Scaling slows the growth of the variance.",
        ("pre", "lns"),
        more_growth("pre", "lns"),
    ),
    Claim(
        *CURSE,
        "With LayerNorm Scaling deep blocks do more than under Pre-LN.",
        ("lns", "pre"),
        deep_blocks_do_more("lns", "pre"),
    ),
    Claim(*CURSE, "LayerNorm Scaling reaches a lower loss than Pre-LN.", ("lns", "pre"), lower_loss("lns", ("pre",))),
    Claim(
        *MIX,
        "Gradient norms are more even over depth under Mix-LN than under Pre-LN and Post-LN.",
        ("mix", "pre", "post"),
        more_even_gradients("mix", ("pre", "post")),
    ),
    Claim(
        *MIX,
        "Deep blocks turn the stream more under Mix-LN than under Pre-LN.",
        ("mix", "pre"),
        deep_blocks_turn_more("mix", "pre"),
    ),
    Claim(
        *MIX, "Deep blocks do more under Mix-LN than under Pre-LN.", ("mix", "pre"), deep_blocks_do_more("mix", "pre")
    ),
    Claim(
        *MIX,
        "Mix-LN reaches a lower loss than Pre-LN and Post-LN.",
        ("mix", "pre", "post"),
        lower_loss("mix", ("pre", "post")),
    ),
    Claim(
        *PRERMS,
        "Pre-RMSNorm and Pre-CRMSNorm are one model: they train alike.",
        ("pre-rms", "pre-crms"),
        same_training("pre-rms", "pre-crms"),
    ),
    Claim(
        *POWER,
        "A transformer with batch statistics sees them fluctuate, most of all early in training.",
        ("power",),
        fluctuates("power"),
    ),
    Claim(
        *POWER,
        "PowerNorm reaches a lower loss than layer normalization.",
        ("power", "pre"),
        lower_loss("power", ("pre",)),
    ),
    Claim(*SLAB, "PRepBN trains as well as layer normalization.", ("prepbn", "pre"), no_worse("prepbn", "pre")),
)
