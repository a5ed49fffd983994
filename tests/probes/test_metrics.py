"""Every metric against its oracle in float64, and the numeric checks whose values are known beforehand."""

import math

import oracles
import pytest
import torch

from depthscope.probes.massive import MassiveTop, add_top, sequence_medians, top_activations
from depthscope.probes.metrics import METRICS, Gradients, Of, Pair, ParameterGroup, Tokens

ACTIVATION = [name for name, metric in METRICS.items() if metric.of is Of.ACTIVATION]
PAIRED = [name for name, metric in METRICS.items() if metric.of is Of.PAIR]


def value(name, *observations):
    """The metric pooled over several forwards, as the store would hold it."""
    metric = METRICS[name]
    shares = [metric.measure(observation) for observation in observations]
    numerators, weights = zip(*shares, strict=True)
    if metric.pool.name == "MAX":
        return max(map(float, numerators))
    return float(sum(numerators)) / (float(sum(weights)) if metric.pool.name == "MEAN" else 1)


def sample(shape=(3, 7, 24), scale=1.0, shift=0.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator) * scale + shift


MASK = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 1, 1, 1]], dtype=torch.bool)


@pytest.mark.parametrize("name", ACTIVATION)
@pytest.mark.parametrize("real_BT", [None, MASK], ids=["all tokens", "masked"])
@pytest.mark.parametrize(("scale", "shift"), [(1, 0), (3e-3, 0), (40, 4e5)], ids=["unit", "small", "far from zero"])
def test_activation_metrics_equal_their_oracle(name, real_BT, scale, shift):
    x_BTD = sample(scale=scale, shift=shift)
    expected = getattr(oracles, name)(x_BTD.numpy(), None if real_BT is None else real_BT.numpy())
    # At mean/std = 1e4 the inputs themselves carry a relative rounding of the spread of 6e-8 * 1e4.
    assert value(name, Tokens(x_BTD, real_BT)) == pytest.approx(expected, rel=1e-5 if shift == 0 else 1e-3, abs=1e-12)


@pytest.mark.parametrize("name", ACTIVATION)
def test_half_precision_activations_are_measured_in_single(name):
    x_BTD = sample(scale=300).bfloat16()  # squares overflow float16, and bfloat16 sums lose all digits
    assert value(name, Tokens(x_BTD)) == pytest.approx(getattr(oracles, name)(x_BTD.float().numpy()), rel=1e-5)


