"""Random-init models of other people, small enough to trace in a moment, and a few as people write them themselves."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import torch
from own_models import AddedOutside, LinearAttention, Looped, NanoGPT, Pairs, ScaledOutside, rms_by_hand
from torch import Tensor, nn

IDS = torch.randint(97, (2, 9), generator=torch.Generator().manual_seed(0))

States = dict[str, dict[int, Tensor]]
"""By stack and layer, what the model itself says of its residual stream."""


@dataclass(frozen=True)
class Family:
    """How to build a model, what to call it with, and what its documentation says of its norms.

    `states` asks the model for its own hidden states; `layers` is how many blocks each stack has.
    """

    build: Callable[[], nn.Module]
    arguments: dict[str, Any]
    placement: str
    states: Callable[[nn.Module, Mapping[str, Any]], States] = field(default_factory=lambda: hidden())
    layers: Mapping[str, int] = field(default_factory=lambda: {"main": 3})
    branches: Mapping[str, frozenset[str]] = field(default_factory=lambda: {"main": BOTH})


BOTH = frozenset({"attn_out", "mlp_out"})
SCALED = frozenset({"attn_raw", "mlp_raw"})
TWO = {"encoder": BOTH, "decoder": BOTH}


def hidden(layers: Mapping[int, int] | None = None, **paths: str) -> Callable[[nn.Module, Mapping[str, Any]], States]:
    """`output_hidden_states`, from the output's attribute of each stack; `layers` maps its entries to layers.

    The last entry is left out unless `layers` names it: most families take it after their final norm.
    """

    def states(model: nn.Module, arguments: Mapping[str, Any]) -> States:
        output = model(**arguments, output_hidden_states=True)
        found = {stack: attrgetter(path)(output) for stack, path in (paths or {"main": "hidden_states"}).items()}
        return {stack: {layer: each[i] for i, layer in _entries(layers, len(each))} for stack, each in found.items()}

    return states


def _entries(layers: Mapping[int, int] | None, entries: int) -> list[tuple[int, int]]:
    return list(layers.items()) if layers else [(i, i) for i in range(entries - 1)]


AFTER = {0: 1, 1: 2, 2: 3}  # states taken after the blocks, none before the first
BOTH_SIDES = hidden(encoder="encoder_hidden_states", decoder="decoder_hidden_states")


def _own(model: nn.Module, arguments: Mapping[str, Any]) -> States:
    model(**arguments)
    return {"main": dict(enumerate(model.states))}


def _swin(model: nn.Module, arguments: Mapping[str, Any]) -> States:
    """Two blocks a stage; the states before each stage's patches are merged."""
    x, size = model.embeddings(arguments["pixel_values"])
    output = model.encoder(x, size, output_hidden_states=True, output_hidden_states_before_downsampling=True)
    return {"main": {2 * i: state for i, state in enumerate(output.reshaped_hidden_states)}}


def _torch_encoder(model: nn.Module, arguments: Mapping[str, Any]) -> States:
    x, states = arguments["src"], {}
    for i, layer in enumerate(model.layers):
        states[i], x = x, layer(x)
    return {"main": {**states, len(states): x}}


def _torch_decoder(model: nn.Module, arguments: Mapping[str, Any]) -> States:
    x, states = arguments["tgt"], {}
    for i, layer in enumerate(model.layers):
        states[i], x = x, layer(x, arguments["memory"])
    return {"main": {**states, len(states): x}}


