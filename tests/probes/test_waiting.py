"""What a block shows waits for the block to return; nothing that is changed in place meanwhile is measured late."""

import pytest
import torch
from torch import nn

from depthscope.probes import watch


class Block(nn.Module):
    """Adds the stream to its branches' outputs in place, from the step on that `in_place_from` says."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width), nn.Linear(width, width)
        self.norm2, self.mlp = nn.LayerNorm(width), nn.Linear(width, width)
        self.in_place = False

    def forward(self, x):
        for branch in (lambda x: self.attn(self.norm1(x)), lambda x: self.mlp(self.norm2(x))):
            x = branch(x).add_(x) if self.in_place else branch(x) + x
        return x


class Model(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(16, width), nn.Linear(width, 16)
        self.blocks = nn.ModuleList(Block(width) for _ in range(3))

    def forward(self, ids):
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def variances(store_path, read, run, in_place):
    """Branch variances of three steps, where the blocks work in place at the steps `in_place`."""
    torch.manual_seed(0)
    model, ids = Model(), torch.randint(16, (2, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sites = {"blocks": "blocks", "attn": "attn", "mlp": "mlp"}
    with watch(model, store=store_path, run=run, every=1, sites=sites):
        for step in range(3):
            for block in model.blocks:
                block.in_place = step in in_place
            model(ids).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    frame = read().layer_stats(runs=[run], columns=["variance", "branch_ratio", "act_grad_norm"])
    return frame.drop(columns="run").sort_values(["step", "site", "layer"]).reset_index(drop=True)


def test_a_model_that_works_in_place_has_the_numbers_of_one_that_does_not(store_path, read):
    expected = variances(store_path, read, "plain", in_place=())
    assert expected.site.isin(["attn_out", "mlp_out"]).any()
    found = variances(store_path, read, "in place", in_place=(0, 1, 2))
    branches = found.site.isin(["attn_out", "mlp_out"])
    torch.testing.assert_close(found.variance[branches].tolist(), expected.variance[branches].tolist())


def test_a_site_that_works_in_place_later_is_left_out_once_and_said(store_path, read):
    with pytest.warns(RuntimeWarning, match="changed in place"):
        found = variances(store_path, read, "later", in_place=(1, 2))
    expected = variances(store_path, read, "never", in_place=())
    attn = found[found.site == "attn_out"].set_index(["step", "layer"]).variance
    assert attn[attn.index.get_level_values("step") == 1].isna().all()
    reference = expected[expected.site == "attn_out"].set_index(["step", "layer"]).variance
    for step in (0, 2):
        assert attn[step].tolist() == pytest.approx(reference[step].tolist(), rel=1e-5)
