"""The joins on random linear branches, whose second moment at initialization is known exactly."""

from collections.abc import Callable
from itertools import pairwise
from math import sqrt

import pytest
import torch
from torch import Tensor, nn

from depthscope.sample_runs import STRATEGIES, build_model
from depthscope.sample_runs.norms import Join, find_strategy
from depthscope.sample_runs.norms.deepnorm import DeepNormJoin
from depthscope.sample_runs.norms.keel import KeelJoin
from depthscope.sample_runs.norms.lns import ScaledJoin
from depthscope.sample_runs.norms.mix import mix
from depthscope.sample_runs.norms.olmo2 import OutputJoin
from depthscope.sample_runs.norms.peri import PeriJoin
from depthscope.sample_runs.norms.post import PostJoin
from depthscope.sample_runs.norms.pre import PreJoin
from depthscope.store import DepthscopeError

WIDTH, TOKENS, LAYERS = 512, 256, 24
DEPTHS = (6, 12, 24)


def rms() -> nn.Module:
    return nn.RMSNorm(WIDTH, eps=1e-6, elementwise_affine=False)


def normalized(x_TD: Tensor) -> Tensor:
    return x_TD / x_TD.pow(2).mean(-1, keepdim=True).sqrt()


@torch.no_grad()
def second_moments(join_of: Callable[[int], Join], gain: float) -> dict[int, float]:
    """Mean square of the stream after each depth, one sub-layer a block, branch f(x) = gain * x W, W_ij ~ N(0, 1/D)."""
    generator = torch.Generator().manual_seed(0)
    x_TD = normalized(torch.randn(TOKENS, WIDTH, generator=generator))
    moments = {}
    for layer in range(1, LAYERS + 1):
        W_DD = torch.randn(WIDTH, WIDTH, generator=generator) / sqrt(WIDTH)
        x_TD = join_of(layer)(x_TD, lambda y, W=W_DD: gain * y @ W)
        moments[layer] = x_TD.pow(2).mean().item()
    return moments


def harmonic(n: int) -> float:
    return sum(1 / k for k in range(1, n + 1))


@pytest.mark.parametrize(
    ("join_of", "gain", "expected"),
    [
        (lambda n: PreJoin(rms()), 1.0, lambda n: 1 + n),
        (lambda n: PreJoin(rms()), 3.0, lambda n: 1 + 9 * n),
        (lambda n: PeriJoin(rms(), rms()), 1.0, lambda n: 1 + n),
        (lambda n: PeriJoin(rms(), rms()), 3.0, lambda n: 1 + n),
        (lambda n: PeriJoin(rms(), rms()), 0.1, lambda n: 1 + n),
        (lambda n: ScaledJoin(rms(), 1 / sqrt(n)), 1.0, lambda n: 1 + harmonic(n)),
        (lambda n: PostJoin(rms()), 1.0, lambda n: 1.0),
        (lambda n: DeepNormJoin(rms(), 2.2), 3.0, lambda n: 1.0),
        (lambda n: KeelJoin(rms(), rms(), 48.0), 3.0, lambda n: 1.0),
        (lambda n: OutputJoin(rms()), 3.0, lambda n: 1 + n),
    ],
    ids=["pre", "pre gain 3", "peri", "peri gain 3", "peri gain 0.1", "lns", "post", "deepnorm", "keel", "olmo2"],
)
def test_second_moment_on_linear_branches(
    join_of: Callable[[int], Join], gain: float, expected: Callable[[int], float]
) -> None:
    moments = second_moments(join_of, gain)
    for depth in DEPTHS:
        assert moments[depth] == pytest.approx(expected(depth), rel=0.03), depth


def test_lns_factors() -> None:
    model = build_model("lns", layers=12, width=16, heads=2)
    factors = [(block.attn_join.scale, block.mlp_join.scale) for block in model.blocks]
    assert [round(a, 4) for a, _ in factors[:4]] == [1.0, 0.7071, 0.5774, 0.5]
    assert round(factors[-1][0], 4) == 0.2887
    assert all(a == b for a, b in factors)
    assert isinstance(model.final_norm, nn.RMSNorm)


@pytest.mark.parametrize(
    ("layers", "alpha", "post"), [(12, 0.25, 3), (24, 0.25, 6), (32, 0.0625, 2), (7, 0.25, 1), (50, 0.58, 29)]
)
def test_mix_puts_post_blocks_first(layers: int, alpha: float, post: int) -> None:
    model = build_model(mix(alpha), layers=layers, width=8, heads=2)
    kinds = [type(block.attn_join) for block in model.blocks]
    assert kinds == [PostJoin] * post + [PreJoin] * (layers - post)
    assert [type(block.mlp_join) for block in model.blocks] == kinds


