"""Hugging Face Trainer: accumulation, gradient checkpointing, clipping, a checkpoint, and a resume from it."""

import sys

import torch
from torch.utils.data import Dataset
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

from depthscope.probes.integrations.huggingface import DepthscopeCallback

torch.set_num_threads(1)
store, checkpoints = sys.argv[1:]


class Ids(Dataset):
    def __init__(self):
        self.ids = torch.randint(97, (24, 8), generator=torch.Generator().manual_seed(0))

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, i):
        return {"input_ids": self.ids[i], "labels": self.ids[i]}


def train(steps, resume):
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4, vocab_size=97)
    )
    arguments = TrainingArguments(
        checkpoints,
        max_steps=steps,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        gradient_checkpointing=True,
        max_grad_norm=1.0,
        learning_rate=1e-3,
        logging_steps=1,
        save_steps=2,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    callback = DepthscopeCallback(store=store, run="hf", every=1)
    Trainer(model, arguments, train_dataset=Ids(), callbacks=[callback]).train(resume_from_checkpoint=resume)


train(4, None)
train(6, f"{checkpoints}/checkpoint-2")  # as after a crash at step 4: steps 2 and 3 are done again
