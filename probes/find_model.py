"""Find the model that a script trains: the outermost module that owns what its optimizers move."""

import gc
from typing import Any

from torch import nn
from torch.optim import Optimizer

from depthscope.store import DepthscopeError

__all__ = ["find_model", "unwrapped"]

# What wraps a model and is called in its place: the attribute that holds it.
_WRAPPERS = {"OptimizedModule": "_orig_mod", "DistributedDataParallel": "module", "DataParallel": "module"}


def find_model(named: str | None, script: dict[str, Any], running: nn.Module) -> nn.Module | None:
    """The trained model with the most parameters, or the one that is `named`; None before any optimizer has one.

    `running` is the module that is about to run: where it is the larger part of the model, it is what is called in the
    model's place (Lightning calls a part of its module).
    `named` is a class, a name in the script (`trainer.model` too), or a part's name inside a trained model. Raises
    DepthscopeError when no trained model is called so, with those that are.
    """
    trained = _trained()
    if not trained:
        return None
    if named is None:
        return _called(max(trained, key=_size), unwrapped(running))
    found = [model for model in trained if type(model).__name__ == named] or _in_script(named, script)
    found = found or [m for root in trained for name, m in root.named_modules() if name.split(".")[-1:] == [named]]
    if not found:
        seen = ", ".join(f"{type(model).__name__} ({_size(model):,} parameters)" for model in trained)
        raise DepthscopeError(f"expected --model to name a trained model, got {named!r}; trained are: {seen}")
    return max(found, key=_size)


def _trained() -> list[nn.Module]:
    """The outermost modules alive that own a parameter of an optimizer."""
    modules, moved = [], set[int]()
    for item in gc.get_objects():
        if issubclass(type(item), Optimizer):
            moved |= {id(p) for group in item.param_groups for p in group["params"]}
        elif issubclass(type(item), nn.Module):
            modules.append(item)
    inside = {id(child) for module in modules for child in module._modules.values()}
    roots = {id(root): root for root in map(unwrapped, (m for m in modules if id(m) not in inside))}
    return [root for root in roots.values() if any(id(p) in moved for p in root.parameters())]


def unwrapped(module: nn.Module) -> nn.Module:
    """The model inside torch.compile's, DistributedDataParallel's or DataParallel's module."""
    while type(module).__name__ in _WRAPPERS:
        module = getattr(module, _WRAPPERS[type(module).__name__])
    return module


def _called(model: nn.Module, running: nn.Module) -> nn.Module:
    is_part = any(part is running for part in model.modules())
    return running if is_part and 2 * _size(running) >= _size(model) else model


def _in_script(path: str, script: dict[str, Any]) -> list[nn.Module]:
    first, *rest = path.split(".")
    found = script.get(first)
    for name in rest:
        found = getattr(found, name, None)
    return [unwrapped(found)] if isinstance(found, nn.Module) else []


def _size(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())
