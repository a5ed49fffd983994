"""A loop with Accelerate: accumulation over two batches, clipping through the accelerator."""

import sys

import torch
from accelerate import Accelerator
from own_models import NanoGPT
from torch.nn import functional as F
from torch.utils.data import DataLoader

from depthscope.probes import watch

torch.manual_seed(0)
torch.set_num_threads(1)
accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
model = NanoGPT()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
loader = DataLoader(torch.randint(97, (24, 9)), batch_size=4)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
with watch(accelerator.unwrap_model(model), store=sys.argv[1], run="accelerate", every=1) as probe:
    for ids in loader:
        with accelerator.accumulate(model):
            loss = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            probe.log(loss=loss)
