"""Preflight of the user's own model: what `watch` finds in it, hooked for one forward and backward.

Shapes: B sequences, T tokens, D features.
"""

import importlib
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depthscope.probes import Sites, watch
from depthscope.store import DepthscopeError

from .checks import Preflight, Tally

__all__ = ["load_model", "preflight_model"]

TOKENS = 64


def preflight_model(target: str) -> Preflight:
    """The record of the model that `target`, 'MODULE:FUNCTION', returns.

    The function takes nothing and returns the model, or the model and a batch of token ids `[B, T]`; without one the
    model gets random ids of its first embedding. Raises DepthscopeError for what cannot be imported, run or understood.
    """
    model, ids_BT = load_model(target)
    sites = _sites(model, ids_BT)
    if not sites.blocks:
        _output(model, ids_BT)  # one that does not run is told of that
        raise DepthscopeError(f"expected a model with repeated blocks, found none in {type(model).__name__}")
    blocks = [block for block in sites.blocks if block.stack == sites.blocks[0].stack]
    tallies = {block.layer: Tally() for block in blocks}
    entry, modules = Tally(), dict(model.named_modules())
    model.train().zero_grad()
    with _hooked(modules, sites, tallies, entry):
        loss = _loss(_output(model, ids_BT), ids_BT)
        loss.backward()  # type: ignore[no-untyped-call]
    for block in blocks:
        grads = [p.grad for p in modules[block.name].parameters() if p.grad is not None]
        tallies[block.layer].squared_grad = sum(grad.float().square().sum().item() for grad in grads)
    model.zero_grad()
    checks = tuple(tally.check(layer, None) for layer, tally in tallies.items())
    return Preflight(target, type(model).__name__, loss.item(), entry.check(0, None).mean_square, checks)


def load_model(target: str) -> tuple[nn.Module, Tensor]:
    """The model and its batch; modules are looked for in the working directory too."""
    module, colon, function = target.partition(":")
    if not (module and colon and function):
        raise DepthscopeError(f"expected a model as MODULE:FUNCTION, but got {target!r}")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        made = getattr(importlib.import_module(module), function)()
    except Exception as wrong:
        raise DepthscopeError(
            f"expected {target!r} to be a function that returns a model, but got {type(wrong).__name__}: {wrong}"
        ) from wrong
    model, batch = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(model, nn.Module):
        raise DepthscopeError(f"expected {target!r} to return a torch module, but got {type(model).__name__}")
    return model, _random_ids(model, target) if batch is None else batch


def _random_ids(model: nn.Module, target: str) -> Tensor:
    embedding = next((module for module in model.modules() if isinstance(module, nn.Embedding)), None)
    if embedding is None:
        raise DepthscopeError(
            f"expected {target!r} to return a model with an embedding, or the model and a batch, "
            f"but got a {type(model).__name__} without one: return (model, token ids)"
        )
    generator = torch.Generator().manual_seed(0)
    ids_BT = torch.randint(embedding.num_embeddings, (2, TOKENS // 2), generator=generator)
    return ids_BT.to(embedding.weight.device)


def _sites(model: nn.Module, ids_BT: Tensor) -> Sites:
    """What `watch` would measure; its store is thrown away."""
    with (
        warnings.catch_warnings(action="ignore"),  # where the model does not run, `_output` says why
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        watch(model, store=folder, run="preflight", example_inputs=ids_BT) as probe,
    ):
        return probe.sites


def _output(model: nn.Module, ids_BT: Tensor) -> Any:
    try:
        return model(ids_BT)
    except Exception as wrong:
        said = (str(wrong).splitlines() or [""])[0][:200]
        raise DepthscopeError(
            f"expected the model to take token ids {list(ids_BT.shape)}, but got {type(wrong).__name__}: {said}; "
            "return (model, token ids), or wrap it in one that does"
        ) from wrong


def _loss(output: Any, ids_BT: Tensor) -> Tensor:
    """Mean cross-entropy of the next token for logits `[B, T, V]`, in a tensor, `.logits` or the first of several."""
    logits = getattr(output, "logits", output)
    logits = logits if isinstance(logits, Tensor) else logits[0]
    if logits.dim() != 3 or logits.shape[:2] != ids_BT.shape:
        raise DepthscopeError(
            f"expected the model to give logits [B, T, V] for token ids {list(ids_BT.shape)}, "
            f"but got {list(logits.shape)}: wrap it in one that does"
        )
    return F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), ids_BT[:, 1:].flatten())


@contextmanager
def _hooked(modules: dict[str, nn.Module], sites: Sites, tallies: dict[int, Tally], entry: Tally) -> Iterator[None]:
    stack = sites.blocks[0].stack
    seen: dict[tuple[int, str], Tensor] = {}
    handles: list[Any] = []
    for block in sites.blocks:
        if block.stack == stack:
            handles += _hook_block(modules[block.name], block.layer, tallies[block.layer], entry, seen)
    for tap in sites.taps:
        name, layer, site = tap.key
        if name == stack and layer is not None:
            handles.append(_hook_tap(modules[tap.name], tap.at, (layer, site), tallies[layer], seen))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else value[0]


def _hook_block(block: nn.Module, layer: int, tally: Tally, entry: Tally, seen: dict[tuple[int, str], Tensor]) -> Any:
    def before(module: nn.Module, args: Any, kwargs: Any) -> None:
        x_BTD = _tensor(args[0] if args else next(iter(kwargs.values()))).detach()
        seen[layer, "stream"] = x_BTD
        if layer == 1:
            entry.stream = x_BTD

    def after(module: nn.Module, args: Any, output: Any) -> None:
        x_BTD = _tensor(output)
        tally.stream = x_BTD.detach().clone()
        tokens = x_BTD[..., 0].numel() - len(x_BTD)  # the last token of a sequence has no loss

        def gradient(g_BTD: Tensor) -> None:
            tally.act_grad_norm = g_BTD.norm(dim=-1).mean().item() * tokens

        if x_BTD.requires_grad:
            x_BTD.register_hook(gradient)  # type: ignore[no-untyped-call]
        for kind, carried in (("attn", "stream"), ("mlp", "resid_mid")):
            update, stream = seen.get((layer, f"{kind}_out")), seen.get((layer, carried))
            if update is not None and stream is not None:
                tally.saw_branch(kind, seen.get((layer, f"{kind}_raw"), update), stream, update)
            elif (raw := seen.get((layer, f"{kind}_raw"))) is not None:
                tally.saw_raw(raw)

    return [block.register_forward_pre_hook(before, with_kwargs=True), block.register_forward_hook(after)]


def _hook_tap(
    module: nn.Module, at: str, key: tuple[int, str], tally: Tally, seen: dict[tuple[int, str], Tensor]
) -> Any:
    if at == "input":
        return module.register_forward_pre_hook(
            lambda m, args: seen.__setitem__(key, _tensor(args[0]).detach().clone())
        )
    return module.register_forward_hook(lambda m, args, out: seen.__setitem__(key, _tensor(out).detach().clone()))
