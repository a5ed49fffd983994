"""Name the norm placement of a block from its traced flow; what fits no rule is 'unknown', never the nearest name.

pre      x + F(N(x))                    On Layer Normalization in the Transformer Architecture, arXiv 2002.04745
post     N(x + F(x))                    Attention Is All You Need, arXiv 1706.03762
peri     x + N(F(N(x)))                 Peri-LN, arXiv 2502.02732; Sandwich-LN, arXiv 2105.13290
output   x + N(F(x))                    OLMo 2, arXiv 2501.00656
lns      x + F(N(x)/sqrt(l))            The Curse of Depth, arXiv 2502.05795
deepnorm N(a x + F(x)), a > 1           DeepNet, arXiv 2203.00555
mix      post first, then pre           Mix-LN, arXiv 2412.13795
none     x + F(x)
"""

import math
from collections.abc import Sequence

from .flow import BlockFlow, Branch

__all__ = ["block_placement", "model_placement"]


def block_placement(flow: BlockFlow, layer: int) -> str:
    """The placement of one block; `layer` counts from 1. A parallel block has one placement for both branches."""
    names = {_branch_placement(branch, layer) for branch in flow.branches}
    if flow.entry_norm and names not in ({"pre"}, {"peri"}):
        return "unknown"  # a norm on the way in is no part of a placement, unless every branch has its own as well
    if names == {"pre", "none"} and all(b.pre_norm or b.reads_normed for b in flow.branches):
        return "pre"  # the embedding's norm stands for the first one, as in ModernBERT
    return names.pop() if len(names) == 1 else "unknown"


def model_placement(layers: Sequence[str]) -> str:
    """The placement of a model from its layers' in order of depth."""
    names = list(layers)
    if len(names) > 1 and set(names[1:]) == {"lns"} and names[0] in ("pre", "lns"):
        return "lns"  # layer 1 is scaled by 1
    if len(set(names)) == 1:
        return names[0]
    turn = names.count("post")
    if set(names) == {"post", "pre"} and set(names[:turn]) == {"post"}:
        return "mix"
    return "unknown"


def _branch_placement(branch: Branch, layer: int) -> str:
    if branch.sums > 1:
        return "unknown"  # the rules are about one stream; SiameseNorm and ResiDual add each branch to two
    shape = (branch.pre_norm, branch.raw_norm is not None, branch.post_norm is not None)
    name = {
        (True, False, False): "pre",
        (True, True, False): "peri",
        (False, True, False): "output",
        (False, False, True): "post",
        (False, False, False): "none",
    }.get(shape, "unknown")
    if name == "none" and not branch.reads_stream:
        return "unknown"  # something stands between stream and branch that is not known to be no norm
    if name == "pre" and branch.pre_scale not in (None, 1.0):
        return "lns" if math.isclose(branch.pre_scale or 0, 1 / math.sqrt(layer), rel_tol=1e-3) else "unknown"
    if name == "post" and branch.carry_scale not in (None, 1.0):
        return "deepnorm" if (branch.carry_scale or 0) > 1 else "unknown"
    return name
