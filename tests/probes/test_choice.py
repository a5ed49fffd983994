"""Which metrics a run measures: the standard ones, named ones, and every entry in place of a sample."""

import math

import oracles
import pytest
import torch

from depthscope.probes import METRICS, watch
from depthscope.probes.choice import chosen_metrics
from depthscope.probes.massive import sequence_medians
from depthscope.probes.metrics import SAMPLED, Tokens
from depthscope.sample_runs import build_model
from depthscope.store import DepthscopeError, open_store

VOCAB = 64


def trained(tmp_path, name, metrics, steps=2, width=96):
    """The store after a few sampled steps, and the weights before and after the last of them."""
    torch.manual_seed(0)
    model = build_model("pre", layers=2, width=width, heads=4, vocab=VOCAB)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses, before = [], []
    with watch(model, store=tmp_path, run=name, every=1, metrics=metrics, example_inputs=torch.zeros(1, 8).long()):
        for _ in range(steps):
            ids = torch.randint(VOCAB, (4, 16))
            loss = torch.nn.functional.cross_entropy(model(ids).flatten(0, 1), ids.flatten())
            loss.backward()
            before = [p.detach().clone() for p in model.parameters()]
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    return open_store(tmp_path), losses, before, model


def measured(frame):
    """The metrics that have a value in these rows."""
    return {name for name in METRICS if name in frame and frame[name].notna().any()}


@pytest.mark.parametrize(
    ("wanted", "sites"),
    [
        (["variance", "kurtosis"], {"resid_post", "resid_mid", "attn_out", "mlp_out"}),
        (["act_grad_norm"], {"resid_post", "resid_mid", "attn_out", "mlp_out"}),
        ("block_influence", {"block", "attn_out", "mlp_out"}),
        (["param_grad_norm"], {"block", "attn", "mlp", "embed", "final_norm", "head"}),
        (["update_ratio", "param_norm"], {"block", "attn", "mlp", "embed", "final_norm", "head"}),
    ],
)
def test_named_metrics_are_measured_and_no_others(tmp_path, wanted, sites):
    store, *_ = trained(tmp_path, "few", wanted)
    frame = store.layer_stats("few")
    assert measured(frame) == ({wanted} if isinstance(wanted, str) else set(wanted))
    assert set(frame["site"]) == sites
    assert store.massive("few").empty
    assert store.steps("few")["grad_norm"].notna().all()
    assert store.events("few").query("kind == 'warning'").empty


def test_the_largest_activations_come_with_abs_max(tmp_path):
    store, *_ = trained(tmp_path, "top", ["abs_max"])
    assert set(store.massive("top")["layer"]) == {0, 1, 2}
    assert measured(store.layer_stats("top")) == {"abs_max"}


def test_what_is_chosen_changes_neither_the_training_nor_the_numbers(tmp_path):
    store, losses, *_ = trained(tmp_path, "all", "standard")
    _, few, *_ = trained(tmp_path, "few", ["variance", "param_norm"])
    assert few == losses
    columns = ["variance", "param_norm"]
    kept = [store.layer_stats(run, columns=columns).dropna(how="all", subset=columns) for run in ("all", "few")]
    assert kept[0].drop(columns="run").reset_index(drop=True).equals(kept[1].drop(columns="run").reset_index(drop=True))


def test_exact_updates_read_every_weight(tmp_path):
    store, _, before, model = trained(tmp_path, "exact", "exact")
    block = [i for i, (name, _) in enumerate(model.named_parameters()) if name.startswith("blocks.0.")]
    after = [p.detach() for p in model.parameters()]
    assert max(after[i].numel() for i in block) > SAMPLED  # a sample would not have been everything
    moved, size = (
        sum(tensor.double().square().sum().item() for tensor in tensors)
        for tensors in ([after[i] - before[i] for i in block], [after[i] for i in block])
    )
    row = store.layer_stats("exact", site="block", layers=1, columns=["update_ratio"]).iloc[-1]
    assert row["update_ratio"] == pytest.approx(math.sqrt(moved / size), rel=1e-5)


def test_exact_medians_read_every_entry():
    x_BTD = torch.randn(3, 40, 96, generator=torch.Generator().manual_seed(1))
    tokens = Tokens(x_BTD, elements=chosen_metrics("exact").elements)
    numerator, weight = METRICS["median_abs"].measure(tokens)
    assert float(numerator / weight) == pytest.approx(oracles.median_abs(x_BTD.numpy()), rel=1e-6)
    assert sequence_medians(tokens).tolist() == x_BTD.abs().flatten(1).median(dim=1).values.tolist()


@pytest.mark.parametrize("wanted", ["varience", ["variance", "speed"], []])
def test_a_metric_that_is_not_there_is_refused_before_a_run_is_opened(tmp_path, wanted):
    with pytest.raises(DepthscopeError, match="expected metrics to be 'standard' or 'exact', or names out of variance"):
        trained(tmp_path / "store", "wrong", wanted)
    assert not (tmp_path / "store").exists()
