"""Models as people write them themselves, with the residual stream they compute: what no library's family covers.

Shapes: B sequences, T tokens, D features. Every model returns its output, and keeps `states`, the stream from layer 0.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["LinearAttention", "Looped", "NanoGPT", "ScaledOutside"]

D, HEADS, LAYERS, VOCAB = 32, 4, 3, 97


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c_attn, self.c_proj = nn.Linear(D, 3 * D), nn.Linear(D, D)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (t.unflatten(-1, (HEADS, -1)).transpose(1, 2) for t in self.c_attn(x).chunk(3, dim=-1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c_fc, self.c_proj = nn.Linear(D, 4 * D), nn.Linear(4 * D, D)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(F.gelu(self.c_fc(x)))


class NanoBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ln_1, self.attn, self.ln_2, self.mlp = nn.LayerNorm(D), Attention(), nn.LayerNorm(D), MLP()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Model(nn.Module):
    """Embedding, blocks, head; `run` is what the kinds differ in."""

    def __init__(self, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(VOCAB, D), nn.Embedding(64, D)
        self.h = nn.ModuleList(blocks)
        self.head = nn.Linear(D, VOCAB, bias=False)

    def forward(self, input_ids: Tensor) -> Tensor:
        x = self.wte(input_ids) + self.wpe(torch.arange(input_ids.shape[1]))
        self.states = [x.detach().clone()]
        return self.head(self.run(x))

    def run(self, x: Tensor) -> Tensor:
        for block in self.h:
            x = block(x)
            self.states.append(x.detach().clone())
        return x


class NanoGPT(Model):
    """After karpathy/nanoGPT: modules for everything."""

    def __init__(self) -> None:
        super().__init__([NanoBlock() for _ in range(LAYERS)])
        self.ln_f = nn.LayerNorm(D)

    def run(self, x: Tensor) -> Tensor:
        return self.ln_f(super().run(x))


def rms(x: Tensor) -> Tensor:
    return F.rms_norm(x, (D,))


def rms_by_hand(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)


class FunctionalBlock(nn.Module):
    def __init__(self, norm) -> None:
        super().__init__()
        self.attn, self.mlp, self.norm = Attention(), MLP(), norm

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm(x))
        return x + self.mlp(self.norm(x))


class ScaledOutside(Model):
    """After nanochat: norms without modules, and the model mixes stream and embedding between its blocks."""

    def __init__(self, norm=rms) -> None:
        super().__init__([FunctionalBlock(norm) for _ in range(LAYERS)])
        self.lambdas = nn.Parameter(torch.full((LAYERS, 2), 0.5))

    def run(self, x: Tensor) -> Tensor:
        first = x = rms(x)
        for i, block in enumerate(self.h):
            x = self.lambdas[i, 0] * x + self.lambdas[i, 1] * first
            if i == 0:
                self.states = [x.detach().clone()]
            x = block(x)
            self.states.append(x.detach().clone())
        return rms(x)


class Kernel(nn.Module):
    """Transformers are RNNs, arXiv 2006.16236: causal attention with the feature map elu(x) + 1."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(D, 3 * D), nn.Linear(D, D)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        q, k = F.elu(q) + 1, F.elu(k) + 1
        memory = torch.einsum("btd,bte->btde", k, v).cumsum(1)
        y = torch.einsum("btd,btde->bte", q, memory) / torch.einsum("btd,btd->bt", q, k.cumsum(1)).unsqueeze(-1)
        return self.out(y / math.sqrt(D))


class LinearBlock(NanoBlock):
    def __init__(self) -> None:
        super().__init__()
        self.attn = Kernel()


class LinearAttention(Model):
    def __init__(self) -> None:
        super().__init__([LinearBlock() for _ in range(LAYERS)])


class Looped(Model):
    """Two blocks that run in turns: as deep as the number of calls."""

    def __init__(self, loops: int = 2) -> None:
        super().__init__([NanoBlock() for _ in range(2)])
        self.loops = loops

    def run(self, x: Tensor) -> Tensor:
        for _ in range(self.loops):
            x = super().run(x)
        return x
