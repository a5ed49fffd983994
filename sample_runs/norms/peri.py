"""Peri-LN: normalize what a branch reads and what it writes.

    x ──┬──────────────────────────────── + ──> x'
        └── norm_in ── branch ── norm_out ┘

The output norm lies inside the branch, before the addition; after the addition it would be a Post-LN. Each branch adds
a vector of mean square 1 at initialization, whatever the size of its weights, so the stream grows by 2 a block.

The paper's embedding norm is optional. `peri` goes without (as Sandwich-LN), so that it differs from the other
strategies by the placement inside blocks only; `peri-embed` has it.

Source: Kim et al. 2025, "Peri-LN", arXiv 2502.02732; the same block is Sandwich-LN of CogView, arXiv 2105.13290.
"""

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor, nn

from .strategy import Block, Join, Place, Strategy

__all__ = ["PERI", "PERI_EMBED", "SANDWICH", "PeriJoin", "peri_block"]


class PeriJoin(Join):
    def __init__(self, norm_in: nn.Module, norm_out: nn.Module) -> None:
        super().__init__()
        self.norm_in, self.norm_out = norm_in, norm_out

    def forward(self, x_BTD: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
        return x_BTD + self.norm_out(f(self.norm_in(x_BTD)))

    def terms(self, x_BTD: Tensor, branch_BTD: Tensor) -> tuple[Tensor, Tensor]:
        return x_BTD, self.norm_out(branch_BTD)


def peri_block(place: Place, attn: nn.Module, mlp: nn.Module) -> Block:
    return Block(attn, mlp, PeriJoin(place.norm(), place.norm()), PeriJoin(place.norm(), place.norm()))


def _embedding_norm(place: Place) -> nn.Module:
    return place.norm()


PERI = Strategy(
    name="peri", title="Peri-LN", flow="x + N(F(N(x)))", source="arXiv 2502.02732", block=peri_block, placement="peri"
)
PERI_EMBED = replace(PERI, name="peri-embed", title="Peri-LN with embedding norm", enter=_embedding_norm)
SANDWICH = replace(
    PERI,
    name="sandwich",
    title="Sandwich-LN",
    source="arXiv 2105.13290",
    note="The same model as peri, by its older name.",
)
