"""A training script that knows nothing of depthscope: a plain loop, with a second, smaller model beside the first."""

import sys

import torch
from own_models import NanoGPT
from torch import nn
from torch.nn import functional as F


def main(steps, attach=lambda model: None):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    critic = nn.Sequential(nn.Linear(97, 4), nn.Tanh(), nn.Linear(4, 1))
    model = NanoGPT()
    optimizer = torch.optim.AdamW([*model.parameters(), *critic.parameters()], lr=1e-3)
    attach(model)
    for _ in range(steps):
        ids = torch.randint(97, (4, 9))
        logits = model(ids[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()) + critic(logits).square().mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    print(f"trained {steps} steps")


if __name__ == "__main__":
    main(int(sys.argv[1]))