def test_activation_gradient_norm_equals_its_oracle_and_ignores_padding():
    grad_BTD = sample(scale=1e-4)
    assert value("act_grad_norm", Gradients(grad_BTD)) == pytest.approx(
        oracles.act_grad_norm(grad_BTD.numpy()), rel=1e-5
    )
    expected = oracles.act_grad_norm(grad_BTD.numpy(), MASK.numpy())
    assert value("act_grad_norm", Gradients(grad_BTD, MASK)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", PAIRED)
@pytest.mark.parametrize("real_BT", [None, MASK], ids=["all tokens", "masked"])
@pytest.mark.parametrize("size", [3.0, 1.0, 1e-2])
def test_pair_metrics_equal_their_oracle(name, real_BT, size):
    in_BTD, delta_BTD = sample(seed=1), sample(scale=size, seed=2)
    expected = getattr(oracles, name)(in_BTD.numpy(), delta_BTD.numpy(), None if real_BT is None else real_BT.numpy())
    assert value(name, Pair(in_BTD, delta_BTD, real_BT)) == pytest.approx(expected, rel=2e-5, abs=1e-7)


@pytest.mark.parametrize("name", [*ACTIVATION, *PAIRED])
def test_micro_batches_pool_to_one_batch(name):
    if METRICS[name].reduction.startswith("sampled"):
        pytest.skip("sampled medians are weighted means of medians by design")
    x_BTD, delta_BTD = sample((4, 6, 16), seed=3), sample((4, 6, 16), seed=4, scale=0.3)
    real_BT = torch.rand(4, 6, generator=torch.Generator().manual_seed(0)) > 0.3
    real_BT[:, 0] = True

    def seen(rows):
        return (
            Pair(x_BTD[rows], delta_BTD[rows], real_BT[rows]) if name in PAIRED else Tokens(x_BTD[rows], real_BT[rows])
        )

    parts = value(name, seen(slice(0, 1)), seen(slice(1, 4)))
    assert parts == pytest.approx(value(name, seen(slice(0, 4))), rel=1e-6)


def test_known_block_influence_and_angle():
    in_BTD = torch.tensor([[[3.0, 4.0], [1.0, 0.0]]])
    out_BTD = torch.tensor([[[4.0, 3.0], [0.0, 1.0]]])
    pair = Pair(in_BTD, out_BTD - in_BTD)
    assert value("block_influence", pair) == pytest.approx(0.52, abs=1e-6)
    assert pair.angle_N.div(math.pi).tolist() == pytest.approx([0.0903345, 0.5], abs=1e-6)
    assert value("angular_distance", pair) == pytest.approx(0.2951672, abs=1e-6)


@pytest.mark.parametrize(
    ("factor", "influence", "angle"), [(2.0, 0, 0), (0.5, 0, 0), (-1.0, 2, 1)], ids=["doubled", "halved", "negated"]
)
def test_rescaling_turns_nothing_and_negation_turns_all(factor, influence, angle):
    in_BTD = sample()
    pair = Pair(in_BTD, (factor - 1) * in_BTD)
    assert value("block_influence", pair) == pytest.approx(influence, abs=1e-6)
    assert value("angular_distance", pair) == pytest.approx(angle, abs=2e-4)


def test_zero_vectors_give_no_nan():
    zero_BTD = torch.zeros(1, 2, 4)
    pair = Pair(zero_BTD, torch.ones(1, 2, 4))
    assert [value(name, pair) for name in ("block_influence", "angular_distance", "branch_cosine")] == [0, 0, 0]
    assert value("kurtosis", Tokens(zero_BTD)) == 0


def test_a_block_that_adds_nothing_has_no_influence():
    pair = Pair(sample(), torch.zeros(3, 7, 24))
    assert [value(name, pair) for name in PAIRED] == [0, 0, 0, 0, 0]


def test_kurtosis_of_a_spike_is_the_width_and_of_a_gaussian_three():
    spike_BTD = torch.zeros(1, 4, 128)
    spike_BTD[..., 5] = 200
    assert value("kurtosis", Tokens(spike_BTD)) == pytest.approx(128)
    assert value("kurtosis", Tokens(sample((4, 64, 512)))) == pytest.approx(3, abs=0.05)


def massive(entry, scale=0.1):
    x_BTD = sample((1, 8, 128)).sign() * scale
    x_BTD[0, 3, 17] = entry
    return top_activations(Tokens(x_BTD))


def test_massive_activations_by_the_papers_rule():
    top_RF, count = massive(200.0)
    assert (top_RF[0].tolist(), int(count)) == ([200, pytest.approx(0.1), 0, 3, 17], 1)
    assert int(massive(99.0)[1]) == 0  # not above 100
    assert int(massive(200.0, scale=0.5)[1]) == 0  # only 400 times the median


def test_massive_top_three_are_exact_and_survive_micro_batches():
    x_BTD = sample((4, 9, 32), seed=8)
    flat = x_BTD.abs().flatten()
    expected = flat.topk(3)
    top = MassiveTop([("main", 1, "resid_post")], torch.device("cpu"))
    row = top.row(("main", 1, "resid_post"))
    for part_BTD in (x_BTD[:1], x_BTD[1:]):
        add_top(row, Tokens(part_BTD))
    found = list(top.read(top.take().tolist(), 5, "train"))
    assert [m.value for m in found] == pytest.approx(expected.values.tolist())
    where = [(m.sequence * 9 + m.token) * 32 + m.channel for m in found]
    assert where == expected.indices.tolist()
    assert [m.rank for m in found] == [1, 2, 3]


def test_sequence_medians_see_every_channel_of_a_long_sequence():
    x_BTD = sample((2, 4096, 64), seed=9)
    x_BTD[1] *= 7
    expected = x_BTD.abs().reshape(2, -1).median(dim=1).values
    assert sequence_medians(Tokens(x_BTD)).tolist() == pytest.approx(expected.tolist(), rel=0.06)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_nonfinite_entries_are_counted_and_the_rest_summarised(bad):
    x_BTD = sample()
    x_BTD[1, 2, 3] = x_BTD[0, 0, 0] = bad
    tokens = Tokens(x_BTD)
    assert value("nonfinite", tokens) == 2
    for name in set(ACTIVATION) - {"nonfinite"}:
        assert value(name, tokens) == pytest.approx(getattr(oracles, name)(x_BTD.numpy()), rel=1e-5)
    assert value("nonfinite", Tokens(x_BTD, torch.zeros(3, 7, dtype=torch.bool))) == 0  # padding is nobody's NaN


def test_parameter_metrics():
    four, nine, one, hundred = (torch.tensor(v) for v in (4.0, 9.0, 1.0, 100.0))
    group = ParameterGroup(four, nine, one, hundred, one)
    assert [value(name, group) for name in ("param_grad_norm", "param_norm", "update_ratio")] == [
        2,
        3,
        pytest.approx(0.1),
    ]


def test_every_metric_says_what_it_is():
    assert list(METRICS) == [metric.name for metric in METRICS.values()]
    assert all(m.title and m.formula and m.source and m.reduction for m in METRICS.values())
