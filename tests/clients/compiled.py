"""A script that compiles its model whole, and fails where a graph breaks."""

import torch
from own_models import NanoBlock
from torch import nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(97, 32)
        self.blocks = nn.ModuleList([NanoBlock() for _ in range(3)])

    def forward(self, ids):
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return x


torch.manual_seed(0)
torch.set_num_threads(1)
model = Model()
optimizer = torch.optim.AdamW(model.parameters())
compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
for _ in range(3):
    compiled(torch.randint(97, (2, 9))).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()
