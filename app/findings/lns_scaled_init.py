"""Is LayerNorm Scaling combined with scaled initialization? Both shrink deep branches, and together they do too
much."""

import re

from .finding import Check, Evidence, Verdict
from .frames import RunFrames
from .strategy_mismatch import known_placement, placement_of
from .thresholds import Thresholds

__all__ = ["CHECK", "scaled_init"]

KEY = re.compile(r"(scale|scaled|depth|residual)[^.]*init|init[^.]*(scale|scaled)")
# A number is a factor of the ordinary initialization: 1 is none.
NO = {"", "false", "none", "null", "no", "off", "0", "0.0", "1", "1.0"}


def scaled_init(config: dict[str, str] | None) -> str:
    """The entry of the configuration that asks for scaled initialization, as 'key = value'; '' when none does."""
    for key, value in sorted((config or {}).items()):
        last = key.rpartition(".")[2].lower()
        named = KEY.search(last) and value.lower() not in NO
        if named or ("init" in last and re.search(r"scaled?", value.lower())):
            return f"{key} = {value}"
    return ""


def check(frames: RunFrames, limits: Thresholds) -> Verdict | None:
    """A warning when both are there; silent otherwise."""
    blocks = [str(name) for name in frames.layers.sort_values("layer").query("layer >= 1")["norm_placement"].dropna()]
    lns = known_placement(frames.strategy or "") == "lns" or (bool(blocks) and placement_of(blocks) == "lns")
    entry = scaled_init(dict(frames.config)) if lns else ""
    if not entry:
        return None
    sentence = f"LayerNorm Scaling is combined with scaled initialization, as the configuration says ({entry})."
    return Verdict("warning", sentence, Evidence(frames.run, "config", "", "train", frames.stack), "medium", ADVICE)


def rule(limits: Thresholds) -> str:
    return (
        "the run is labelled lns, or lns was found in its model, and its configuration has an entry about scaled "
        "initialization that is not off; nothing is said when the configuration is silent"
    )


ADVICE = (
    "Leave scaled initialization out: in Table 4 of The Curse of Depth (arXiv 2502.05795) the two together are worse "
    "than LayerNorm Scaling alone (perplexity 25.80 against 25.76 at 130M, 20.79 against 20.35 at 250M)."
)

CHECK = Check(
    "lns_scaled_init",
    "LNS with scaled initialization",
    "Is LayerNorm Scaling combined with scaled initialization?",
    check,
    rule,
    "The Curse of Depth, arXiv 2502.05795, Table 4",
    silent=True,
)
