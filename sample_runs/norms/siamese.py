"""SiameseNorm: a Pre-LN stream Y and a Post-LN stream X share every branch.

    X ──┬─────────────────────────────── + ── norm_x ──> X'
        │                                │
        └──────────── + ── branch ── O ──┤
        ┌── norm_y ───┘                  │
        │                                │
    Y ──┴─────────────────────────────── + ────────────> Y'

    O = F(X + norm_y(Y));   X' = norm_x(X + O);   Y' = Y + O;   X = Y = embedding at first, X + norm(Y) at last

The block hands on the pair (Y, X): what measures a block's first output sees Y, the stream that is never normalized.

Source: "SiameseNorm: Breaking the Barrier to Reconciling Pre/Post-Norm", arXiv 2602.08064, without its optional extras
(a norm on the branch's input, a depth scale of X).
"""

from collections.abc import Callable

from torch import Tensor, nn

from .strategy import Join, Place, Strategy

__all__ = ["SIAMESE", "SiameseBlock", "SiameseJoin"]

Pair = tuple[Tensor, Tensor]


class SiameseJoin(Join):
    def __init__(self, norm_x: nn.Module, norm_y: nn.Module) -> None:
        super().__init__()
        self.norm_x, self.norm_y = norm_x, norm_y

    def forward(self, streams: Pair, f: Callable[[Tensor], Tensor]) -> Pair:  # type: ignore[override]
        y_BTD, x_BTD = streams
        o_BTD = f(x_BTD + self.norm_y(y_BTD))
        return y_BTD + o_BTD, self.norm_x(x_BTD + o_BTD)


class SiameseBlock(nn.Module):
    """(Y, X) -> (Y', X'), each `[B, T, D]`."""

    def __init__(self, attn: nn.Module, mlp: nn.Module, attn_join: SiameseJoin, mlp_join: SiameseJoin) -> None:
        super().__init__()
        self.attn, self.mlp = attn, mlp
        self.attn_join, self.mlp_join = attn_join, mlp_join

    def forward(self, streams: Pair) -> Pair:
        return self.mlp_join(self.attn_join(streams, self.attn), self.mlp)


class Split(nn.Module):
    """The embedding becomes both streams."""

    def forward(self, x_BTD: Tensor) -> Pair:
        return x_BTD, x_BTD


class Merge(nn.Module):
    """X + norm(Y), what the head reads."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, streams: Pair) -> Tensor:
        y_BTD, x_BTD = streams
        return x_BTD + self.norm(y_BTD)


def siamese_block(place: Place, attn: nn.Module, mlp: nn.Module) -> SiameseBlock:
    return SiameseBlock(attn, mlp, SiameseJoin(place.norm(), place.norm()), SiameseJoin(place.norm(), place.norm()))


def split(place: Place) -> Split:
    return Split()


def merge(place: Place) -> Merge:
    return Merge(place.norm())


SIAMESE = Strategy(
    name="siamese",
    title="SiameseNorm",
    flow="O = F(X + N(Y)); X' = N(X + O); Y' = Y + O",
    source="arXiv 2602.08064",
    block=siamese_block,
    enter=split,
    leave=merge,
    note="Measured on Y, the stream that is never normalized; X has mean square 1 by construction.",
)
