"""Converted models against the originals: equal logits, equal gradients, and a wrong conversion that must be caught."""

import copy
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from depthscope.sample_runs import STRATEGIES, build_model, fold_prepbn, to_pre_crmsnorm, to_pre_rmsnorm
from depthscope.sample_runs.norms.prerms import RMSNorm, centred
from depthscope.store import DepthscopeError

CONVERSIONS = [to_pre_rmsnorm, to_pre_crmsnorm]
IDS = torch.randint(40, (3, 9), generator=torch.Generator().manual_seed(2))


def randomized(model: nn.Module, spread: float = 0.3) -> nn.Module:
    """Float64, with gains and biases that are not 1 and 0."""
    generator = torch.Generator().manual_seed(7)
    model = model.double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, dtype=torch.float64, generator=generator) * spread)
    return model


def decoder(biases: bool = True, tied: bool = False) -> nn.Module:
    model = build_model("pre", layers=4, width=16, heads=2, vocab=40, norm="layer", biases=biases, tied=tied)
    return randomized(model)


def gpt2(tied: bool = True) -> nn.Module:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        n_embd=16, n_layer=3, n_head=2, vocab_size=40, n_positions=16, tie_word_embeddings=tied,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    torch.manual_seed(0)
    return randomized(transformers.GPT2LMHeadModel(config))


def logits(model: nn.Module, ids_BT: Tensor = IDS) -> Tensor:
    output = model(ids_BT)
    return output if isinstance(output, Tensor) else output.logits


MODELS = {
    **{f"decoder biases={b} tied={t}": (lambda b=b, t=t: decoder(b, t)) for b, t in product((False, True), repeat=2)},
    "gpt2 tied": gpt2,
    "gpt2 untied": lambda: gpt2(tied=False),
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())
@pytest.mark.parametrize("trainable", [False, True])
@pytest.mark.parametrize("convert", CONVERSIONS)
def test_equal_logits(convert, trainable: bool, make) -> None:
    model = make()
    before = copy.deepcopy(model.state_dict())
    expected = logits(model)
    assert (logits(convert(model, trainable=trainable)) - expected).abs().max() < 1e-10
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())  # the original is kept
    float32 = convert(model.float(), trainable=trainable)
    assert (logits(float32) - logits(model)).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())
@pytest.mark.parametrize("convert", CONVERSIONS)
def test_trainable_form_has_the_same_gradients(convert, make) -> None:
    model = make()
    converted = convert(model, trainable=True)
    for each in (model, converted):
        nn.functional.cross_entropy(logits(each).flatten(0, 1), IDS.flatten()).backward()
    gradients = {key: p.grad for key, p in model.named_parameters()}
    found = {original_name(key): p.grad for key, p in converted.named_parameters()}
    assert found.keys() == gradients.keys()
    for key, gradient in gradients.items():
        assert torch.allclose(found[key], gradient, atol=1e-11, rtol=1e-9), key


def original_name(key: str) -> str:
    for tensor in ("weight", "bias"):
        key = key.replace(f"parametrizations.{tensor}.original", tensor)
    return key.replace("lm_head.ln_f", "transformer.ln_f").replace("lm_head.head", "lm_head")


@pytest.mark.parametrize("convert", CONVERSIONS)
def test_training_the_trainable_form_is_training_the_original(convert) -> None:
    model = decoder(tied=True)
    converted = convert(model, trainable=True)
    for each in (model, converted):
        optimizer = torch.optim.SGD(each.parameters(), lr=0.05)
        for _ in range(3):
            nn.functional.cross_entropy(logits(each).flatten(0, 1), IDS.flatten()).backward()
            optimizer.step()
            optimizer.zero_grad()
    assert (logits(model) - logits(converted)).abs().max() < 1e-9


@pytest.mark.parametrize("make", [decoder, gpt2], ids=["decoder", "gpt2"])
def test_the_stream_is_the_centred_one(make) -> None:
    streams = []
    model = make()
    for each in (model, to_pre_rmsnorm(model)):
        kept: list[Tensor] = []
        for block in each.blocks if hasattr(each, "blocks") else each.transformer.h:
            block.register_forward_hook(lambda m, i, o, kept=kept: kept.append(o if isinstance(o, Tensor) else o[0]))
        each(IDS)
        streams.append(torch.stack(kept))
    assert streams[1].mean(-1).abs().max() < 1e-12
    assert (streams[1] - centred(streams[0])).abs().max() < 1e-11


