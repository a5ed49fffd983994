"""The reference decoder: one small language model that every norm strategy can be dropped into.

Notable:
- RMSNorm (or LayerNorm), rotary positions, SwiGLU, no biases, untied head;
- a final norm before the head in every variant, Post-LN too, as in the code of the papers compared here;
- all that differs between strategies is where the norms stand: matrices of one seed are equal for all of them;
- initialization scaled to the width, because 0.02 at width 64 would leave every branch near zero.

Shapes: B sequences, T tokens, D width, H heads, K width of a head, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import sqrt
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import skip_init

from depthscope.store import DepthscopeError

from .checks import at_least, one_of, positive
from .norms import Place, Strategy, find_strategy

__all__ = ["Attention", "Decoder", "Parts", "Shape", "SwiGLU", "build_model", "check_shape", "draw_parts", "linear_std"]

BYTES = 256
CONTEXT = 1024
NORMS: dict[str, Callable[..., nn.Module]] = {
    "rms": lambda width, bias: nn.RMSNorm(width, eps=1e-6),
    "layer": lambda width, bias: nn.LayerNorm(width, eps=1e-6, bias=bias),
}

# Every weight is drawn below, so none is drawn when a module is made.
Linear, Embedding = partial(skip_init, nn.Linear), partial(skip_init, nn.Embedding)
M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Shape:
    """The sizes of a decoder, the same for every strategy."""

    layers: int
    width: int
    heads: int
    vocab: int
    norm: str
    embedding_std: float
    context: int
    biases: bool = False
    tied: bool = False

    def new_norm(self, width: int | None = None) -> nn.Module:
        return NORMS[self.norm](width or self.width, self.biases)


@dataclass(frozen=True)
class Parts:
    """What is drawn, before a strategy joins it: embedding, the two branches of each block, head."""

    embed: nn.Embedding
    branches: tuple[tuple["Attention", "SwiGLU"], ...]
    head: nn.Linear


def rope_tables(context: int, head_width: int, base: float = 10_000.0) -> tuple[Tensor, Tensor]:
    """cos and sin, each `[context, K/2]`, of the angle t * base^(-2i/K) (RoFormer, arXiv 2104.09864)."""
    rate_K = base ** (-torch.arange(0, head_width, 2, dtype=torch.float64) / head_width)
    angle_TK = torch.outer(torch.arange(context, dtype=torch.float64), rate_K)
    return angle_TK.cos().float(), angle_TK.sin().float()


def rotate(x_BHTK: Tensor, cos_TK: Tensor, sin_TK: Tensor) -> Tensor:
    """Turns each pair (i, i + K/2) of features by its token's angle."""
    a, b = x_BHTK.chunk(2, dim=-1)
    return torch.cat((a * cos_TK - b * sin_TK, a * sin_TK + b * cos_TK), dim=-1)


class Attention(nn.Module):
    """Causal self-attention with rotary positions, `[B, T, D] -> [B, T, D]`."""

    cos: Tensor
    sin: Tensor

    def __init__(self, width: int, heads: int, context: int, biases: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.out = (Linear(width, width, bias=biases) for _ in range(4))
        self.q_norm, self.k_norm, self.v_norm = nn.Identity(), nn.Identity(), nn.Identity()
        cos, sin = rope_tables(context, width // heads)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        B, T, _ = x_BTD.shape
        projected = self.q_norm(self.q(x_BTD)), self.k_norm(self.k(x_BTD)), self.v_norm(self.v(x_BTD))
        q, k, v = (y_BTD.view(B, T, self.heads, -1).transpose(1, 2) for y_BTD in projected)
        q, k = rotate(q, self.cos[:T], self.sin[:T]), rotate(k, self.cos[:T], self.sin[:T])
        y_BHTK = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y_BHTK.transpose(1, 2).reshape(B, T, -1))


class SwiGLU(nn.Module):
    """The gated MLP, `[B, T, D] -> [B, T, D]` (arXiv 2002.05202); 8/3 wide: the parameters of a plain 4x MLP."""

    def __init__(self, width: int, biases: bool = False) -> None:
        super().__init__()
        inner = 8 * -(-width // 3)  # 8/3 of the width, up to a multiple of 8: 768 -> 2048, 512 -> 1368 as in the papers
        self.gate, self.up = (Linear(width, inner, bias=biases) for _ in range(2))
        self.down = Linear(inner, width, bias=biases)

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x_BTD)) * self.up(x_BTD))


