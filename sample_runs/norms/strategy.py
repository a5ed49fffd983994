"""What a norm strategy is: how a block's branches are joined to the residual stream.

The one shape every strategy fills is `join(x, f) -> x'`: the stream and a branch go in, the new stream comes out. A
strategy is a record whose `block` builds one block from its two branches (whose weights are drawn already); `enter` and
`leave` are what stands before block 1 and after block L. A new strategy is one file with such a record and one line in
the table of `norms/__init__.py`.

Drawn weights may be shared by several models: a strategy that wants other ones puts new parameters in their place
(`rescale`) and never writes into the old ones.

Shapes: B sequences, T tokens, D width of the stream.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

__all__ = ["Block", "Join", "MakeNorm", "Place", "Strategy", "rescale"]


class MakeNorm(Protocol):
    """A fresh norm of the kind (RMSNorm, LayerNorm) the model uses; of the stream's width where none is given."""

    def __call__(self, width: int | None = None) -> nn.Module: ...


@dataclass(frozen=True)
class Place:
    """Where a block stands: `layer` counts from 1 to `layers`; 0 is before block 1, `layers` + 1 after the last.

    `std` is the standard deviation the branches' matrices were drawn with.
    """

    layer: int
    layers: int
    norm: MakeNorm
    width: int
    std: float


class Join(nn.Module):
    """Adds a branch to the stream: `forward(x_BTD, f) -> x_BTD`. A module, so that what it returns can be hooked."""

    def forward(self, x_BTD: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} does not say how it joins a branch to the stream")

    def terms(self, x_BTD: Tensor, branch_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """What the addition adds: the stream as carried on and the branch's output as added, both `[B, T, D]`."""
        return x_BTD, branch_BTD


class Block(nn.Module):
    """Attention, then the MLP, each joined to the stream `[B, T, D]` in its own way."""

    def __init__(self, attn: nn.Module, mlp: nn.Module, attn_join: Join, mlp_join: Join) -> None:
        super().__init__()
        self.attn, self.mlp = attn, mlp
        self.attn_join, self.mlp_join = attn_join, mlp_join

    def forward(self, x_BTD: Tensor) -> Tensor:
        x_BTD = self.attn_join(x_BTD, self.attn)
        return self.mlp_join(x_BTD, self.mlp)


def rescale(matrix: nn.Module, factor: float) -> None:
    """Gives the matrix new weights: `factor` times the drawn ones, which stay as they are."""
    assert isinstance(matrix.weight, Tensor)
    matrix.weight = nn.Parameter(matrix.weight.detach() * factor)


def _nothing(place: Place) -> nn.Module:
    return nn.Identity()


def _final_norm(place: Place) -> nn.Module:
    return place.norm()


@dataclass(frozen=True)
class Strategy:
    """One norm strategy, as the reference decoder builds it."""

    name: str
    title: str
    flow: str
    """The residual rule in one line, for F = attention or MLP, N = norm."""
    source: str
    block: Callable[[Place, Any, Any], nn.Module]
    """(place, attn, mlp) -> block; may also give the branches other weights or add modules to them."""
    enter: Callable[[Place], nn.Module] = _nothing
    """What stands between the embedding and block 1."""
    leave: Callable[[Place], nn.Module] = _final_norm
    """What stands between block L and the head; a plain final norm in every variant of the papers' own code."""
    placement: str = "unknown"
    """What a probe calls it where nobody says: the nearest rule is not good enough where the flow is another."""
    note: str = ""
    """What a reader must know before comparing: free choices made here, what `norm` means, what leaks."""
