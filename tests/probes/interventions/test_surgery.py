"""What is measured equals a model that was really rebuilt: blocks deleted, doubled, branches without weights."""

import copy
from collections.abc import Callable

import pytest
import torch
from families import FAMILIES, IDS
from torch import nn

from depthscope.probes.interventions import Listener, Task, as_holdout, chosen_kinds, evaluate, sequence_losses
from depthscope.sample_runs import build_model
from depthscope.store import Intervention


def measured(model: nn.Module, batches, only: str) -> dict[tuple[str, str, int, str, int], Intervention]:
    def failed(kind: str, error: Exception) -> None:
        raise error

    task = Task(as_holdout(batches), chosen_kinds(only), step=0)
    records = evaluate(model, task, Listener(failed=failed))
    return {(r.stack, r.action, r.layer, r.site, r.span): r for r in records if isinstance(r, Intervention)}


def rebuilt_loss(model: nn.Module, batches, change: Callable[[nn.Module], None]) -> float:
    twin = copy.deepcopy(model)
    change(twin)
    return sequence_losses(twin, as_holdout(batches)).mean


def deleted(path: str, *indices: int) -> Callable[[nn.Module], None]:
    def change(model: nn.Module) -> None:
        blocks = model.get_submodule(path)
        for index in sorted(indices, reverse=True):
            del blocks[index]

    return change


def doubled(path: str, index: int) -> Callable[[nn.Module], None]:
    def change(model: nn.Module) -> None:
        blocks = model.get_submodule(path)
        blocks.insert(index, blocks[index])
        for module in model.modules():
            if hasattr(module, "config"):  # one cache of keys for both calls; and some stop after so many layers
                module.config.use_cache = False
                module.config.num_hidden_layers = 4

    return change


def sharpened(model: nn.Module) -> nn.Module:
    """Larger weights: a fresh model's blocks hardly matter."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0)
    return model.eval()


def masked_bert() -> nn.Module:
    from transformers import BertForMaskedLM

    torch.manual_seed(0)
    return BertForMaskedLM(FAMILIES["bert"].build().config)


def translating_t5() -> nn.Module:
    from transformers import T5ForConditionalGeneration

    config = FAMILIES["t5"].build().config
    config.decoder_start_token_id = 0
    torch.manual_seed(0)
    return T5ForConditionalGeneration(config)


LABELLED = {"input_ids": IDS, "labels": IDS.flip(1)}
# T5's first block makes the position bias that the others use: without it there is no model to compare with.
CASES = {
    "llama": (FAMILIES["llama"].build, IDS, "main", "model.layers", (1, 2, 3)),
    "gpt2": (FAMILIES["gpt2"].build, IDS, "main", "transformer.h", (1, 2, 3)),
    "opt": (FAMILIES["opt"].build, IDS, "main", "model.decoder.layers", (1, 2, 3)),
    "olmo2": (FAMILIES["olmo2"].build, IDS, "main", "model.layers", (1, 2, 3)),
    "mixtral": (FAMILIES["mixtral"].build, IDS, "main", "model.layers", (1, 2, 3)),
    "bert": (masked_bert, LABELLED, "main", "bert.encoder.layer", (1, 2, 3)),
    "t5 encoder": (translating_t5, LABELLED, "encoder", "encoder.block", (2, 3)),
    "t5 decoder": (translating_t5, LABELLED, "decoder", "decoder.block", (2, 3)),
}


@pytest.mark.parametrize("name", CASES)
def test_deltas_equal_modulelist_surgery(name):
    build, batches, stack, path, layers = CASES[name]
    model = sharpened(build())
    base, rows = sequence_losses(model, as_holdout(batches)).mean, measured(model, batches, "skip,repeat,spans")
    for layer in layers:
        row = rows[stack, "skip", layer, "block", 1]
        expected = rebuilt_loss(model, batches, deleted(path, layer - 1))
        assert (row.loss, row.delta) == pytest.approx((expected, expected - base), abs=1e-6)
        row = rows[stack, "repeat", layer, "block", 1]
        assert row.loss == pytest.approx(rebuilt_loss(model, batches, doubled(path, layer - 1)), abs=1e-6)
    row = rows[stack, "skip", 2, "block", 2]
    assert row.loss == pytest.approx(rebuilt_loss(model, batches, deleted(path, 1, 2)), abs=1e-6)
    assert abs(row.delta) > 1e-4


@pytest.mark.parametrize("strategy", ["pre", "post", "peri", "deepnorm", "gpas"])
def test_the_sample_decoder_in_every_placement(strategy, ids_BT):
    model = sharpened(build_model(strategy, layers=4, width=32, heads=2, vocab=64, seed=1))
    rows = measured(model, ids_BT, "skip,repeat,spans")
    for layer in range(1, 5):
        expected = rebuilt_loss(model, ids_BT, deleted("blocks", layer - 1))
        assert rows["main", "skip", layer, "block", 1].loss == pytest.approx(expected, abs=1e-6)
        expected = rebuilt_loss(model, ids_BT, doubled("blocks", layer - 1))
        assert rows["main", "repeat", layer, "block", 1].loss == pytest.approx(expected, abs=1e-6)
    expected = rebuilt_loss(model, ids_BT, deleted("blocks", 1, 2, 3))
    assert rows["main", "skip", 2, "block", 3].loss == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("strategy", ["pre", "post", "keel"])
@pytest.mark.parametrize("kind", ["attn", "mlp"])
def test_a_zeroed_branch_equals_one_without_weights(strategy, kind, ids_BT):
    """In post-norm blocks the norm after the sum still applies."""
    model = sharpened(build_model(strategy, layers=3, width=32, heads=2, vocab=64, seed=1))
    rows = measured(model, ids_BT, "zero")

    def silent(twin: nn.Module) -> None:
        branch = getattr(twin.blocks[1], kind)
        nn.init.zeros_((branch.out if kind == "attn" else branch.down).weight)

    row = rows["main", "zero", 2, f"{kind}_out", 1]
    assert row.loss == pytest.approx(rebuilt_loss(model, ids_BT, silent), abs=1e-6)
    assert abs(row.delta) > 1e-4


def test_half_precision_deltas_are_those_of_the_rebuilt_model(ids_BT):
    model = sharpened(build_model("pre", layers=3, width=32, heads=2, vocab=64, seed=1)).bfloat16()
    rows = measured(model, ids_BT, "skip")
    for layer in (1, 2, 3):
        expected = rebuilt_loss(model, ids_BT, deleted("blocks", layer - 1))
        assert rows["main", "skip", layer, "block", 1].loss == pytest.approx(expected, abs=1e-6)


def test_uneven_batches_and_a_loss_function_give_the_same_deltas(ids_BT):
    from loops import loss_of

    model = sharpened(build_model("pre", layers=3, width=32, heads=2, vocab=64, seed=1))
    expected = measured(model, ids_BT, "skip")
    for batches in ([ids_BT[:1], ids_BT[1:]], as_holdout(ids_BT, loss_of)):
        found = measured(model, batches, "skip")
        assert {k: r.delta for k, r in found.items()} == pytest.approx(
            {k: r.delta for k, r in expected.items()}, abs=1e-6
        )
        assert [r.delta_se for r in found.values()] == pytest.approx([r.delta_se for r in expected.values()], abs=1e-6)
