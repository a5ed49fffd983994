"""Each strategy against the numbers of its paper, and all of them through a few steps of training under the probe."""

from itertools import product
from math import sqrt
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from depthscope.probes import watch
from depthscope.sample_runs import STRATEGIES, build_model
from depthscope.sample_runs.model import rotate
from depthscope.sample_runs.norms.deepnorm import alpha_beta
from depthscope.sample_runs.norms.dyt import DynamicTanh
from depthscope.sample_runs.norms.gpas import Gate
from depthscope.sample_runs.norms.power import PowerNorm, batch_power, running_power
from depthscope.sample_runs.norms.prepbn import PRepBN
from depthscope.sample_runs.norms.prerms import RMSNorm, crms
from depthscope.sample_runs.norms.prores import ProResJoin, prores
from depthscope.store import open_store

LONG = pytest.mark.long


def ids(rows: int = 4, tokens: int = 16, seed: int = 0) -> Tensor:
    """Rows that count upwards: text a model learns in a few steps."""
    starts = torch.randint(32, (rows, 1), generator=torch.Generator().manual_seed(seed))
    return (starts + torch.arange(tokens)) % 32


def loss_of(model: nn.Module, ids_BT: Tensor) -> Tensor:
    return nn.functional.cross_entropy(model(ids_BT)[:, :-1].flatten(0, 1), ids_BT[:, 1:].flatten())


@pytest.mark.parametrize(("name", "norm"), list(product(STRATEGIES, ("rms", "layer"))))
@pytest.mark.parametrize(("layers", "width", "heads"), [(2, 16, 2), pytest.param(5, 24, 1, marks=LONG)])
def test_loss_falls_in_a_few_steps(name: str, norm: str, layers: int, width: int, heads: int) -> None:
    model = build_model(name, layers=layers, width=width, heads=heads, vocab=32, norm=norm)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for step in range(12):
        loss = loss_of(model, ids(seed=step))
        loss.backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.05


ODD = ("siamese", "prores", "prepbn", "pre-crms", "gpas")  # the others are watched in the long matrix


@pytest.mark.parametrize("name", [name if name in ODD else pytest.param(name, marks=LONG) for name in STRATEGIES])
def test_every_strategy_is_watched(name: str, tmp_path: Path) -> None:
    model = build_model(name, layers=3, width=16, heads=2, vocab=32)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch(model, store=tmp_path, run=name, strategy=name, every=1, probe_batch=ids(), probe_every=1) as probe:
        for step in range(2):
            loss = loss_of(model, ids(seed=step))
            loss.backward()
            probe.log(loss=loss.detach())
            optimizer.step()
            optimizer.zero_grad()
    store = open_store(tmp_path)
    for phase in ("train", "probe"):
        stats = store.layer_stats(runs=[name], site="resid_post", phase=phase, columns=["variance"])
        assert sorted(set(stats["layer"])) == [0, 1, 2, 3]
        assert stats["variance"].notna().all()
    gradients = store.layer_stats(runs=[name], site="block", phase="train", columns=["param_grad_norm"])
    assert sorted(set(gradients["layer"])) == [1, 2, 3]
    assert set(open_store(tmp_path).runs()["status"]) == {"finished"}


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_probe_names_the_placement_or_says_that_it_does_not_know_it(name: str, tmp_path: Path) -> None:
    model = build_model(name, layers=4, width=16, heads=2, vocab=32)
    with watch(model, store=tmp_path, example_inputs=(ids(),)) as probe:
        assert probe.sites.placement == STRATEGIES[name].placement


def test_norm_algebra() -> None:
    rms, layer = RMSNorm(4, eps=0.0), nn.LayerNorm(4, eps=0.0)
    zero_mean = torch.tensor([1.0, 2, 3, -6])
    expected = torch.tensor([0.282843, 0.565685, 0.848528, -1.697056])
    assert torch.allclose(rms(zero_mean), expected, atol=1e-6)
    assert torch.allclose(layer(zero_mean), expected, atol=1e-6)
    assert torch.allclose(crms(zero_mean[:3], eps=0.0), expected[:3], atol=1e-6)
    expected = torch.tensor([-1.069045, -0.534522, 0, 1.603567])
    assert torch.allclose(layer(torch.tensor([1.0, 2, 3, 6])), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("layers", "alpha", "beta"),
    [(6, 1.8612, 0.3799), (12, 2.2134, 0.3195), (24, 2.6321, 0.2686), (32, 2.8284, 0.2500)],
)
def test_deepnorm_constants(layers: int, alpha: float, beta: float) -> None:
    assert alpha_beta(layers) == (pytest.approx(alpha, abs=5e-5), pytest.approx(beta, abs=5e-5))


