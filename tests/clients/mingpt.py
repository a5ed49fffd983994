"""A trainer of its own with callbacks, after karpathy/minGPT: the probe is one of them."""

import sys
from collections import defaultdict

import torch
from own_models import NanoGPT
from torch.nn import functional as F

from depthscope.probes import watch


class Trainer:
    def __init__(self, model, steps):
        self.model, self.steps, self.callbacks = model, steps, defaultdict(list)

    def add_callback(self, event, callback):
        self.callbacks[event].append(callback)

    def trigger(self, event):
        for callback in self.callbacks[event]:
            callback(self)

    def run(self):
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3)
        self.model.train()
        for _ in range(self.steps):
            ids = torch.randint(97, (4, 9))
            self.loss = F.cross_entropy(self.model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
            self.model.zero_grad(set_to_none=True)
            self.loss.backward()
            optimizer.step()
            self.trigger("on_batch_end")
        self.trigger("on_end")


torch.manual_seed(0)
torch.set_num_threads(1)
trainer = Trainer(NanoGPT(), 4)
probe = watch(trainer.model, store=sys.argv[1], run="mingpt", every=1)
trainer.add_callback("on_batch_end", lambda t: probe.log(loss=t.loss))
trainer.add_callback("on_end", lambda t: probe.close())
trainer.run()
