"""The reference decoder against slow, obvious versions of its parts."""

import cmath
from math import exp, sqrt

import pytest
import torch
from torch import nn

from depthscope.sample_runs import STRATEGIES, build_model
from depthscope.sample_runs.model import Attention, SwiGLU, draw, linear_std, rope_tables, rotate
from depthscope.sample_runs.norms.prepbn import PRepBN
from depthscope.store import DepthscopeError


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("norm", ["rms", "layer"])
def test_ids_in_logits_out(name: str, norm: str) -> None:
    model = build_model(name, layers=2, width=16, heads=2, vocab=50, norm=norm)
    logits = model(torch.randint(50, (3, 7), generator=generator()))
    assert logits.shape == (3, 7, 50)
    assert logits.isfinite().all()


BATCH_STATISTICS = ("power", "prepbn")


def logits_of(name: str, ids_BT: torch.Tensor, train: bool) -> torch.Tensor:
    """Of a fresh model that has seen a few batches, so that what starts at zero does not stay there."""
    model = build_model(name, layers=3, width=16, heads=2, embedding_std=0.632)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if parameter.dim() < 2 and ("eta" in key or "weight" in key):
                parameter.add_(0.5)  # PRepBN starts with gains of 0
    model(torch.randint(256, (4, 12), generator=generator(9)))
    for module in model.modules():
        if isinstance(module, PRepBN):
            module.seen.fill_(module.warm + module.fade)  # batch norm alone
    return model.train(train)(ids_BT)


def changed_late() -> tuple[torch.Tensor, torch.Tensor]:
    ids_BT = torch.randint(256, (2, 12), generator=generator())
    changed_BT = ids_BT.clone()
    changed_BT[:, 8:] = (changed_BT[:, 8:] + 1) % 256
    return ids_BT, changed_BT


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_later_token_changes_no_earlier_logit(name: str) -> None:
    before, after = (logits_of(name, ids_BT, train=name not in BATCH_STATISTICS) for ids_BT in changed_late())
    assert torch.equal(before[:, :8], after[:, :8])
    assert not torch.allclose(before[:, 8:], after[:, 8:])


@pytest.mark.parametrize("name", BATCH_STATISTICS)
def test_batch_statistics_leak_the_future_in_training_as_the_note_says(name: str) -> None:
    before, after = (logits_of(name, ids_BT, train=True) for ids_BT in changed_late())
    assert not torch.allclose(before[:, :8], after[:, :8])
    assert "leak the future" in STRATEGIES[name].note


