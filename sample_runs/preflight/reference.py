"""Preflight of the reference decoder under each strategy.

The matrices are drawn once and shared by all strategies, and their gradients are never formed: for a linear layer that
read x and received the gradient g, both `[N, ...]` over N tokens, the squared norm of the weight's gradient is the sum
of (g g') * (x x'), two small N x N matrices. What is left, products of the matrices with few rows, gains little from a
second core: strategies are measured side by side, each on its share of the cores. So many layers of full width take
seconds rather than minutes.

Shapes: B sequences, T tokens, N = B T, D features.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from ..model import Decoder, Parts, Shape, check_shape, draw_parts
from ..norms import Strategy, find_strategy
from .checks import Preflight, Tally
from .product import few_rows
from .theory import theory_line

__all__ = ["preflight_strategies"]

VOCAB = 256
AT_ONCE = 4  # a strategy that rescales the matrices has some of its own, so more would take memory rather than time


def preflight_strategies(
    names: Sequence[str],
    *,
    layers: int,
    width: int,
    heads: int | None = None,
    norm: str = "rms",
    embedding_std: float = 0.02,
    tokens: int | None = None,
    seed: int = 0,
) -> Iterator[Preflight]:
    """One record a strategy, in their order, each as soon as it is known; random bytes are the text.

    `heads`: one for 64 features where not given. `tokens`: the fewer features, the more, from 32 to 256.
    Raises DepthscopeError for an unknown strategy or impossible shape.
    """
    strategies = [find_strategy(name) for name in names]
    tokens = tokens or min(256, max(32, 2**15 // max(1, width)))
    shape = Shape(layers, width, heads or max(1, width // 64), VOCAB, norm, embedding_std, tokens)
    check_shape(shape)
    return _each(strategies, shape, seed)


def _each(strategies: Sequence[Strategy], shape: Shape, seed: int) -> Iterator[Preflight]:
    parts = draw_parts(shape, seed)
    ids_BT = torch.randint(VOCAB, (2, shape.context // 2 + 1), generator=torch.Generator().manual_seed(seed))
    one_draws = Lock()  # there is one random state for all threads

    def measure(strategy: Strategy) -> Preflight:
        with one_draws, torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            model = Decoder(strategy, shape, _shared(parts))
        return _measure(model, strategy, ids_BT)

    threads = torch.get_num_threads()
    at_once = min(len(strategies), threads, AT_ONCE)
    if at_once < 2:
        yield from map(measure, strategies)
        return
    pool = ThreadPoolExecutor(at_once, initializer=torch.set_num_threads, initargs=(threads // at_once,))
    try:
        yield from pool.map(measure, strategies)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # threads that are started later take the number that was set last


def _shared(parts: Parts) -> Parts:
    """New modules and parameters around the same numbers: whether one asks for a gradient is each strategy's own."""
    parameters = [p for module in (parts.embed, parts.head) for p in module.parameters()]
    parameters += [p for branches in parts.branches for module in branches for p in module.parameters()]
    return copy.deepcopy(parts, {id(p): nn.Parameter(p.data, requires_grad=False) for p in parameters})


def _measure(model: Decoder, strategy: Strategy, ids_BT: Tensor) -> Preflight:
    """One forward and backward in training mode: batch norms have statistics of this batch only."""
    tallies, entry = [Tally() for _ in model.blocks], Tally()
    inputs_BT, targets_BT = ids_BT[:, :-1], ids_BT[:, 1:]
    with _hooked(model, tallies, entry):
        loss = F.cross_entropy(model(inputs_BT).flatten(0, 1), targets_BT.flatten())
        loss.backward()  # type: ignore[no-untyped-call]
    for block, tally in zip(model.blocks, tallies, strict=True):
        asked = [p for p in block.parameters() if p.requires_grad and p.grad is not None]
        tally.squared_grad += sum(p.grad.square().sum().item() for p in asked if p.grad is not None)
        for parameter in asked:
            parameter.grad = None
    start = entry.check(0, None).mean_square
    lines = theory_line(strategy.name, start, [tally.added for tally in tallies])
    checks = tuple(tally.check(layer, lines[layer - 1]) for layer, tally in enumerate(tallies, start=1))
    return Preflight(strategy.name, strategy.title, loss.item(), start, checks)


@contextmanager
def _hooked(model: Decoder, tallies: Sequence[Tally], entry: Tally) -> Iterator[None]:
    """Hooks of every block while inside; matrices are frozen, since their gradients come from the hooks."""
    handles = [model.enter.register_forward_hook(_stream(entry))]
    # Something must ask for gradients at the first block.
    handles.append(model.embed.register_forward_hook(lambda module, args, out: out.requires_grad_()))
    for block, tally in zip(model.blocks, tallies, strict=True):
        handles += _hook_block(block, tally)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hook_block(block: Any, tally: Tally) -> list[Any]:
    handles = [block.register_forward_hook(_stream(tally))]
    for kind, branch, join in (("attn", block.attn, block.attn_join), ("mlp", block.mlp, block.mlp_join)):
        raw: list[Tensor] = []
        handles.append(branch.register_forward_hook(lambda module, args, out, raw=raw: raw.append(out.detach())))
        handles.append(join.register_forward_hook(_terms(tally, kind, raw)))
        for module in branch.modules():
            if is_parametrized(module):  # its weight is computed from the drawn one: autograd knows how
                for parameter in module.parameters():
                    parameter.requires_grad_().grad = None
            elif isinstance(module, nn.Linear):
                module.weight.requires_grad_(False)
                few_rows(module)
                handles.append(module.register_forward_hook(_weight_gradient(tally)))
    return handles


def _first(value: Any) -> Tensor:
    """The stream: a tensor, or the first of several."""
    return value if isinstance(value, Tensor) else value[0]


def _stream(tally: Tally) -> Callable[..., None]:
    def hook(module: nn.Module, args: Any, output: Any) -> None:
        x_BTD = _first(output)
        tally.stream = x_BTD.detach()
        if x_BTD.requires_grad:
            # The sum over tokens for the mean loss is the mean over tokens for the sum of the losses.
            x_BTD.register_hook(  # type: ignore[no-untyped-call]
                lambda g_BTD: setattr(tally, "act_grad_norm", g_BTD.norm(dim=-1).sum().item())
            )

    return hook


def _terms(tally: Tally, kind: str, raw: list[Tensor]) -> Callable[..., None]:
    @torch.no_grad()
    def hook(join: Any, args: Any, output: Any) -> None:
        carried, update = join.terms(_first(args[0]).detach(), raw[0])
        tally.saw_branch(kind, raw[0], carried, update)

    return hook


def _weight_gradient(tally: Tally) -> Callable[..., None]:
    """Adds the squared norm of the weight's gradient to the tally, without the gradient itself."""

    def hook(module: nn.Module, args: tuple[Tensor], output: Tensor) -> None:
        x_ND = args[0].detach().flatten(0, -2)

        def seen(g_BTO: Tensor) -> None:
            g_NO = g_BTO.flatten(0, -2)
            tally.squared_grad += ((g_NO @ g_NO.T) * (x_ND @ x_ND.T)).sum().item()

        if output.requires_grad:
            output.register_hook(seen)  # type: ignore[no-untyped-call]

    return hook
