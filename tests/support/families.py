"""Random-init models of other people, small enough to trace in a moment."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

IDS = torch.randint(97, (2, 9), generator=torch.Generator().manual_seed(0))


@dataclass(frozen=True)
class Family:
    """How to build a model, what to call it with, and what its documentation says of its norms."""

    build: Callable[[], nn.Module]
    arguments: dict[str, Any]
    placement: str
    hidden: str = "hidden_states"


def _hf(name: str, **config: Any) -> Callable[[], nn.Module]:
    """`name` is 'Llama:ForCausalLM'; importing one class loads one model's file, not all of transformers."""

    def build() -> nn.Module:
        import transformers

        stem, _, head = name.partition(":")
        torch.manual_seed(0)
        return getattr(transformers, stem + head)(getattr(transformers, f"{stem}Config")(**config))

    return build


_SIZE = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 97}
_GQA = {**_SIZE, "num_key_value_heads": 2}
_GPT = {"n_embd": 32, "n_layer": 3, "n_head": 4, "vocab_size": 97}
_TEXT = {"input_ids": IDS}
_IMAGE = {"pixel_values": torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))}

FAMILIES: dict[str, Family] = {
    "llama": Family(_hf("Llama:ForCausalLM", **_GQA), _TEXT, "pre"),
    "mistral": Family(_hf("Mistral:ForCausalLM", **_GQA), _TEXT, "pre"),
    "mixtral": Family(_hf("Mixtral:ForCausalLM", **_GQA), _TEXT, "pre"),
    "qwen2": Family(_hf("Qwen2:ForCausalLM", **_GQA), _TEXT, "pre"),
    "qwen3": Family(_hf("Qwen3:ForCausalLM", **_GQA, head_dim=8), _TEXT, "pre"),
    "gemma": Family(_hf("Gemma:ForCausalLM", **_GQA, head_dim=8), _TEXT, "pre"),
    "gemma2": Family(_hf("Gemma2:ForCausalLM", **_GQA, head_dim=8), _TEXT, "peri"),
    "olmo2": Family(_hf("Olmo2:ForCausalLM", **_GQA), _TEXT, "output"),
    "phi": Family(_hf("Phi:ForCausalLM", **_SIZE), _TEXT, "pre"),
    "gptj": Family(_hf("GPTJ:ForCausalLM", **_GPT, rotary_dim=4), _TEXT, "pre"),
    "gpt2": Family(_hf("GPT2:LMHeadModel", **_GPT), _TEXT, "pre"),
    "gpt_neox": Family(_hf("GPTNeoX:ForCausalLM", **_SIZE), _TEXT, "pre"),
    "opt": Family(
        _hf("OPT:ForCausalLM", hidden_size=32, num_hidden_layers=3, num_attention_heads=4, ffn_dim=64, vocab_size=97,
            word_embed_proj_dim=32),
        _TEXT, "pre",
    ),
    "bloom": Family(_hf("Bloom:ForCausalLM", hidden_size=32, n_layer=3, n_head=4, vocab_size=97), _TEXT, "pre"),
    "stablelm": Family(_hf("StableLm:ForCausalLM", **_GQA), _TEXT, "pre"),
    "cohere": Family(_hf("Cohere:ForCausalLM", **_GQA), _TEXT, "pre"),
    "granite": Family(_hf("Granite:ForCausalLM", **_GQA), _TEXT, "pre"),
    "bert": Family(_hf("Bert:Model", **_SIZE), _TEXT, "post"),
    "vit": Family(
        _hf("ViT:Model", hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64,
            image_size=16, patch_size=4),
        _IMAGE, "pre",
    ),
    "t5": Family(
        _hf("T5:ForConditionalGeneration", d_model=32, num_layers=3, num_heads=4, d_ff=64, d_kv=8, vocab_size=97),
        {**_TEXT, "decoder_input_ids": IDS}, "pre", "decoder_hidden_states",
    ),
}  # fmt: skip