def _stack(layer: type[nn.Module], stack: type[nn.Module], **options: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        torch.manual_seed(0)
        nested = {"enable_nested_tensor": False} if stack is nn.TransformerEncoder else {}
        return stack(layer(32, 4, 64, batch_first=True, **options), 3, **nested)

    return build


def _seeded(model: Callable[..., nn.Module], *args: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        torch.manual_seed(0)
        return model(*args)

    return build


def _normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def _hf(name: str, settings: str = "", **config: Any) -> Callable[[], nn.Module]:
    """`name` is 'Llama:ForCausalLM'; importing one class loads one model's file, not all of transformers."""

    def build() -> nn.Module:
        import transformers

        stem, _, head = name.partition(":")
        torch.manual_seed(0)
        made = getattr(transformers, f"{settings or stem}Config")(**config)
        return getattr(transformers, stem + head)(made)

    return build


_SIZE = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 97}
_GQA = {**_SIZE, "num_key_value_heads": 2}
_GPT = {"n_embd": 32, "n_layer": 3, "n_head": 4, "vocab_size": 97}
_TEXT = {"input_ids": IDS}
_IMAGE = {"pixel_values": _normal(2, 3, 16, 16)}
_VISION = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "image_size": 16,
    "patch_size": 4,
}
_ENCODER = {**_SIZE, "max_position_embeddings": 64}
_LATENT = {
    **_SIZE,
    "num_key_value_heads": 4,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
}
_SIDES = {
    "d_model": 32,
    "encoder_layers": 3,
    "decoder_layers": 3,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
}
_SERIES = {
    **_SIDES,
    "prediction_length": 4,
    "context_length": 8,
    "lags_sequence": [1, 2],
    "num_time_features": 1,
    "encoder_layerdrop": 0.0,
    "decoder_layerdrop": 0.0,
}
_PAST = {
    "past_values": _normal(2, 10),
    "past_time_features": _normal(2, 10, 1),
    "past_observed_mask": torch.ones(2, 10),
    "future_values": _normal(2, 4),
    "future_time_features": _normal(2, 4, 1),
}
_PAIR = {**_TEXT, "decoder_input_ids": IDS}
_SOUND = {
    **_ENCODER,
    "conv_dim": [16, 16],
    "conv_stride": [5, 4],
    "conv_kernel": [10, 8],
    "layerdrop": 0.0,
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "apply_spec_augment": False,
}
_BOTH_LAYERS = {"encoder": 3, "decoder": 3}
_WAVE = {"input_values": _normal(2, 400)}
_SRC, _TGT = {"src": _normal(2, 9, 32)}, {"tgt": _normal(2, 9, 32), "memory": _normal(2, 7, 32)}

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
    "granite": Family(_hf("Granite:ForCausalLM", **_GQA), _TEXT, "pre", branches={"main": SCALED}),
    "bert": Family(_hf("Bert:Model", **_SIZE), _TEXT, "post"),
    "vit": Family(_hf("ViT:Model", **_VISION), _IMAGE, "pre"),
    "t5": Family(
        _hf("T5:ForConditionalGeneration", d_model=32, num_layers=3, num_heads=4, d_ff=64, d_kv=8, vocab_size=97),
        _PAIR, "pre", BOTH_SIDES, _BOTH_LAYERS, TWO,
    ),
    "olmo": Family(_hf("Olmo:ForCausalLM", **_GQA, eos_token_id=1), _TEXT, "pre"),
    "gemma3": Family(_hf("Gemma3:ForCausalLM", "Gemma3Text", **_GQA, head_dim=8), _TEXT, "peri"),
    "phi3": Family(_hf("Phi3:ForCausalLM", **_GQA, pad_token_id=0, eos_token_id=1), _TEXT, "pre"),
    "falcon": Family(
        _hf("Falcon:ForCausalLM", hidden_size=32, num_hidden_layers=3, num_attention_heads=4, vocab_size=97),
        _TEXT, "pre",
    ),
    "mpt": Family(
        _hf("Mpt:ForCausalLM", d_model=32, n_layers=3, n_heads=4, vocab_size=97, max_seq_len=32), _TEXT, "pre"
    ),
    "deepseek_v2": Family(_hf("DeepseekV2:ForCausalLM", **_LATENT), _TEXT, "pre"),
    "deepseek_v3": Family(_hf("DeepseekV3:ForCausalLM", **_LATENT), _TEXT, "pre"),
    "roberta": Family(_hf("Roberta:Model", **_ENCODER), _TEXT, "post"),
    "distilbert": Family(
        _hf("DistilBert:Model", dim=32, n_layers=3, n_heads=4, hidden_dim=64, vocab_size=97), _TEXT, "post"
    ),
    "albert": Family(_hf("Albert:Model", **_ENCODER, embedding_size=16), _TEXT, "post"),
    "electra": Family(_hf("Electra:Model", **_ENCODER, embedding_size=16), _TEXT, "post"),
    "deberta": Family(
        _hf("Deberta:Model", **_ENCODER, relative_attention=True, pos_att_type=["c2p", "p2c"]), _TEXT, "post"
    ),
    "deberta_v2": Family(
        _hf("DebertaV2:Model", **_ENCODER, relative_attention=True, pos_att_type=["c2p", "p2c"]), _TEXT, "post"
    ),
    "modernbert": Family(
        _hf("ModernBert:Model", **_ENCODER, pad_token_id=0, eos_token_id=1, bos_token_id=2, cls_token_id=2,
            sep_token_id=1),
        _TEXT, "pre",
    ),
    "longformer": Family(
        _hf("Longformer:Model", **_ENCODER, attention_window=4), {"input_ids": IDS[:, :8]}, "post"
    ),
    "bigbird": Family(_hf("BigBird:Model", **_ENCODER, attention_type="original_full"), _TEXT, "post"),
    "bart": Family(
        _hf("Bart:Model", **_SIDES, vocab_size=97, max_position_embeddings=64),
        _PAIR, "post", BOTH_SIDES, _BOTH_LAYERS, TWO,
    ),
    "pegasus": Family(
        _hf("Pegasus:Model", **_SIDES, vocab_size=97, max_position_embeddings=64),
        _PAIR, "pre", BOTH_SIDES, _BOTH_LAYERS, TWO,
    ),
    "whisper": Family(
        _hf("Whisper:Model", **_SIDES, vocab_size=97, num_mel_bins=8, max_source_positions=16, max_target_positions=16,
            pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1),
        {"input_features": _normal(2, 8, 32), "decoder_input_ids": IDS}, "pre", BOTH_SIDES, _BOTH_LAYERS, TWO,
    ),
    "wav2vec2": Family(_hf("Wav2Vec2:Model", **_SOUND), _WAVE, "post"),
    "wav2vec2_stable": Family(
        _hf("Wav2Vec2:Model", **_SOUND, do_stable_layer_norm=True, feat_extract_norm="layer"), _WAVE, "pre"
    ),
    "deit": Family(_hf("DeiT:Model", **_VISION), _IMAGE, "pre"),
    "beit": Family(_hf("Beit:Model", **_VISION, drop_path_rate=0.0), _IMAGE, "pre", branches={"main": SCALED}),
    "dinov2": Family(_hf("Dinov2:Model", **_VISION), _IMAGE, "pre"),
    "swin": Family(
        _hf("Swin:Model", image_size=32, patch_size=2, embed_dim=16, depths=[2, 2, 2], num_heads=[2, 2, 2],
            window_size=4, drop_path_rate=0.0),
        {"pixel_values": _normal(2, 3, 32, 32)}, "pre", _swin, {"main": 6}, {"main": frozenset({"mlp_out"})},
    ),
    "clip": Family(
        _hf("CLIP:Model", text_config={**_ENCODER, "eos_token_id": 96, "bos_token_id": 1}, vision_config=_VISION),
        {**_TEXT, **_IMAGE, "return_loss": True}, "pre",
        hidden(text_model="text_model_output.hidden_states", vision_model="vision_model_output.hidden_states"),
        {"text_model": 3, "vision_model": 3}, {"text_model": BOTH, "vision_model": BOTH},
    ),
    "mamba": Family(
        _hf("Mamba:ForCausalLM", hidden_size=32, num_hidden_layers=3, vocab_size=97, state_size=4),
        _TEXT, "pre", hidden(AFTER), branches={"main": frozenset({"attn_out"})},
    ),
    "rwkv": Family(
        _hf("Rwkv:ForCausalLM", hidden_size=32, num_hidden_layers=3, vocab_size=97, attention_hidden_size=32),
        _TEXT, "pre", hidden(AFTER),
    ),
    # Between its encoder's blocks Informer halves the sequence, so only the ends are block outputs.
    "informer": Family(
        _hf("Informer:ForPrediction", **_SERIES),
        _PAST, "post", hidden({0: 0, 3: 3}, encoder="encoder_hidden_states", decoder="decoder_hidden_states"),
        _BOTH_LAYERS, TWO,
    ),
    "time_series_transformer": Family(
        _hf("TimeSeriesTransformer:ForPrediction", **_SERIES), _PAST, "post", BOTH_SIDES, _BOTH_LAYERS, TWO
    ),
    "patchtst": Family(
        _hf("PatchTST:Model", num_input_channels=2, context_length=16, patch_length=4, patch_stride=4, d_model=32,
            num_hidden_layers=3, num_attention_heads=4, ffn_dim=64),
        {"past_values": _normal(2, 16, 2)}, "pre", hidden({0: 0, 1: 1, 2: 2}),
    ),
    # MiniMax adds to a scaled norm of its stream, which is none of the placements.
    "minimax": Family(
        _hf("MiniMax:ForCausalLM", **_GQA, num_local_experts=2, head_dim=8, block_size=4, eos_token_id=1,
            layer_types=["linear_attention", "linear_attention", "full_attention"]),
        _TEXT, "unknown", branches={"main": SCALED},
    ),
    "linear attention": Family(_seeded(LinearAttention), _TEXT, "pre", _own),
    "nanoGPT": Family(_seeded(NanoGPT), _TEXT, "pre", _own),
    "functional norms, scaled outside": Family(_seeded(ScaledOutside), _TEXT, "pre", _own),
    "norms by hand, scaled outside": Family(_seeded(ScaledOutside, rms_by_hand), _TEXT, "pre", _own),
    "branches added outside the blocks": Family(
        _seeded(AddedOutside), _TEXT, "pre", _own, branches={"main": frozenset()}
    ),
    "lists of attention and MLP": Family(_seeded(Pairs), _TEXT, "pre", _own),
    "two blocks looped": Family(_seeded(Looped), _TEXT, "pre", _own, {"main": 4}),
    "torch.nn.TransformerEncoder": Family(
        _stack(nn.TransformerEncoderLayer, nn.TransformerEncoder), _SRC, "post", _torch_encoder
    ),
    "torch.nn.TransformerEncoder, norm_first": Family(
        _stack(nn.TransformerEncoderLayer, nn.TransformerEncoder, norm_first=True), _SRC, "pre", _torch_encoder
    ),
    "torch.nn.TransformerDecoder": Family(
        _stack(nn.TransformerDecoderLayer, nn.TransformerDecoder), _TGT, "post", _torch_decoder,
    ),
}  # fmt: skip
