"""Read saved weights into a model: state_dict files of torch and safetensors, and folders of Hugging Face."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from depthscope.store import DepthscopeError

__all__ = ["load_into", "open_folder", "tensors_of"]

_WITHIN = ("state_dict", "model_state_dict", "model", "module")  # where training loops put it beside the optimizer
_WRAPPERS = ("module.", "_orig_mod.")  # what DistributedDataParallel and torch.compile put before names


def load_into(model: nn.Module, checkpoint: Path) -> None:
    """Load a file, or the weight files of a folder. Raises DepthscopeError where they are not those of this model."""
    state = {_unwrapped(name): tensor for name, tensor in _state(checkpoint).items()}
    own = model.state_dict()
    tied = {tensor.data_ptr() for name, tensor in own.items() if name in state}  # saved under one of their names
    missing = sorted(name for name in own if name not in state and own[name].data_ptr() not in tied)
    strange = sorted(set(state) - set(own))
    if missing or strange:
        what = f"lacks {missing[0]!r}" if missing else f"has {strange[0]!r} besides"
        raise DepthscopeError(
            f"expected the weights of a {type(model).__name__} in {checkpoint}, but it {what} "
            f"({len(missing)} missing, {len(strange)} unknown); is --model the one that was trained?"
        )
    try:
        model.load_state_dict(state, strict=False)
    except RuntimeError as error:  # shapes
        reason = str(error).strip().splitlines()[-1].strip()
        raise DepthscopeError(f"expected the weights of this model in {checkpoint}, but {reason}") from None


def open_folder(folder: Path) -> nn.Module:
    """The model of a Hugging Face folder, of the class its config names."""
    try:
        import transformers

        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        name = config["architectures"][0]
        model: nn.Module = getattr(transformers, name).from_pretrained(folder)
    except ImportError:
        raise DepthscopeError("a Hugging Face folder needs transformers: pip install transformers") from None
    except Exception as error:
        reason = str(error).partition("\n")[0][:200]
        raise DepthscopeError(
            f"expected a folder as save_pretrained writes it at {folder}, got {type(error).__name__}: {reason}"
        ) from None
    return model


def _state(checkpoint: Path) -> dict[str, Tensor]:
    if checkpoint.is_dir():
        files = sorted(checkpoint.glob("*.safetensors")) or sorted(checkpoint.glob("pytorch_model*.bin"))
        if not files:
            raise DepthscopeError(f"expected weights (*.safetensors, pytorch_model*.bin) in {checkpoint}, found none")
        return {name: tensor for file in files for name, tensor in _file(file).items()}
    return _file(checkpoint)


def tensors_of(path: Path) -> Any:
    """What a `.safetensors` or a file of `torch.save` holds, tensors only. Raises DepthscopeError."""
    try:
        return _safetensors(path) if path.suffix == ".safetensors" else _torch(path)
    except DepthscopeError:
        raise
    except Exception as error:
        reason = str(error).partition("\n")[0][:200]
        raise DepthscopeError(
            f"expected tensors in {path}, but it cannot be read ({type(error).__name__}: {reason})"
        ) from None


def _file(path: Path) -> dict[str, Tensor]:
    found = tensors_of(path)
    for name in _WITHIN:
        if isinstance(found, Mapping) and isinstance(found.get(name), Mapping):
            found = found[name]
    if not isinstance(found, Mapping) or not found or not all(isinstance(t, Tensor) for t in found.values()):
        raise DepthscopeError(f"expected a state_dict (names to tensors) in {path}, got {type(found).__name__}")
    return dict(found)


def _torch(path: Path) -> Any:
    """Tensors only: a checkpoint must not be able to run code."""
    return torch.load(path, map_location="cpu", weights_only=True)


def _safetensors(path: Path) -> Any:
    try:
        from safetensors.torch import load_file
    except ImportError:
        raise DepthscopeError(f"{path} needs safetensors: pip install safetensors") from None
    return load_file(path)


def _unwrapped(name: str) -> str:
    for wrapper in _WRAPPERS:
        name = name.removeprefix(wrapper)
    return name
