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


class Inner(nn.Module):
    """Attention and MLP with a residual connection between them, and none around both."""

    def __init__(self) -> None:
        super().__init__()
        self.attn, self.ln, self.mlp = Attention(), nn.LayerNorm(D), MLP()

    def forward(self, x: Tensor) -> Tensor:
        x = self.attn(x)
        return x + self.mlp(self.ln(x))


class AddedOutside(Model):
    """The model adds what its blocks return: their outputs are branches, the stream is nobody's output."""

    def __init__(self) -> None:
        super().__init__([Inner() for _ in range(LAYERS)])
        self.norms, self.ln_f = nn.ModuleList(nn.LayerNorm(D) for _ in range(LAYERS)), nn.LayerNorm(D)

    def run(self, x: Tensor) -> Tensor:
        for block, norm in zip(self.h, self.norms, strict=True):
            x = x + block(norm(x))
            self.states.append(x.detach().clone())
        return self.ln_f(x)


class NormedOutside(AddedOutside):
    """The same after the addition: Post-LN around the blocks."""

    def run(self, x: Tensor) -> Tensor:
        for block, norm in zip(self.h, self.norms, strict=True):
            x = norm(x + block(x))
            self.states.append(x.detach().clone())
        return x


class SkippedOutside(Model):
    """Blocks with their own residual stream, and one more connection around each of them."""

    def __init__(self) -> None:
        super().__init__([NanoBlock() for _ in range(LAYERS)])
        self.ln_f = nn.LayerNorm(D)

    def run(self, x: Tensor) -> Tensor:
        for block in self.h:
            x = x + block(x)
            self.states.append(x.detach().clone())
        return self.ln_f(x)


class NobodyReads(AddedOutside):
    """The sums are read by functions only."""

    def run(self, x: Tensor) -> Tensor:
        for block in self.h:
            x = x + block(rms(x))
            self.states.append(x.detach().clone())
        return rms(x)


class PreNorm(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.norm, self.inner = nn.LayerNorm(D), inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(self.norm(x))


class Pairs(Model):
    """After lucidrains/vit-pytorch: a layer is a list of an attention and an MLP, with norms inside of them."""

    def __init__(self) -> None:
        super().__init__([nn.ModuleList([PreNorm(Attention()), PreNorm(MLP())]) for _ in range(LAYERS)])
        self.ln_f = nn.LayerNorm(D)

    def run(self, x: Tensor) -> Tensor:
        for attn, mlp in self.h:
            x = attn(x) + x
            x = mlp(x) + x
            self.states.append(x.detach().clone())
        return self.ln_f(x)


class Residual(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.norm, self.inner = nn.LayerNorm(D), inner

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(self.norm(x))


class ResidualPairs(Model):
    """A layer is a list of two modules that each carry the stream."""

    def __init__(self) -> None:
        super().__init__([nn.ModuleList([Residual(Attention()), Residual(MLP())]) for _ in range(LAYERS)])

    def run(self, x: Tensor) -> Tensor:
        for attn, mlp in self.h:
            x = mlp(attn(x))
            self.states.append(x.detach().clone())
        return x


class Columns(Model):
    """After XLM: one list of attentions, one of norms, one of MLPs."""

    def __init__(self) -> None:
        super().__init__([Attention() for _ in range(LAYERS)])
        self.mlps = nn.ModuleList(MLP() for _ in range(LAYERS))
        self.norms = nn.ModuleList(nn.ModuleList([nn.LayerNorm(D), nn.LayerNorm(D)]) for _ in range(LAYERS))

    def run(self, x: Tensor) -> Tensor:
        for attn, mlp, (first, second) in zip(self.h, self.mlps, self.norms, strict=True):
            x = first(x + attn(x))
            x = second(x + mlp(x))
            self.states.append(x.detach().clone())
        return x


class ChannelsFirst(nn.Module):
    """Blocks over [B, C, T]: convolutions, the features on the second axis."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.h = nn.Conv1d(3, D, 1), nn.ModuleList(ConvBlock() for _ in range(LAYERS))

    def forward(self, x_BCT: Tensor) -> Tensor:
        x = self.stem(x_BCT)
        for block in self.h:
            x = block(x)
        return x


class ConvBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.GroupNorm(1, D), nn.Conv1d(D, 2 * D, 1), nn.Conv1d(2 * D, D, 1)

    def forward(self, x_BCT: Tensor) -> Tensor:
        return x_BCT + self.down(F.gelu(self.up(self.norm(x_BCT))))