def test_centring_over_the_wrong_axis_is_caught() -> None:
    model = decoder()
    wrong = copy.deepcopy(model)
    with torch.no_grad():
        wrong.embed.weight.copy_(centred(wrong.embed.weight))
        for block in wrong.blocks:
            for join in (block.attn_join, block.mlp_join):
                join.norm = like(join.norm)
            for writer in (block.attn.out, block.mlp.down):
                writer.weight.copy_(centred(writer.weight, 1))
                writer.bias.copy_(centred(writer.bias, 0))
    wrong.final_norm = like(wrong.final_norm)
    assert (logits(wrong) - logits(model)).abs().max() > 0.1


def like(layer: nn.LayerNorm) -> RMSNorm:
    made = RMSNorm(layer.normalized_shape[0], layer.eps, bias=True)
    made.weight, made.bias = layer.weight, layer.bias
    return made


def test_crms_has_one_feature_less_and_no_gains() -> None:
    converted = to_pre_crmsnorm(decoder(tied=True))
    assert converted.embed.weight.shape == (40, 15)
    assert converted.blocks[0].attn.out.weight.shape == (15, 16)
    assert converted.head.weight.shape == (40, 15)
    assert not list(converted.final_norm.parameters())


@pytest.mark.parametrize("convert", CONVERSIONS)
@pytest.mark.parametrize(
    ("model", "says"),
    [
        (lambda: nn.Linear(2, 2), "built by build_model, or a GPT2LMHeadModel, but got a Linear"),
        (lambda: build_model("post", layers=2, width=8, heads=2, norm="layer"), "but got one with 'post' blocks"),
        (lambda: build_model("qk", layers=2, width=8, heads=2, norm="rms"), "but got one with RMSNorm"),
        (lambda: build_model("pre", layers=2, width=8, heads=2), "but got one with RMSNorm"),
        (lambda: build_model("peri-embed", layers=2, width=8, heads=2, norm="layer"), "'peri-embed' blocks"),
    ],
    ids=["no decoder", "post", "qk rms", "rms", "embedding norm"],
)
def test_what_cannot_be_converted_is_refused(convert, model, says: str) -> None:
    with pytest.raises(DepthscopeError) as refused:
        convert(model())
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("convert", CONVERSIONS)
def test_dropout_on_the_stream_is_refused_for_training_only(convert) -> None:
    model = gpt2()
    model.transformer.h[0].mlp.dropout.p = 0.1
    with pytest.raises(DepthscopeError, match="expected no dropout on the residual stream"):
        convert(model, trainable=True)
    assert (logits(convert(model.eval())) - logits(model)).abs().max() < 1e-10


@pytest.mark.parametrize(("biases", "tied"), list(product((False, True), repeat=2)))
def test_folded_prepbn_is_exact(biases: bool, tied: bool) -> None:
    model = build_model("prepbn", layers=3, width=16, heads=2, vocab=40, biases=biases, tied=tied)
    model = randomized(model, 0.2)
    for _ in range(3):
        model(IDS)
    folded = fold_prepbn(model)
    expected = logits(model.eval())
    assert expected.std() > 0.1
    assert (logits(folded) - expected).abs().max() < 1e-12 * max(1.0, expected.abs().max().item())
    assert not [m for m in folded.modules() if "norm" in type(m).__name__.lower() or "BN" in type(m).__name__]


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "prepbn"])
def test_only_prepbn_is_folded(name: str) -> None:
    with pytest.raises(DepthscopeError, match=f"but got '{name}'"):
        fold_prepbn(build_model(name, layers=1, width=8, heads=2))


def test_fold_refuses_other_models() -> None:
    with pytest.raises(DepthscopeError, match="but got Linear"):
        fold_prepbn(nn.Linear(2, 2))