def test_deepnorm_starts_from_xavier_with_its_gain() -> None:
    model = build_model("deepnorm", layers=12, width=128, heads=4)
    block, beta = model.blocks[5], 96**-0.25
    for matrix, gain in [(block.attn.q, 1.0), (block.attn.k, 1.0), (block.attn.v, beta), (block.attn.out, beta)]:
        assert matrix.weight.std().item() == pytest.approx(gain / sqrt(128), rel=0.03)
    for matrix in (block.mlp.gate, block.mlp.up, block.mlp.down):
        expected = beta * sqrt(2 / (matrix.in_features + matrix.out_features))
        assert matrix.weight.std().item() == pytest.approx(expected, rel=0.03)
    assert block.attn_join.alpha == pytest.approx(24**0.25)


@pytest.mark.parametrize("name", ["post", "deepnorm", "keel"])
def test_post_types_have_mean_square_one_at_initialization(name: str) -> None:
    model = build_model(name, layers=12, width=64, heads=4, embedding_std=0.632)
    kept: list[Tensor] = []
    for block in model.blocks:
        block.register_forward_hook(lambda module, inputs, output: kept.append(output))
    model(torch.randint(256, (8, 64), generator=torch.Generator().manual_seed(1)))
    assert len(kept) == 12
    assert max(abs(x.pow(2).mean().item() - 1) for x in kept) < 1e-3


def test_gate_of_gpas() -> None:
    gate, x = Gate(), torch.tensor([2.0, -3.0], requires_grad=True)
    assert torch.equal(gate(x), x)
    with torch.no_grad():
        gate.a.fill_(1.0)
    y = gate(x)
    y.sum().backward()
    assert torch.allclose(y, torch.tensor([0.537883, -0.806824]), atol=1e-6)
    assert torch.equal(x.grad, torch.ones(2))
    # d/da silu(a) at 1 is 0.927671; y falls by it for each unit of x, and the units sum to -1
    assert gate.a.grad.item() == pytest.approx(0.927671, abs=1e-6)


def test_gpas_is_pre_at_the_start() -> None:
    pre, gpas = (build_model(name, layers=3, width=16, heads=2) for name in ("pre", "gpas"))
    assert torch.equal(pre(ids()), gpas(ids()))
    assert sum(key.endswith(".gate.a") for key in gpas.state_dict()) == 3


def test_dyt_value() -> None:
    assert DynamicTanh(1, 0.5)(torch.tensor([2.0])).item() == pytest.approx(0.761594, abs=1e-6)


X = torch.tensor([[1.0, 2, 3], [3, 2, 1]])
G = torch.tensor([[1.0, 0, -1], [0.5, 0.5, 0.5]])


def test_power_norm_by_hand() -> None:
    norm, x = PowerNorm(3, eps=0.0), X.clone().requires_grad_()
    norm(x).backward(G)
    assert torch.allclose(norm.power, torch.tensor([1.4, 1.3, 1.4]))
    assert torch.allclose(x.grad, G)
    assert torch.allclose(norm.nu, torch.tensor([0.125, 0.05, -0.125]))
    assert torch.allclose(norm.bias.grad, G.sum(0))
    assert torch.allclose(norm.weight.grad, (G * X).sum(0))
    x.grad = None
    norm(x).backward(G)  # now psi and nu have left their start: dx = (g - nu x / psi) / psi
    psi, nu = torch.tensor([1.4, 1.3, 1.4]).sqrt(), torch.tensor([0.125, 0.05, -0.125])
    assert torch.allclose(x.grad, (G - nu * X / psi) / psi)


def test_power_norm_in_evaluation_and_without_gradient_changes_nothing() -> None:
    norm = PowerNorm(3)
    with torch.no_grad():
        norm(X)
    norm.eval()(X)
    assert torch.equal(norm.power, torch.ones(3))
    assert int(norm.seen) == 0


def test_power_norm_warms_up_on_batch_statistics() -> None:
    norm = PowerNorm(3, warmup=2, eps=0.0)
    for batch in (X, 2 * X):
        assert torch.allclose(norm(batch), batch_power(batch, eps=0.0))
    assert torch.allclose(norm.power, torch.tensor([5.0, 4, 5]) * 2.5)  # mean of 1 and 4 times the first batch's
    assert torch.allclose(norm(X), X / norm_power_before(norm), atol=1e-6)


def norm_power_before(norm: PowerNorm) -> Tensor:
    """psi before the last update, which kept 0.9 of it."""
    return ((norm.power - 0.1 * torch.tensor([5.0, 4, 5])) / 0.9).sqrt()


def test_batch_power_gradient() -> None:
    x = X.clone().requires_grad_()
    batch_power(x, eps=0.0).backward(G)
    expected = torch.tensor([[0.3354, -0.1250, -0.1118], [-0.1118, 0.1250, 0.3354]])
    assert torch.allclose(x.grad, expected, atol=5e-5)


