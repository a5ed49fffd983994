"""Lightning, with accumulation over two batches."""

import sys

import lightning.pytorch as pl
import torch
from own_models import NanoGPT
from torch.nn import functional as F
from torch.utils.data import DataLoader

from depthscope.probes.integrations.lightning import DepthscopeCallback


class Module(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.network = NanoGPT()

    def training_step(self, ids, index):
        return F.cross_entropy(self.network(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


torch.manual_seed(0)
torch.set_num_threads(1)
trainer = pl.Trainer(
    accelerator="cpu",
    max_steps=3,
    accumulate_grad_batches=2,
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    callbacks=[DepthscopeCallback(store=sys.argv[1], run="lightning", every=1)],
)
trainer.fit(Module(), DataLoader(torch.randint(97, (24, 9)), batch_size=4))
