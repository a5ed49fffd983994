"""The loss of every held-out sequence, and the standard error of differences."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from families import FAMILIES, IDS
from torch import nn

from depthscope.probes.interventions import Losses, as_holdout, paired, sequence_losses
from depthscope.store import DepthscopeError


def test_next_token_loss_of_ids_is_the_cross_entropy(deep, ids_BT):
    losses = sequence_losses(deep, as_holdout(ids_BT))
    logits_BTV = deep(ids_BT)
    expected = F.cross_entropy(logits_BTV[:, :-1].flatten(0, 1), ids_BT[:, 1:].flatten())
    assert losses.tokens == 6 * 11
    assert losses.mean == pytest.approx(expected.item(), rel=1e-6)


def test_a_tuple_is_inputs_and_targets_and_a_list_several_batches(deep, ids_BT):
    pair = (ids_BT[:, :-1], ids_BT[:, 1:])
    whole = sequence_losses(deep, as_holdout(pair))
    parts = sequence_losses(deep, as_holdout([[t[:2] for t in pair], tuple(t[2:] for t in pair)]))
    assert torch.allclose(whole.sums_S, parts.sums_S)
    assert torch.equal(whole.tokens_S, parts.tokens_S)
    assert whole.mean == pytest.approx(sequence_losses(deep, as_holdout(ids_BT)).mean, rel=1e-6)


@pytest.mark.parametrize("wrong", [None, 3, [], "text", ["text"], {}, [torch.tensor(1.0)]])
def test_what_holds_no_sequence_is_refused_in_one_line(wrong):
    with pytest.raises(DepthscopeError, match="expected held-out batches") as refused:
        as_holdout(wrong)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["llama", "bert", "t5"])
def test_labels_are_aligned_as_the_model_aligns_them(name):
    model = _with_head(name)
    labels = IDS.clone()
    labels[:, :3] = -100
    batch = {"input_ids": IDS, "labels": labels}
    with torch.no_grad():
        expected = model.eval()(**batch).loss
    losses = sequence_losses(model, as_holdout(batch))
    assert losses.mean == pytest.approx(expected.item(), rel=1e-6)
    assert losses.tokens == 2 * 6


def _with_head(name: str) -> nn.Module:
    from transformers import BertForMaskedLM, T5ForConditionalGeneration

    built = FAMILIES[name].build()
    built.config.decoder_start_token_id = 0
    kinds = {"bert": BertForMaskedLM, "t5": T5ForConditionalGeneration}
    torch.manual_seed(0)
    return kinds[name](built.config) if name in kinds else built


def test_padding_does_not_count():
    model = FAMILIES["llama"].build()
    mask = torch.ones_like(IDS)
    mask[1, 5:] = 0
    losses = sequence_losses(model, as_holdout({"input_ids": IDS, "attention_mask": mask}))
    assert losses.tokens_S.tolist() == [8.0, 4.0]


def test_a_loss_function_is_called_for_every_sequence(deep, ids_BT):
    def mean_loss(model, batch):
        return F.cross_entropy(model(batch)[:, :-1].flatten(0, 1), batch[:, 1:].flatten())

    own = sequence_losses(deep, as_holdout(ids_BT, mean_loss))
    usual = sequence_losses(deep, as_holdout(ids_BT))
    assert own.mean == pytest.approx(usual.mean, rel=1e-6)
    assert len(own.sums_S) == 6


def test_many_sequences_make_about_32_groups(deep):
    batch = torch.zeros(100, 4, dtype=torch.long)
    losses = sequence_losses(deep, as_holdout(batch, lambda model, b: model(b).mean()))
    assert 25 <= len(losses.sums_S) <= 34
    assert losses.tokens == 400


def test_a_model_whose_loss_is_no_cross_entropy_needs_a_loss_function():
    class Smoothed(nn.Module):
        def forward(self, input_ids, labels):
            logits = torch.zeros(*input_ids.shape, 8)
            return SimpleNamespace(logits=logits, loss=torch.tensor(7.0))

    batch = {"input_ids": torch.zeros(2, 4, dtype=torch.long), "labels": torch.zeros(2, 4, dtype=torch.long)}
    with pytest.raises(DepthscopeError, match="loss_fn"):
        sequence_losses(Smoothed(), as_holdout(batch))


def test_standard_error_agrees_with_the_bootstrap():
    generator = torch.Generator().manual_seed(0)
    tokens_S = torch.randint(20, 60, (200,), generator=generator).double()
    base = Losses(tokens_S * 2.0, tokens_S)
    noise_S = torch.randn(200, generator=generator, dtype=torch.float64)
    other = Losses(tokens_S * (2.1 + 0.05 * noise_S) + 0.3 * tokens_S.sqrt() * noise_S.roll(1), tokens_S)
    delta, error = paired(base, other)
    draws = torch.randint(200, (4000, 200), generator=generator)
    d_S = other.sums_S - base.sums_S
    resampled = d_S[draws].sum(1) / tokens_S[draws].sum(1)
    assert delta == pytest.approx(float(d_S.sum() / tokens_S.sum()))
    assert error == pytest.approx(resampled.std().item(), rel=0.05)


def test_equal_losses_differ_by_nothing_and_one_sequence_has_no_error():
    losses = Losses(torch.tensor([3.0, 5.0]).double(), torch.tensor([2.0, 2.0]).double())
    assert paired(losses, losses) == (0.0, 0.0)
    one = Losses(losses.sums_S[:1], losses.tokens_S[:1])
    assert torch.tensor(paired(one, one)[1]).isnan()


def test_the_model_is_left_as_it_was(deep, ids_BT):
    deep.train()
    deep.blocks[1].eval()
    torch.manual_seed(0)
    before = torch.get_rng_state(), [m.training for m in deep.modules()], torch.is_grad_enabled()
    sequence_losses(deep, as_holdout(ids_BT))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert [m.training for m in deep.modules()] == before[1]
    assert torch.is_grad_enabled()