def test_running_power_forward_is_a_division() -> None:
    assert torch.equal(running_power(X, torch.tensor([2.0, 4, 8]), torch.zeros(3)), X / torch.tensor([2.0, 4, 8]))


def test_batch_distances() -> None:
    norm = PRepBN(nn.RMSNorm(4), 4, fade=10)
    x = torch.tensor([[1.0, 1, 1, 1], [-1.0, -1, -1, -1]]) * sqrt(2)  # variance 2, running variance 1
    norm(x)
    assert norm.batch_var_fluctuation.item() == pytest.approx(0.5)
    assert norm.batch_mean_fluctuation.item() == pytest.approx(0.0)


def test_prepbn_folds_into_a_batch_norm_and_a_linear() -> None:
    norm = PRepBN(nn.RMSNorm(3), 3, fade=100).double().eval()
    with torch.no_grad():
        for tensor, values in [
            (norm.weight, [2.0, 0.5, 1]),
            (norm.bias, [0.1, -0.2, 0.3]),
            (norm.mean, [1.0, 0, -1]),
            (norm.var, [4.0, 1, 0.25]),
        ]:
            tensor.copy_(torch.tensor(values))
        norm.eta.fill_(0.7)
    gain, bias = norm.as_batch_norm()
    assert torch.allclose(gain, torch.tensor([3.400002, 1.200003, 1.350007], dtype=torch.float64), atol=1e-6)
    assert torch.allclose(bias, torch.tensor([0.8, -0.2, -0.4], dtype=torch.float64), atol=1e-6)
    linear = nn.Linear(3, 5, dtype=torch.float64)
    x = torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    a, c = norm.as_affine()
    folded = nn.functional.linear(x, linear.weight * a, linear.bias + linear.weight @ c)
    assert (folded - linear(norm(x))).abs().max() < 1e-12


def test_prepbn_schedule_and_start() -> None:
    norm = PRepBN(nn.RMSNorm(4), 4, fade=100)
    for seen, share in [(0, 1.0), (25, 0.75), (50, 0.5), (100, 0.0), (200, 0.0)]:
        norm.seen.fill_(seen)
        assert norm.share == pytest.approx(share)
    assert norm.eval()(torch.randn(2, 3, 4)).eq(0).all()


def test_prores_switches_blocks_on_in_order() -> None:
    model = build_model(prores(2), layers=2, width=16, heads=2, vocab=32)
    pre = build_model("pre", layers=2, width=16, heads=2, vocab=32)
    first = model.blocks[0].attn_join
    assert isinstance(first, ProResJoin)
    x = model.embed(ids())
    assert torch.equal(model.blocks[0](x), x)  # step 0: the identity; and this forward counts
    for _ in range(5):
        model(ids())
    assert int(first.step) == 6
    assert int(model.blocks[1].attn_join.step) == 5
    assert torch.equal(model.eval()(ids()), pre(ids()))


def test_olmo2_and_qk_norm_bound_the_attention() -> None:
    for name, width in (("olmo2", 16), ("qk", 8)):
        attn = build_model(name, layers=2, width=16, heads=2).blocks[0].attn
        x = 100 * torch.randn(1, 5, 16, generator=torch.Generator().manual_seed(0))
        for normed in (attn.q_norm(attn.q(x)), attn.k_norm(attn.k(x))):
            shares = normed.view(1, 5, -1, width).pow(2).mean(-1)
            assert torch.allclose(shares, torch.ones_like(shares), atol=1e-4), name
        assert torch.equal(attn.v_norm(attn.v(x)), attn.v(x))


def rms(x: Tensor) -> Tensor:
    return nn.functional.rms_norm(x, x.shape[-1:], eps=1e-6)


def stream(seed: int = 0) -> Tensor:
    """A stream `[1, 5, 16]` of mean square 9, so that a norm too many or too few shows."""
    return 3 * torch.randn(1, 5, 16, generator=torch.Generator().manual_seed(seed))


def attention_of_normed_heads(attn: nn.Module, x: Tensor) -> Tensor:
    """Attention whose two heads' queries, keys and values have mean square 1, the first two before the rotation."""
    heads = [rms(matrix(x).view(1, 5, 2, 8)).transpose(1, 2) for matrix in (attn.q, attn.k, attn.v)]
    q, k = (rotate(each, attn.cos[:5], attn.sin[:5]) for each in heads[:2])
    y = nn.functional.scaled_dot_product_attention(q, k, heads[2], is_causal=True)
    return attn.out(y.transpose(1, 2).reshape(1, 5, 16))


def test_keel_by_its_equation() -> None:
    block, x = build_model("keel", layers=3, width=16, heads=2).blocks[1], stream()
    y = rms(6 * x + block.attn(rms(x)))  # alpha is the number of sub-layers, 2 L
    assert torch.allclose(block(x), rms(6 * y + block.mlp(rms(y))), atol=1e-5)


