"""Near-zero fractions, by hand."""

import pytest
import torch
from pruning import contexts
from torch import nn

from depthscope.probes import evaluate_checkpoints
from depthscope.probes.interventions import INTERVENTIONS, as_holdout
from depthscope.probes.interventions.cost import NOTHING
from depthscope.probes.sites import find_sites
from depthscope.sample_runs import build_model
from depthscope.store import open_store

KIND = INTERVENTIONS["near_zero"]


@pytest.fixture
def model() -> nn.Module:
    model = build_model("pre", layers=2, width=8, heads=2, vocab=16, seed=1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.5)
        weight = model.blocks[0].attn.q.weight.view(-1)  # 64 of 1280 weights
        weight[:4] = torch.tensor([0.0, -9e-6, 5e-5, -5e-3])
    return model


@pytest.fixture
def make(model):
    return contexts(model, find_sites(model), as_holdout(torch.zeros(2, 4, dtype=torch.int64)))


def fractions(records, matrix, layer) -> dict[float, float]:
    return {r.threshold: r.near_zero for r in records if r.matrix == matrix and r.layer == layer}


def test_fractions_of_a_matrix_and_of_all(model, make):
    records = KIND.measure(make(step=3))
    assert fractions(records, "attn.q", 1) == {1e-5: 2 / 64, 1e-4: 3 / 64, 1e-3: 3 / 64, 1e-2: 4 / 64}
    assert set(fractions(records, "attn.q", 2).values()) == {0.0}
    total = sum(p.numel() for block in model.blocks for p in block.parameters() if p.dim() == 2)
    assert fractions(records, "all", None)[1e-2] == pytest.approx(4 / total)
    assert KIND.cost(make()) == NOTHING


def test_the_relative_threshold_stays_that_of_the_start(model, make):
    memory: dict = {}
    first = KIND.measure(make(initial=True, memory=memory))
    rms = float(model.blocks[0].attn.q.weight.detach().square().mean().sqrt())
    threshold = next(t for t in fractions(first, "attn.q", 1) if t not in (1e-5, 1e-4, 1e-3, 1e-2))
    assert threshold == pytest.approx(0.01 * rms)
    with torch.no_grad():
        model.blocks[0].attn.q.weight.fill_(1e-3)
    later = KIND.measure(make(step=5, memory=memory))
    assert fractions(later, "attn.q", 1)[threshold] == 1.0
    assert len(fractions(later, "all", None)) == 5


def test_a_run_whose_start_was_not_seen_has_no_relative_threshold(make):
    assert sorted(fractions(KIND.measure(make(step=9)), "all", None)) == [1e-5, 1e-4, 1e-3, 1e-2]


@pytest.mark.parametrize(("name", "thresholds"), [("step-0.pt", 5), ("model.pt", 4)])
def test_a_checkpoint_without_a_step_is_not_taken_for_an_untrained_one(tmp_path, model, name, thresholds):
    torch.save(model.state_dict(), tmp_path / name)
    ids_BT = torch.zeros(2, 4, dtype=torch.int64)
    evaluate_checkpoints([tmp_path / name], lambda: model, ids_BT, store=tmp_path / "runs", run="a", only="near_zero")
    assert open_store(tmp_path / "runs").sparsity_layers()["layer"].isna().sum() == thresholds
