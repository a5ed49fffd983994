"""How far each block's Jacobian is from the identity: a block whose derivative is the identity passes gradients on and
learns little.

Source: the argument of The Curse of Depth in Large Language Models (arXiv 2502.05795).
"""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

from depthscope.store import LayerEffect, Record

from .blockcall import BlockCall, stream_in
from .context import Context
from .cost import Cost
from .holdout import piece_losses, pieces
from .program import LayerKey
from .split import sequences

__all__ = ["jacobian", "jacobian_cost"]

_STEP = 1e-3  # of the stream's root mean square, for differences
_TANGENT = 4  # block runs that one costs with a tangent along: twice the arithmetic, and attention in its plain form

_Product = Callable[[BlockCall, Tensor], Tensor]


def jacobian(context: Context) -> list[Record]:
    """||J v - v|| / ||v|| of every block, mean over real tokens, for one random direction v of unit length a token.

    jacobian_identity: by one forward-mode derivative. Where a part of a block has none, central differences in place
    of it, under the name jacobian_identity_differences. 0: the block's derivative is the identity.
    """
    generator = torch.Generator().manual_seed(context.seed)
    found: dict[tuple[str, LayerKey], list[Tensor]] = {}

    def observe(call: BlockCall, after: Tensor) -> None:
        if call.stream.shape != after.shape or call.stream.dim() < 3:
            return
        v_BTD = torch.randn(call.stream.shape, generator=generator).to(call.stream)
        v_BTD /= v_BTD.norm(dim=-1, keepdim=True)
        measure, product_BTD = _product(call, v_BTD)
        ratio_BT = (product_BTD - v_BTD).double().norm(dim=-1) / v_BTD.double().norm(dim=-1)
        real = slice(None) if call.real_BT is None else call.real_BT
        found.setdefault((measure, call.layer), []).append(ratio_BT[real].flatten())

    total = sum(sequences(batch) for batch in context.holdout.batches)
    for piece in pieces(context.holdout):
        with context.bench.on(piece, lambda model, batch: piece_losses(model, batch, context.holdout.loss_fn), observe):
            context.advance(Cost(0, (_TANGENT - 1) * len(context.layers) * sequences(piece) / total))
    return [
        LayerEffect(context.step, *layer, None, measure, float(torch.cat(ratios).mean()))
        for (measure, layer), ratios in found.items()
    ]


def jacobian_cost(context: Context) -> Cost:
    """A forward, and a second pass of every block that carries a tangent along."""
    return Cost(1, (1 + _TANGENT) * len(context.layers))


def _product(call: BlockCall, v_BTD: Tensor) -> tuple[str, Tensor]:
    try:
        return "jacobian_identity", _forward_mode(call, v_BTD)
    except (NotImplementedError, RuntimeError):  # what torch raises where an operation has no forward derivative
        return "jacobian_identity_differences", _differences(call, v_BTD)


def _forward_mode(call: BlockCall, v_BTD: Tensor) -> Tensor:
    """J v by dual numbers; fused attention has no forward derivative, its plain form does."""
    with forward_ad.dual_level(), sdpa_kernel(SDPBackend.MATH), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the first dual number: torch scripts its rules for them
        dual = forward_ad.make_dual(call.stream.clone(), v_BTD)  # type: ignore[no-untyped-call]
        tangent: Tensor | None = forward_ad.unpack_dual(stream_in(call(dual))).tangent  # type: ignore[no-untyped-call]
        if tangent is None:
            raise NotImplementedError("the block's output does not carry a tangent")
        return tangent


def _differences(call: BlockCall, v_BTD: Tensor) -> Tensor:
    step = _STEP * float(call.stream.double().square().mean().sqrt() * call.stream.shape[-1] ** 0.5)
    above, below = (stream_in(call(call.stream + sign * step * v_BTD)) for sign in (1, -1))
    return (above - below) / (2 * step)