def test_gpas_by_its_equation() -> None:
    block, x = build_model("gpas", layers=3, width=16, heads=2).blocks[1], stream()
    with torch.no_grad():
        block.gate.a.fill_(1.0)
    kept = 1 - 0.731059  # 1 - silu(1)
    y = kept * (x + block.attn(rms(x)))
    assert torch.allclose(block(x), kept * (y + block.mlp(rms(y))), atol=1e-5)


def test_prores_is_on_by_t_over_its_length_times_the_layer() -> None:
    block, x = build_model(prores(10), layers=3, width=16, heads=2).blocks[1], stream()
    for join in (block.attn_join, block.mlp_join):
        join.step.fill_(5)
    y = x + 0.25 * block.attn(rms(x))  # t / (T l) = 5 / (10 * 2)
    assert torch.allclose(block.eval()(x), y + 0.25 * block.mlp(rms(y)), atol=1e-5)
    assert build_model("prores", layers=3, width=16, heads=2).blocks[2].mlp_join.full_after == 3000


def test_hybrid_by_its_equation() -> None:
    plain, star = (build_model(name, layers=2, width=16, heads=2) for name in ("hybrid", "hybrid-star"))
    block, x = plain.blocks[0], stream()
    z = rms(x + attention_of_normed_heads(block.attn, x))
    assert torch.allclose(block(x), z + block.mlp(z), atol=1e-5)
    first = star.blocks[0]
    y = x + attention_of_normed_heads(first.attn, rms(x))
    assert torch.allclose(first(x), y + first.mlp(rms(y)), atol=1e-5)
    kinds = [[type(join).__name__ for join in (b.attn_join, b.mlp_join)] for b in star.blocks]
    assert kinds == [["PreJoin", "PreJoin"], ["RawJoin", "NormedStreamJoin"]]


def test_siamese_streams() -> None:
    model = build_model("siamese", layers=1, width=16, heads=2, vocab=32)
    x = y = model.embed(ids())
    block = model.blocks[0]
    for branch in (block.attn, block.mlp):
        o = branch(x + rms(y))
        x, y = rms(x + o), y + o
    assert torch.allclose(model(ids()), model.head(x + rms(y)), atol=1e-5)


def test_lns_learnable_starts_as_lns() -> None:
    fixed, learnable = (build_model(name, layers=4, width=16, heads=2) for name in ("lns", "lns-learnable"))
    assert torch.allclose(fixed(ids()), learnable(ids()), atol=1e-6)
    assert torch.allclose(learnable.blocks[3].mlp_join.norm.weight, torch.full((16,), 0.5))


def test_sandwich_is_peri() -> None:
    peri, sandwich = (build_model(name, layers=3, width=16, heads=2) for name in ("peri", "sandwich"))
    assert torch.equal(peri(ids()), sandwich(ids()))


@pytest.mark.parametrize("name", ["pre-rms", "pre-crms"])
def test_pre_rms_is_pre_with_layer_norm_gradients_included(name: str) -> None:
    pre = build_model("pre", layers=4, width=16, heads=2, norm="layer", vocab=32).double()
    other = build_model(name, layers=4, width=16, heads=2, vocab=32).double()
    losses = [loss_of(model, ids()) for model in (pre, other)]
    for loss in losses:
        loss.backward()
    assert abs(losses[0] - losses[1]) < 1e-12
    named = {key.replace("parametrizations.weight.original", "weight"): p for key, p in other.named_parameters()}
    assert named.keys() == dict(pre.named_parameters()).keys()
    for key, parameter in pre.named_parameters():
        assert torch.allclose(named[key].grad, parameter.grad, atol=1e-12), key


@pytest.mark.parametrize("name", ["pre", "pre-scaled"])
def test_a_block_with_zeroed_output_matrices_is_the_identity(name: str) -> None:
    model = build_model(name, layers=3, width=16, heads=2)
    with torch.no_grad():
        model.blocks[1].attn.out.weight.zero_()
        model.blocks[1].mlp.down.weight.zero_()
    x = torch.randn(2, 5, 16)
    assert torch.equal(model.blocks[1](x), x)


def test_scaled_init_scales_what_writes_to_the_stream() -> None:
    pre, scaled = (build_model(name, layers=8, width=16, heads=2) for name in ("pre", "pre-scaled"))
    assert torch.allclose(scaled.blocks[0].attn.out.weight, pre.blocks[0].attn.out.weight / 4)
    assert torch.allclose(scaled.blocks[7].mlp.down.weight, pre.blocks[7].mlp.down.weight / 4)
    assert torch.equal(scaled.blocks[0].mlp.up.weight, pre.blocks[0].mlp.up.weight)
