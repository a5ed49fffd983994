"""Stand in for parts of a model for a while: forwards of blocks, outputs of branches. Everything comes off again."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from ..inert import Inert
from ..tensors import first_stream, with_stream

__all__ = ["heard_arguments", "silenced", "standing_in", "without_caches"]

StandIn = Callable[[str, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
"""Called with a module's name, its own forward, args and kwargs, in the forward's place."""


@contextmanager
def standing_in(modules: Mapping[str, nn.Module], stand_in: StandIn) -> Iterator[None]:
    """Inside, `stand_in` is called in place of each module's forward; hooks of the module run as always."""
    with ExitStack() as stack:
        for name, module in modules.items():
            stack.callback(_restore, module, vars(module).get("forward"))
            vars(module)["forward"] = _Forward(name, module.forward, stand_in)
        yield


class _Forward(Inert):
    def __init__(self, name: str, own: Callable[..., Any], stand_in: StandIn) -> None:
        self._name, self._own, self._stand_in = name, own, stand_in

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._stand_in(self._name, self._own, args, kwargs)


def _restore(module: nn.Module, own: Any) -> None:
    """Most forwards are the class's; wrappers (accelerate's) put one into the module itself."""
    vars(module).pop("forward", None)
    if own is not None:
        vars(module)["forward"] = own


@contextmanager
def silenced(modules: Mapping[str, nn.Module], is_silent: Callable[[str], bool]) -> Iterator[None]:
    """Inside, a module whose name `is_silent` when it returns gives zeros."""
    with ExitStack() as stack:
        for name, module in modules.items():
            stack.callback(module.register_forward_hook(_Silence(name, is_silent)).remove)
        yield


class _Silence(Inert):
    def __init__(self, name: str, is_silent: Callable[[str], bool]) -> None:
        self._name, self._is_silent = name, is_silent

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        stream = first_stream(output)
        if stream is None or not self._is_silent(self._name):
            return None
        zeros = torch.zeros_like(stream)
        return zeros if output is stream else with_stream(output, zeros)


@contextmanager
def heard_arguments(model: nn.Module, hear: Callable[[tuple[Any, ...], dict[str, Any]], None]) -> Iterator[None]:
    """Inside, `hear(args, kwargs)` is told what every forward of `model` is given."""
    handle = model.register_forward_pre_hook(_Ear(hear), with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


class _Ear(Inert):
    def __init__(self, hear: Callable[[tuple[Any, ...], dict[str, Any]], None]) -> None:
        self._hear = hear

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._hear(args, kwargs)


@contextmanager
def without_caches(model: nn.Module) -> Iterator[None]:
    """Inside, Hugging Face models keep no keys and values: a block that runs twice would attend to itself twice."""
    configs = {id(c): c for c in _configs(model) if getattr(c, "use_cache", False) is True}
    with ExitStack() as stack:
        for config in configs.values():
            stack.callback(setattr, config, "use_cache", True)
            config.use_cache = False
        yield


def _configs(model: nn.Module) -> Iterable[Any]:
    return (module.config for module in model.modules() if hasattr(module, "config"))
