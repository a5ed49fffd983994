"""Preflight against plain training passes: the gradients it never forms, the sums it predicts, models of users."""

from collections.abc import Iterator
from math import inf, log2
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from depthscope.sample_runs import STRATEGIES, build_model, preflight_model, preflight_strategies
from depthscope.sample_runs.norms.deepnorm import DeepNormJoin
from depthscope.sample_runs.norms.keel import KeelJoin
from depthscope.sample_runs.norms.post import PostJoin
from depthscope.sample_runs.preflight.checks import LayerCheck, Preflight, absorbed_share, headroom_bits
from depthscope.store import DepthscopeError

LAYERS, WIDTH = 4, 32


@pytest.fixture(scope="module")
def checks() -> dict[str, Preflight]:
    return {
        check.name: check for check in preflight_strategies(list(STRATEGIES), layers=LAYERS, width=WIDTH, tokens=64)
    }


def plain_pass(name: str) -> tuple[nn.Module, list[Tensor], float]:
    """The same model, text and loss as preflight, with every gradient."""
    model = build_model(name, layers=LAYERS, width=WIDTH, heads=1, context=64)
    ids_BT = torch.randint(256, (2, 33), generator=torch.Generator().manual_seed(0))
    streams: list[Tensor] = []
    for block in model.blocks:
        block.register_forward_hook(lambda m, i, o: streams.append(o if isinstance(o, Tensor) else o[0]))
    loss = nn.functional.cross_entropy(model(ids_BT[:, :-1]).flatten(0, 1), ids_BT[:, 1:].flatten())
    loss.backward()
    return model, streams, loss.item()


@pytest.mark.parametrize("name", STRATEGIES)
def test_numbers_are_those_of_a_plain_training_pass(checks: dict[str, Preflight], name: str) -> None:
    model, streams, loss = plain_pass(name)
    check = checks[name]
    assert check.loss == pytest.approx(loss, rel=1e-5)
    assert [layer.layer for layer in check.layers] == list(range(1, LAYERS + 1))
    for block, stream, layer in zip(model.blocks, streams, check.layers, strict=True):
        expected = sum(p.grad.square().sum() for p in block.parameters() if p.grad is not None) ** 0.5
        assert layer.param_grad_norm == pytest.approx(float(expected), rel=1e-3, abs=1e-8)
        assert layer.mean_square == pytest.approx(stream.square().mean().item(), rel=1e-4)
        assert layer.variance == pytest.approx(stream.var(-1, correction=0).mean().item(), rel=1e-4)
        assert layer.abs_max == pytest.approx(stream.abs().max().item(), rel=1e-4)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_strategies_side_by_side_have_the_numbers_of_one_after_another() -> None:
    names = [*STRATEGIES, "deepnorm", "pre-rms", "pre-crms", "pre-rms"]  # those that have matrices of their own again
    found = {}
    for threads in (1, 5):
        torch.set_num_threads(threads)
        found[threads] = list(preflight_strategies(names, layers=6, width=64, tokens=32))
        assert torch.get_num_threads() == threads
    assert [check.name for check in found[5]] == names
    assert found[5] == found[1]


@pytest.mark.usefixtures("threads")
def test_who_stops_early_gets_the_threads_back() -> None:
    torch.set_num_threads(2)
    checks = preflight_strategies(list(STRATEGIES), layers=2, width=16)
    assert next(checks).name == next(iter(STRATEGIES))
    checks.close()
    assert torch.get_num_threads() == 2


def test_a_torch_without_onednn_has_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    (fast,) = preflight_strategies(["pre"], layers=2, width=64)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    (plain,) = preflight_strategies(["pre"], layers=2, width=64)
    for one, other in zip(fast.layers, plain.layers, strict=True):
        assert one.mean_square == pytest.approx(other.mean_square, rel=1e-6)
        assert one.param_grad_norm == pytest.approx(other.param_grad_norm, rel=1e-6)


@pytest.mark.parametrize("name", STRATEGIES)
def test_terms_are_what_a_join_adds(name: str) -> None:
    model = build_model(name, layers=2, width=16, heads=2, embedding_std=0.632)
    x_BTD = model.enter(model.embed(torch.arange(12).view(2, 6)))
    join, branch = model.blocks[0].mlp_join, model.blocks[0].mlp
    seen: list[Tensor] = []

    def spy(y_BTD: Tensor) -> Tensor:
        seen.append(branch(y_BTD))
        return seen[-1]

    joined = join(x_BTD, spy)
    carried, update = join.terms(x_BTD if isinstance(x_BTD, Tensor) else x_BTD[0], seen[0])
    joined = joined if isinstance(joined, Tensor) else joined[0]
    total = carried + update if name != "prores" else carried  # at its first step it adds nothing
    expected = join.norm(total) if isinstance(join, PostJoin | DeepNormJoin | KeelJoin) else total
    assert torch.allclose(joined, expected, atol=1e-5)


def test_theory_stands_beside_what_is_measured() -> None:
    names = ["pre", "post", "peri", "mix", "lns", "deepnorm", "keel", "pre-scaled", "pre-rms"]
    for check in preflight_strategies(names, layers=16, width=128):
        for layer in check.layers[8:]:
            assert layer.theory == pytest.approx(layer.mean_square, rel=0.35), (check.name, layer.layer)


