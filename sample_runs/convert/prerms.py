"""Pre-LN to Pre-RMSNorm and Pre-CRMSNorm: the same function without subtracting means.

LayerNorm ignores the mean of what it reads. So whatever writes to the stream may write without a mean; on such a stream
RMSNorm is LayerNorm, and one feature, minus the sum of the others, can be left away.

Two forms. The plain one has new weights and is for inference; trained further, its means would come back. The
trainable one keeps the model's own parameters and subtracts the means inside the forward: its gradients are those of
the original.

Source: Jiang et al. 2023, "Pre-RMSNorm and Pre-CRMSNorm Transformers", arXiv 2305.14858.
"""

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from depthscope.store import DepthscopeError

from ..norms.prerms import Centre, CRMSNorm, RMSNorm, centred, crms
from .plan import Norm, Plan, out_axis, plan_of, read, write

__all__ = ["to_pre_crmsnorm", "to_pre_rmsnorm"]

M = TypeVar("M", bound=nn.Module)


class BareCRMSNorm(nn.Module):
    """CRMS without gain and bias: `[..., K] -> [..., K]`, for readers that were made for K features."""

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x_BTK: Tensor) -> Tensor:
        return crms(x_BTK, self.eps)


def to_pre_rmsnorm(model: M, *, trainable: bool = False) -> M:
    """A copy of a Pre-LN model that uses RMSNorm and computes the same logits.

    `model`: from build_model with strategy 'pre' and norm='layer', biases and a tied head included, or a
    GPT2LMHeadModel. A tied head gets a matrix of its own, unless `trainable`. With `trainable` the parameters are the
    model's own ones, recentred inside the forward: training it is training the original. Without, the copy is for
    inference. Raises DepthscopeError for other models, and for `trainable` with dropout on the stream.
    """
    copied, plan = _prepared(model, "to_pre_rmsnorm", trainable)
    if trainable:
        _recentre(plan, drop=False)
    else:
        _untie(plan)
        _centre(plan)
    for norm in plan.norms:
        norm.replace(_like(norm, RMSNorm))
    return copied


def to_pre_crmsnorm(model: M, *, trainable: bool = False) -> M:
    """A copy of a Pre-LN model whose stream has one feature less and that computes the same logits.

    As `to_pre_rmsnorm`. Gains and biases of the norms are folded into what reads them; with `trainable` they stay, and
    the missing feature comes back between a norm and its readers (GPT-2's ln_f then stands inside lm_head).
    """
    copied, plan = _prepared(model, "to_pre_crmsnorm", trainable)
    if trainable:
        _recentre(plan, drop=True)
        for norm in plan.norms:
            plan.widen(norm, _like(norm, CRMSNorm))
        return copied
    _untie(plan)
    _centre(plan)
    for norm in plan.norms:
        for reader in norm.readers:
            _fold(norm.module, reader)
        norm.replace(BareCRMSNorm(norm.module.eps))
    _shorten(plan)
    return copied


def _prepared(model: M, what: str, trainable: bool) -> tuple[M, Plan]:
    """A copy, and its plan; refuses what cannot be converted exactly."""
    plan = plan_of(model, what)
    other = next((norm.module for norm in plan.norms if not isinstance(norm.module, nn.LayerNorm)), None)
    if other is not None:
        raise DepthscopeError(
            f"expected {what} to get a model with LayerNorm, but got one with {type(other).__name__}: "
            "a norm that keeps the mean is another function (build it with norm='layer')"
        )
    wet = next((dropout.p for dropout in plan.dropouts if dropout.p > 0), None)
    if trainable and wet is not None:
        raise DepthscopeError(
            f"expected no dropout on the residual stream for {what} with trainable=True, but got {wet:g}: "
            "set resid_pdrop and embd_pdrop to 0, since a dropped feature brings the mean back"
        )
    copied = copy.deepcopy(model)
    return copied, plan_of(copied, what)


def _like(norm: Norm, kind: type[RMSNorm]) -> RMSNorm:
    """An RMSNorm with the gain, bias and epsilon of the LayerNorm that stands there."""
    layer: nn.LayerNorm = norm.module
    made = kind(layer.normalized_shape[0], layer.eps, bias=layer.bias is not None)
    made.weight = layer.weight
    made.bias = layer.bias
    return made.train(layer.training)


def _recentre(plan: Plan, drop: bool) -> None:
    """Subtracts the means inside the forward."""
    for embedding in plan.embeddings:
        register_parametrization(embedding, "weight", Centre(1, drop), unsafe=drop)
    for writer in plan.writers:
        outputs = read(writer)[0].shape[0]
        register_parametrization(writer, "weight", Centre(out_axis(writer), drop), unsafe=drop)
        if writer.bias is not None:
            register_parametrization(writer, "bias", Centre(0, drop), unsafe=drop)
        if drop and not isinstance(writer, nn.Linear):
            writer.nf = outputs - 1


def _untie(plan: Plan) -> None:
    """The head reads, the embedding writes: they are converted in different ways."""
    write(plan.head, *read(plan.head))
    plan.untied()


@torch.no_grad()
def _centre(plan: Plan) -> None:
    for embedding in plan.embeddings:
        embedding.weight = nn.Parameter(centred(embedding.weight))
    for writer in plan.writers:
        weight_OI, bias_O = read(writer)
        write(writer, centred(weight_OI, 0), None if bias_O is None else centred(bias_O, 0))


@torch.no_grad()
def _fold(norm: nn.LayerNorm, reader: nn.Module) -> None:
    """Moves the norm's gain and bias into a linear layer that reads it."""
    weight_OI, bias_O = read(reader)
    if norm.bias is not None:
        shift_O = weight_OI @ norm.bias
        bias_O = shift_O if bias_O is None else bias_O + shift_O
    write(reader, weight_OI * norm.weight, bias_O)


@torch.no_grad()
def _shorten(plan: Plan) -> None:
    """Leaves the last feature of the stream away: it is minus the sum of the others."""
    for embedding in plan.embeddings:
        embedding.weight = nn.Parameter(embedding.weight[:, :-1].clone())
        embedding.embedding_dim -= 1
    for writer in plan.writers:
        weight_OI, bias_O = read(writer)
        write(writer, weight_OI[:-1], None if bias_O is None else bias_O[:-1])
    for reader in {id(r): r for norm in plan.norms for r in norm.readers}.values():
        weight_OI, bias_O = read(reader)
        write(reader, weight_OI[:, :-1] - weight_OI[:, -1:], bias_O)
