"""Does the strategy a run is labelled with agree with the norms found in its model?"""

import re

from .finding import Check, Evidence, Verdict
from .frames import RunFrames
from .thresholds import OWN, Thresholds

__all__ = ["CHECK", "known_placement", "placement_of"]

PLACEMENTS = ("pre", "post", "peri", "output", "mix", "lns", "deepnorm", "none")
# Where each is described; 'none' is described nowhere.
DESCRIBED = {
    "pre": "Xiong et al., arXiv 2002.04745",
    "post": "Xiong et al., arXiv 2002.04745",
    "peri": "Peri-LN, arXiv 2502.02732",
    "output": "OLMo 2, arXiv 2501.00656",
    "mix": "Mix-LN, arXiv 2412.13795",
    "lns": "The Curse of Depth, arXiv 2502.05795",
    "deepnorm": "DeepNet, arXiv 2203.00555",
}
# Other names of the same placement. Whatever is not known is no label to check.
OTHER_NAMES = {"sandwich": "peri", "layernormscaling": "lns", "deep": "deepnorm", "olmo2": "output", "mixed": "mix"}


def known_placement(label: str) -> str:
    """'Pre-LN' -> 'pre'; '' for a label that names no placement."""
    word = re.sub(r"[^a-z0-9]", "", label.lower())
    for name in (word, re.sub(r"(rms|layer)?(ln|norm)$", "", word)):
        found = OTHER_NAMES.get(name, name)
        if found in PLACEMENTS:
            return found
    return ""


def placement_of(blocks: list[str]) -> str:
    """The placement of a model from its blocks' in order of depth; 'unknown' when they make none."""
    if len(blocks) > 1 and set(blocks[1:]) == {"lns"} and blocks[0] in ("pre", "lns"):
        return "lns"  # layer 1 is scaled by 1
    if len(set(blocks)) == 1:
        return blocks[0]
    turn = blocks.count("post")
    return "mix" if set(blocks) == {"post", "pre"} and set(blocks[:turn]) == {"post"} else "unknown"


def check(frames: RunFrames, limits: Thresholds) -> Verdict | None:
    """A warning when they differ; None when the label names no placement or none was found."""
    label = known_placement(frames.strategy or "")
    layers = frames.layers[frames.layers["layer"] >= 1].sort_values("layer")
    blocks = [str(name) for name in layers["norm_placement"].dropna()]
    found = placement_of(blocks) if blocks else "unknown"
    if not label or found == "unknown":
        return None
    odd = tuple(int(layer) for layer, name in zip(layers["layer"], blocks, strict=False) if name != label)
    evidence = Evidence(frames.run, "norm_placement", "", frames.phase, frames.stack, () if label == found else odd)
    if label == found:
        return Verdict("ok", f"The model's norms are placed as its label says: {found}.", evidence, "high")
    sentence = f"The run is labelled {label}, but the norms of its blocks are placed as in {found}."
    return Verdict("warning", sentence, evidence, "high", advice(label, found))


def rule(limits: Thresholds) -> str:
    return (
        f"the label names one of {', '.join(PLACEMENTS)} (or is another name of one), and another was found in "
        "the traced "
        "model; nothing is said when either is unknown"
    )


def advice(label: str, found: str) -> str:
    papers = "; ".join(dict.fromkeys(DESCRIBED[name] for name in (label, found) if name in DESCRIBED))
    return (
        f"Check which model was built (placements are described in {papers}); leave strategy= out and the run is "
        "labelled with what is found."
    )


CHECK = Check(
    "strategy_mismatch",
    "Label and norms",
    "Does the strategy a run is labelled with agree with the norms found in its model?",
    check,
    rule,
    OWN,
    silent=True,
)