def test_gradients_of_post_lean_deep_and_of_pre_early() -> None:
    pre, post = preflight_strategies(["pre", "post"], layers=12, width=64)
    assert pre.gradient_skew < 0.8 < post.gradient_skew


def test_absorbed_share_by_hand() -> None:
    # bf16 steps: 2^-7 at 1, 2^-6 at 2..4, 1 at 128
    carried = torch.tensor([1.0, 1.0, 2.5, 128.0, 128.0, 0.0])
    update = torch.tensor([0.0038, 0.0040, -0.0077, 0.49, 0.51, 1e-9])
    assert absorbed_share(carried, update) == pytest.approx(3 / 6)
    assert absorbed_share(carried, torch.zeros(6)) is None
    for s, u in zip(carried[:5], update[:5], strict=True):  # what bf16 itself does with the sum
        lost = (s + u).to(torch.bfloat16) == s.to(torch.bfloat16)
        assert bool(lost) == (absorbed_share(s[None], u[None]) == 1.0)


def test_headroom() -> None:
    assert headroom_bits(65504) == 0
    assert headroom_bits(1.0) == pytest.approx(log2(65504))
    assert headroom_bits(0.0) == inf
    assert headroom_bits(inf) == -inf


def test_unknown_parts_stay_unknown() -> None:
    layer = LayerCheck(1, 1.0, 1.0, None, 1.0, None, None, None, None, None)
    check = Preflight("x", "x", 1.0, 1.0, (layer, layer, layer))
    assert check.gradient_skew is None
    assert check.raw_bits is None
    assert check.absorbed(0.5) is None


@pytest.mark.parametrize(
    ("names", "wrong", "says"),
    [(["up"], {}, "expected a strategy out of"), (["pre"], {"norm": "batch"}, "expected norm to be one of rms, layer")],
)
def test_what_is_wrong_is_said_before_anything_is_drawn(names: list[str], wrong: dict, says: str) -> None:
    with pytest.raises(DepthscopeError, match=says):
        preflight_strategies(names, **{"layers": 2, "width": 16, **wrong})


MINE = """
import torch
from torch import nn
from depthscope.sample_runs import build_model

def pre():
    ids = torch.randint(256, (2, 33), generator=torch.Generator().manual_seed(0))
    return build_model("pre", layers=4, width=32, heads=1, context=64), ids[:, :-1]

def peri():
    return build_model("peri", layers=3, width=32, heads=2)

def gpt2():
    from transformers import GPT2Config, GPT2LMHeadModel
    torch.manual_seed(0)
    config = GPT2Config(n_embd=32, n_layer=3, n_head=2, vocab_size=50, bos_token_id=None, eos_token_id=None)
    return GPT2LMHeadModel(config)

def nothing():
    return 3

def blockless():
    return nn.Linear(2, 2)

def two_inputs():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.layers = nn.Embedding(9, 4), nn.ModuleList(nn.Linear(4, 4) for _ in range(3))

        def forward(self, source, target):
            return source

    return Pair()

def flat():
    return nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 9))

def broken():
    raise RuntimeError("no weights here")
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    name = f"mine_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield name


def test_own_model_has_the_same_numbers(mine: str) -> None:
    check = preflight_model(f"{mine}:pre")
    (reference,) = preflight_strategies(["pre"], layers=4, width=32, tokens=64)
    for own, other in zip(check.layers, reference.layers, strict=True):
        assert own.mean_square == pytest.approx(other.mean_square, rel=1e-4)  # the same 64 inputs
        assert own.attn_absorbed == pytest.approx(other.attn_absorbed, abs=0.01)
        assert own.mlp_absorbed == pytest.approx(other.mlp_absorbed, abs=0.01)
        assert own.raw_max == pytest.approx(other.raw_max, rel=1e-4)
        assert own.param_grad_norm > 0
        assert own.act_grad_norm > 0
    assert check.start == pytest.approx(reference.start, rel=1e-4)


@pytest.mark.parametrize("name", ["peri", "gpt2"])
def test_own_models_are_hooked_in_full(mine: str, name: str) -> None:
    check = preflight_model(f"{mine}:{name}")
    assert len(check.layers) == 3
    for layer in check.layers:
        assert None not in (layer.raw_max, layer.attn_absorbed, layer.mlp_absorbed, layer.param_grad_norm)


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("{}", "expected a model as MODULE:FUNCTION, but got"),
        ("no_such_module_here:f", "ModuleNotFoundError: No module named 'no_such_module_here'"),
        ("{}:absent", "AttributeError"),
        ("{}:broken", "RuntimeError: no weights here"),
        ("{}:two_inputs", "expected the model to take token ids [2, 32], but got TypeError: "),
        ("{}:flat", "expected a model with repeated blocks"),
        ("{}:nothing", "to return a torch module, but got int"),
        ("{}:blockless", "expected '{}:blockless' to return a model with an embedding"),
    ],
)
def test_own_models_that_cannot_be_used(mine: str, target: str, says: str) -> None:
    with pytest.raises(DepthscopeError) as wrong:
        preflight_model(target.format(mine))
    assert says.format(mine) in str(wrong.value)