@pytest.mark.parametrize(("alpha", "same_as"), [(0.0, "pre"), (1.0, "post")])
def test_mix_at_its_ends_is_pre_and_post_bit_for_bit(alpha: float, same_as: str) -> None:
    ids_BT = torch.randint(256, (2, 16), generator=torch.Generator().manual_seed(3))
    ends = [build_model(s, layers=4, width=32, heads=2, seed=5) for s in (mix(alpha), same_as)]
    losses = []
    for model in ends:
        loss = nn.functional.cross_entropy(model(ids_BT).flatten(0, 1), ids_BT.flatten())
        loss.backward()
        losses.append(loss)
    assert torch.equal(*losses)
    for one, other in zip(*(model.parameters() for model in ends), strict=True):
        assert torch.equal(one.grad, other.grad)


RESCALED = {"deepnorm", "pre-scaled"}  # these say themselves how their branches start


def test_every_strategy_draws_the_same_matrices() -> None:
    shared = {}
    for name in STRATEGIES:
        state = build_model(name, layers=3, width=16, heads=2, seed=4).state_dict()
        matrices = {
            k.replace("parametrizations.weight.original", "weight"): v for k, v in state.items() if v.dim() == 2
        }
        shared.setdefault("first", matrices)
        assert matrices.keys() == shared["first"].keys(), name
        for key, value in matrices.items():
            first = shared["first"][key]
            if name in RESCALED and key.startswith("blocks"):  # the same draw, on another scale
                value = value * (first.norm() / value.norm())
                assert torch.allclose(value, first, rtol=1e-5), (name, key)
            else:
                assert torch.equal(value, first), (name, key)


def test_peri_has_four_norms_a_block_and_an_embedding_norm_only_where_named() -> None:
    plain, embed = (build_model(name, layers=2, width=8, heads=2) for name in ("peri", "peri-embed"))
    assert sum(isinstance(module, nn.RMSNorm) for module in plain.modules()) == 4 * 2 + 1
    assert sum(isinstance(module, nn.RMSNorm) for module in embed.modules()) == 4 * 2 + 2
    assert isinstance(embed.enter, nn.RMSNorm)


def test_records_say_what_they_are() -> None:
    for name, strategy in STRATEGIES.items():
        assert strategy.name == name
        assert strategy.title
        assert "F(" in strategy.flow
        assert strategy.source.startswith("arXiv ")


def test_unknown_strategy_names_the_valid_ones() -> None:
    with pytest.raises(DepthscopeError) as wrong:
        find_strategy("<b>sideways</b>")
    assert str(wrong.value) == (f"expected a strategy out of {', '.join(STRATEGIES)}, but got '<b>sideways</b>'")


@pytest.fixture(scope="module")
def initial() -> dict[tuple[str, int, int], tuple[Tensor, Tensor]]:
    """Mean square and variance, each `[L + 1]`, of fresh decoders' streams: embedding std 0.02, 2048 random bytes."""
    ids_BT = torch.randint(256, (32, 64), generator=torch.Generator().manual_seed(1))
    found = {}
    for layers, width in ((12, 64), (24, 64), (24, 128)):
        for name in ("pre", "post", "peri", "peri-embed", "lns"):
            streams = streams_of(build_model(name, layers=layers, width=width, heads=4), ids_BT)
            found[name, layers, width] = (
                torch.stack([x.pow(2).mean() for x in streams]),
                torch.stack([x.var(-1, correction=0).mean() for x in streams]),
            )
    return found


@torch.no_grad()
def streams_of(model: nn.Module, ids_BT: Tensor) -> list[Tensor]:
    kept: list[Tensor] = []
    for module in (model.enter, *model.blocks):
        module.register_forward_hook(lambda module, inputs, output: kept.append(output))
    model(ids_BT)
    return kept


SHAPES = [(12, 64), (24, 64), (24, 128)]


@pytest.mark.parametrize(("layers", "width"), SHAPES)
def test_pre_grows_linearly_at_initialization(initial: dict, layers: int, width: int) -> None:
    variance = initial["pre", layers, width][1]
    depth = torch.arange(layers + 1.0)
    assert torch.corrcoef(torch.stack((depth[1:], variance[1:])))[0, 1] ** 2 > 0.99


@pytest.mark.parametrize(("layers", "width"), SHAPES)
def test_post_has_mean_square_one_at_initialization(initial: dict, layers: int, width: int) -> None:
    assert (initial["post", layers, width][0][1:] - 1).abs().max() < 1e-3


@pytest.mark.parametrize("name", ["peri", "peri-embed"])
@pytest.mark.parametrize(("layers", "width"), SHAPES)
def test_peri_adds_two_a_block_at_initialization(initial: dict, name: str, layers: int, width: int) -> None:
    mean_square = initial[name, layers, width][0]
    expected = mean_square[0] + 2 * torch.arange(layers + 1)
    assert torch.allclose(mean_square, expected, rtol=0.15)


@pytest.mark.parametrize(("layers", "width"), SHAPES)
def test_lns_is_concave_and_below_pre_at_initialization(initial: dict, layers: int, width: int) -> None:
    lns, pre = initial["lns", layers, width][1], initial["pre", layers, width][1]
    quarters = lns[:: layers // 4].diff()
    assert all(later < earlier for earlier, later in pairwise(quarters.tolist()))
    assert (lns[2:] < pre[2:]).all()
    assert torch.equal(lns[:2], pre[:2])  # block 1 has the factor 1
