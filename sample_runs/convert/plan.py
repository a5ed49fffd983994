"""What a conversion must know of a model: who writes to the residual stream, who reads it, through which norms.

Weights are handled as `[out, in]` whatever the module stores (Hugging Face's Conv1D keeps `[in, out]`).
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from depthscope.store import DepthscopeError

from ..model import Attention, Decoder, SwiGLU
from ..norms.pre import PreJoin
from ..norms.strategy import Block

__all__ = ["Norm", "Plan", "out_axis", "plan_of", "read", "unsupported", "write"]


@dataclass(frozen=True)
class Norm:
    """The norm `owner.name`, and the linear layers that read it and nothing else."""

    owner: Any
    name: str
    readers: tuple[Any, ...]

    @property
    def module(self) -> Any:
        return getattr(self.owner, self.name)

    def replace(self, module: nn.Module) -> None:
        setattr(self.owner, self.name, module)


def _put(norm: Norm, module: nn.Module) -> None:
    norm.replace(module)


@dataclass(frozen=True)
class Plan:
    """Embeddings and linear layers that write to the stream, the norms that read it, the head, the dropouts on it."""

    embeddings: tuple[nn.Embedding, ...]
    writers: tuple[Any, ...]
    norms: tuple[Norm, ...]
    head: nn.Linear
    dropouts: tuple[nn.Dropout, ...]
    untied: Callable[[], None]
    """Called when the head has a matrix of its own: whoever keeps record of tying must forget it."""
    widen: Callable[[Norm, nn.Module], None] = _put
    """Replaces a norm by one whose output has more features than the stream."""


def plan_of(model: nn.Module, what: str) -> Plan:
    """The plan of a reference decoder with Pre-LN joins, or of a GPT2LMHeadModel; DepthscopeError for others."""
    if isinstance(model, Decoder):
        return _decoder(model, what)
    if type(model).__name__ == "GPT2LMHeadModel":
        return _gpt2(model)
    raise unsupported(what, f"a {type(model).__name__}")


def unsupported(what: str, got: str) -> DepthscopeError:
    return DepthscopeError(
        f"expected {what} to get a Pre-LN model built by build_model, or a GPT2LMHeadModel, but got {got}: "
        "other models are not converted"
    )


def _decoder(model: Decoder, what: str) -> Plan:
    blocks: list[Any] = list(model.blocks)
    for block in blocks:
        plain = type(block) is Block and type(block.attn) is Attention and type(block.mlp) is SwiGLU
        if not plain or not all(type(join) is PreJoin for join in (block.attn_join, block.mlp_join)):
            raise unsupported(what, f"one with {model.strategy!r} blocks")
    if type(model.enter) is not nn.Identity:
        raise unsupported(what, f"one with a {type(model.enter).__name__} behind the embedding")
    norms = [Norm(block.attn_join, "norm", (block.attn.q, block.attn.k, block.attn.v)) for block in blocks]
    norms += [Norm(block.mlp_join, "norm", (block.mlp.gate, block.mlp.up)) for block in blocks]
    norms.append(Norm(model, "final_norm", (model.head,)))
    writers = tuple(writer for block in blocks for writer in (block.attn.out, block.mlp.down))
    return Plan((model.embed,), writers, tuple(norms), model.head, (), lambda: None)


def _gpt2(model: Any) -> Plan:
    body = model.transformer
    norms = [Norm(block, "ln_1", (block.attn.c_attn,)) for block in body.h]
    norms += [Norm(block, "ln_2", (block.mlp.c_fc,)) for block in body.h]
    norms.append(Norm(body, "ln_f", (model.lm_head,)))
    if any(hasattr(block, "crossattention") for block in body.h):
        raise unsupported("the conversion", "a GPT-2 with cross-attention")

    def untied() -> None:
        model.config.tie_word_embeddings = False

    def widen(norm: Norm, module: nn.Module) -> None:
        if norm.owner is not body:
            norm.replace(module)
            return
        norm.replace(nn.Identity())  # between ln_f and the head GPT2Model insists on the width of the stream
        model.lm_head = nn.Sequential(OrderedDict(ln_f=module, head=model.lm_head))

    return Plan(
        embeddings=(body.wte, body.wpe),
        writers=tuple(writer for block in body.h for writer in (block.attn.c_proj, block.mlp.c_proj)),
        norms=tuple(norms),
        head=model.lm_head,
        dropouts=(body.drop, *(each for block in body.h for each in (block.attn.resid_dropout, block.mlp.dropout))),
        untied=untied,
        widen=widen,
    )


def out_axis(linear: Any) -> int:
    """The axis of the stored weight that counts outputs: 0 in nn.Linear, 1 in Conv1D."""
    return 0 if isinstance(linear, nn.Linear) else 1


@torch.no_grad()
def read(linear: Any) -> tuple[Tensor, Tensor | None]:
    """Weight `[out, in]` and bias `[out]` of a linear layer, detached."""
    weight = linear.weight.detach()
    bias = None if linear.bias is None else linear.bias.detach()
    return (weight if out_axis(linear) == 0 else weight.T), bias


@torch.no_grad()
def write(linear: Any, weight_OI: Tensor, bias_O: Tensor | None) -> None:
    """Gives a linear layer new weights, of another size too; parameters shared with others stay theirs."""
    outputs, inputs = weight_OI.shape
    linear.weight = nn.Parameter((weight_OI if out_axis(linear) == 0 else weight_OI.T).clone().contiguous())
    linear.bias = None if bias_O is None else nn.Parameter(bias_O.clone())
    if isinstance(linear, nn.Linear):
        linear.in_features, linear.out_features = inputs, outputs
    else:
        linear.nf = outputs
        linear.nx = inputs