def test_rotation_is_multiplication_by_a_complex_phase() -> None:
    width = 6
    x = torch.randn(1, 1, 5, width, generator=generator())
    turned = rotate(x, *rope_tables(5, width))[0, 0]
    for t in range(5):
        for i in range(width // 2):
            a, b = x[0, 0, t, i].item(), x[0, 0, t, i + width // 2].item()
            expected = complex(a, b) * cmath.exp(1j * t * 10_000 ** (-2 * i / width))
            assert turned[t, i].item() == pytest.approx(expected.real, abs=1e-6)
            assert turned[t, i + width // 2].item() == pytest.approx(expected.imag, abs=1e-6)


def test_attention_scores_depend_on_distance_only() -> None:
    cos, sin = rope_tables(20, 8)
    q, k = torch.randn(2, 1, 1, 1, 8, generator=generator())

    def score(t: int, s: int) -> float:
        return (rotate(q, cos[t : t + 1], sin[t : t + 1]) * rotate(k, cos[s : s + 1], sin[s : s + 1])).sum().item()

    assert score(5, 2) == pytest.approx(score(17, 14), abs=1e-5)
    assert score(5, 2) != pytest.approx(score(6, 2), abs=1e-3)


def test_attention_against_loops() -> None:
    width, heads, tokens = 8, 2, 5
    attn = draw(Attention(width, heads, tokens), 0.5, generator())
    x_TD = torch.randn(tokens, width, generator=generator(1))
    q, k, v = (matrix(x_TD).view(tokens, heads, -1).transpose(0, 1)[None] for matrix in (attn.q, attn.k, attn.v))
    q, k = rotate(q, attn.cos, attn.sin), rotate(k, attn.cos, attn.sin)
    mixed = torch.zeros(tokens, width)
    for h in range(heads):
        for t in range(tokens):
            scores = [exp((q[0, h, t] @ k[0, h, s]).item() / sqrt(width // heads)) for s in range(t + 1)]
            for s, score in enumerate(scores):
                mixed[t, h * 4 : h * 4 + 4] += score / sum(scores) * v[0, h, s].detach()
    assert torch.allclose(attn(x_TD[None])[0], mixed @ attn.out.weight.T, atol=1e-5)


def test_swiglu_against_loops() -> None:
    mlp = draw(SwiGLU(3), 0.7, generator())
    x_D = torch.randn(3, generator=generator(2))
    gate, up = (mlp.gate.weight @ x_D).tolist(), (mlp.up.weight @ x_D).tolist()
    inner = [g / (1 + exp(-g)) * u for g, u in zip(gate, up, strict=True)]
    expected = [sum(w * i for w, i in zip(row, inner, strict=True)) for row in mlp.down.weight.tolist()]
    assert mlp(x_D).tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("width", "inner"), [(512, 1368), (768, 2048), (1024, 2736), (64, 176)])
def test_inner_width_is_that_of_the_papers(width: int, inner: int) -> None:
    with torch.device("meta"):
        assert SwiGLU(width).gate.weight.shape == (inner, width)


def test_no_biases_an_untied_head_and_a_final_norm() -> None:
    model = build_model("post", layers=2, width=16, heads=2, norm="layer")
    assert not [name for name, _ in model.named_parameters() if "bias" in name]
    assert model.head.weight is not model.embed.weight
    assert isinstance(model.final_norm, nn.LayerNorm)


@pytest.mark.parametrize("width", [64, 768])
def test_initial_spread(width: int) -> None:
    model = build_model("pre", layers=1, width=width, heads=4, vocab=512, embedding_std=0.632)
    assert linear_std(768) == pytest.approx(0.02)
    assert model.blocks[0].mlp.up.weight.std().item() == pytest.approx(0.02 * sqrt(768 / width), rel=0.03)
    assert model.head.weight.std().item() == pytest.approx(0.02 * sqrt(768 / width), rel=0.03)
    assert model.embed.weight.std().item() == pytest.approx(0.632, rel=0.03)


def test_building_is_repeatable_and_leaves_the_global_random_state() -> None:
    before = torch.get_rng_state()
    first, again, other = (build_model("pre", layers=2, width=16, heads=2, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.head.weight, other.head.weight)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"layers": 0}, "expected layers to be a whole number of at least 1, but got 0"),
        ({"layers": 2.5}, "expected layers to be a whole number of at least 1, but got 2.5"),
        ({"heads": 3}, "expected a width that 3 heads share in even parts, but got 16: take a multiple of 6"),
        ({"norm": "batch"}, "expected norm to be one of rms, layer, but got 'batch'"),
        ({"embedding_std": 0}, "expected embedding_std to be a number above 0, but got 0"),
        ({"embedding_std": float("nan")}, "expected embedding_std to be a number above 0, but got nan"),
    ],
)
def test_impossible_shapes_say_so(wrong: dict, message: str) -> None:
    with pytest.raises(DepthscopeError) as error:
        build_model("pre", **{"layers": 2, "width": 16, "heads": 2, **wrong})
    assert str(error.value) == message


def test_too_many_tokens_say_so() -> None:
    model = build_model("pre", layers=1, width=8, heads=2, context=4)
    with pytest.raises(DepthscopeError, match="expected at most 4 tokens a sequence, but got 5"):
        model(torch.zeros(1, 5, dtype=torch.long))


def test_biases_and_a_tied_head() -> None:
    plain, full = (
        build_model("pre", layers=2, width=16, heads=2, norm="layer", biases=b, tied=b, seed=1) for b in (False, True)
    )
    assert full.head.weight is full.embed.weight
    assert full.blocks[0].mlp.down.bias.eq(0).all()
    assert full.final_norm.bias is not None
    assert torch.equal(plain.blocks[1].attn.out.weight, full.blocks[1].attn.out.weight)
    ids_BT = torch.randint(256, (2, 5), generator=generator())
    assert full(ids_BT).shape == (2, 5, 256)
