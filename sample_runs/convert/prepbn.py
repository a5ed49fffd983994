"""Folds the batch norms of an evaluated PRepBN model into the linear layers that read them: the same function, no norm.

Source: Guo et al. 2024, "SLAB", arXiv 2405.11582.
"""

import copy
from typing import Any

import torch
from torch import nn

from depthscope.store import DepthscopeError

from ..model import Decoder
from ..norms.prepbn import PRepBN
from .plan import read, write

__all__ = ["fold_prepbn"]


@torch.no_grad()
def fold_prepbn(model: Decoder) -> Decoder:
    """A copy in evaluation mode, without norms, that computes the evaluated model's logits.

    `model`: from build_model('prepbn', ...). A tied head gets a matrix of its own. Raises DepthscopeError for others.
    """
    if not isinstance(model, Decoder) or not isinstance(model.final_norm, PRepBN):
        got = repr(model.strategy) if isinstance(model, Decoder) else type(model).__name__
        raise DepthscopeError(
            f"expected fold_prepbn to get a model built by build_model('prepbn', ...), but got {got}: "
            "only norms that are batch norms in evaluation can be folded"
        )
    folded = copy.deepcopy(model).eval()
    blocks: list[Any] = list(folded.blocks)
    for block in blocks:
        _fold(block.attn_join, "norm", block.attn.q, block.attn.k, block.attn.v)
        _fold(block.mlp_join, "norm", block.mlp.gate, block.mlp.up)
    _fold(folded, "final_norm", folded.head)
    return folded


def _fold(owner: Any, name: str, *readers: nn.Module) -> None:
    """W (a x + c) + b = (W a) x + (b + W c)."""
    a_D, c_D = getattr(owner, name).as_affine()
    for reader in readers:
        weight_OI, bias_O = read(reader)
        shift_O = weight_OI @ c_D
        write(reader, weight_OI * a_D, shift_O if bias_O is None else bias_O + shift_O)
    setattr(owner, name, nn.Identity())