class Decoder(nn.Module):
    """Token ids `[B, T]` to logits `[B, T, V]` of the next token; T at most `context`."""

    def __init__(self, strategy: Strategy, shape: Shape, parts: Parts) -> None:
        super().__init__()
        entry, *places, exit = (
            Place(layer, shape.layers, shape.new_norm, shape.width, linear_std(shape.width))
            for layer in range(shape.layers + 2)
        )
        self.strategy, self.context = strategy.name, shape.context
        self.embed = parts.embed
        self.enter = strategy.enter(entry)
        self.blocks = nn.ModuleList(
            strategy.block(place, *branches) for place, branches in zip(places, parts.branches, strict=True)
        )
        self.final_norm = strategy.leave(exit)
        self.head = parts.head

    def forward(self, ids_BT: Tensor) -> Tensor:
        if ids_BT.shape[1] > self.context:
            raise DepthscopeError(
                f"expected at most {self.context} tokens a sequence, but got {ids_BT.shape[1]}: "
                "build the model with a larger context"
            )
        x_BTD = self.enter(self.embed(ids_BT))
        for block in self.blocks:
            x_BTD = block(x_BTD)
        return self.head(self.final_norm(x_BTD))


def linear_std(width: int) -> float:
    """Standard deviation of a fresh matrix: the papers' 0.02 at width 768, the same gain a layer at other widths."""
    return 0.02 * sqrt(768 / width)


def draw(module: M, std: float, generator: torch.Generator) -> M:
    """Draws every matrix of the module from N(0, std^2), in the order they are defined; biases are 0."""
    for parameter in module.parameters():
        if parameter.dim() < 2:
            nn.init.zeros_(parameter)
        else:
            nn.init.normal_(parameter, std=std, generator=generator)
    return module


def draw_parts(shape: Shape, seed: int) -> Parts:
    """All that is drawn for a decoder of this shape: the same for every strategy."""
    generator, std = torch.Generator().manual_seed(seed), linear_std(shape.width)
    embed = draw(Embedding(shape.vocab, shape.width), shape.embedding_std, generator)
    branches = tuple(draw_branches(shape, generator) for _ in range(shape.layers))
    head = draw(Linear(shape.width, shape.vocab, bias=False), std, generator)
    if shape.tied:
        head.weight = embed.weight
    return Parts(embed, branches, head)


def draw_branches(shape: Shape, generator: torch.Generator) -> tuple[Attention, SwiGLU]:
    """The two branches of the next block."""
    attn = draw(Attention(shape.width, shape.heads, shape.context, shape.biases), linear_std(shape.width), generator)
    return attn, draw(SwiGLU(shape.width, shape.biases), linear_std(shape.width), generator)


def build_model(
    strategy: str | Strategy,
    *,
    layers: int,
    width: int,
    heads: int,
    vocab: int = BYTES,
    norm: str = "rms",
    seed: int = 0,
    embedding_std: float = 0.02,
    context: int = CONTEXT,
    biases: bool = False,
    tied: bool = False,
) -> Decoder:
    """The reference decoder with this norm strategy: ids `[B, T]` to logits `[B, T, vocab]`, T at most `context`.

    Models of one seed and shape have equal matrices whatever the strategy; the global random state is left as it was.
    `embedding_std`: the papers use 0.02 (Curse of Depth) and 0.632 (Mix-LN, GPAS), which changes the stream's variance
    before block 1 by a factor of 1000. `biases` gives every linear layer but the head, and a LayerNorm, a bias (0 at
    first); `tied` makes the embedding the head's matrix.
    Raises DepthscopeError for an unknown strategy or an impossible shape.
    """
    found = find_strategy(strategy) if isinstance(strategy, str) else strategy
    shape = Shape(layers, width, heads, vocab, norm, embedding_std, context, biases, tied)
    check_shape(shape)
    with torch.random.fork_rng(devices=[]):  # what a strategy draws by itself is repeatable, and nobody else's
        torch.default_generator.manual_seed(seed)
        return Decoder(found, shape, draw_parts(shape, seed))


def check_shape(shape: Shape) -> None:
    """Raises DepthscopeError where no decoder of this shape exists."""
    for name in ("layers", "width", "heads", "vocab", "context"):
        at_least(name, getattr(shape, name), 1)
    one_of("norm", shape.norm, tuple(NORMS))
    positive("embedding_std", shape.embedding_std)
    if shape.width % (2 * shape.heads):
        raise DepthscopeError(
            f"expected a width that {shape.heads} heads share in even parts, but got {shape.width}: "
            f"take a multiple of {2 * shape.heads}"
        )
