"""Find the repeated blocks of an unknown model from its structure alone, before it has run."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from depthscope.store import DepthscopeError

__all__ = ["Stack", "find_stacks", "may_hold_blocks", "named_stacks", "same_class_children"]

# Small towers (a duration predictor, a convolution stem) are not what people ask about.
SMALLEST_SHARE = 0.03


@dataclass(frozen=True)
class Stack:
    """One depth axis: the blocks' qualified names from the first to the last."""

    name: str
    blocks: tuple[str, ...]


@dataclass(frozen=True)
class _Candidate:
    path: str
    blocks: tuple[str, ...]
    n_params: int


def find_stacks(model: nn.Module, named: str | tuple[str, ...] | None = None) -> tuple[Stack, ...]:
    """The stacks of `model`, largest first. `named` is a container's name, or the blocks' names, given by the user.

    Raises DepthscopeError when there is no repeated block, with the candidates that were seen.
    """
    if named is not None:
        return (Stack("main", _named_blocks(model, named)),)
    candidates = _outermost(_candidates(model))
    if not candidates:
        raise DepthscopeError(
            f"expected a model with repeated blocks (a ModuleList or Sequential of at least two modules of one class), "
            f"found none in {type(model).__name__}; name them with sites={{'blocks': 'path.to.modulelist'}}"
            f"{_seen(model)}"
        )
    largest = candidates[0].n_params
    return named_stacks([c.blocks for c in candidates if c.n_params >= SMALLEST_SHARE * largest])


def may_hold_blocks(model: nn.Module) -> bool:
    """Whether some part of `model` has parts of its own: it may be a block that runs several times (ALBERT)."""
    return any(path and len(list(module.children())) > 1 for path, module in model.named_modules())


def named_stacks(blocks: Sequence[tuple[str, ...]]) -> tuple[Stack, ...]:
    """'main' for a single stack; else the first part of the path that tells them apart (encoder, decoder)."""
    names = _stack_names([each[0].rpartition(".")[0] or each[0] for each in blocks])
    return tuple(Stack(name, each) for name, each in zip(names, blocks, strict=True))


def _candidates(model: nn.Module) -> list[_Candidate]:
    return [
        _Candidate(path, names, sum(p.numel() for p in module.parameters()))
        for path, module in model.named_modules()
        if isinstance(module, nn.ModuleList | nn.Sequential | nn.ModuleDict)
        and len(names := same_class_children(path, module)) >= 2
    ]


def same_class_children(path: str, container: nn.Module) -> tuple[str, ...]:
    """The children's names when they all are of one class that has children of its own: a block, not a Linear."""
    children = list(container.named_children())
    classes = {type(child) for _, child in children}
    if len(classes) != 1 or not any(True for _, child in children for _ in child.children()):
        return ()
    prefix = f"{path}." if path else ""
    return tuple(prefix + name for name, _ in children)


def _outermost(candidates: list[_Candidate]) -> list[_Candidate]:
    """Containers not inside another candidate (experts, heads), by parameters."""
    kept = [
        c
        for c in candidates
        if not any(c.path.startswith(f"{o.path}.") or (o.path == "" != c.path) for o in candidates)
    ]
    return sorted(kept, key=lambda c: -c.n_params)


def _stack_names(paths: list[str]) -> list[str]:
    if len(paths) == 1:
        return ["main"]
    parts = [path.split(".") for path in paths]
    for depth in range(max(map(len, parts))):
        names = [p[min(depth, len(p) - 1)] for p in parts]
        if len(set(names)) == len(names):
            return names
    return paths


def _named_blocks(model: nn.Module, named: str | tuple[str, ...]) -> tuple[str, ...]:
    modules = dict(model.named_modules())
    names = (named,) if isinstance(named, str) else tuple(named)
    missing = [name for name in names if name not in modules]
    if missing:
        raise DepthscopeError(
            f"expected sites['blocks'] to name modules of the model, found no {missing[0]!r}{_seen(model)}"
        )
    if isinstance(named, str):
        names = tuple(f"{named}.{child}" for child, _ in modules[named].named_children())
    if len(names) < 2:
        raise DepthscopeError(
            f"expected sites['blocks'] to name at least 2 blocks, found {len(names)} in {named!r}{_seen(model)}"
        )
    return names


def _seen(model: nn.Module) -> str:
    containers = [
        f"{path or '(root)'} ({len(list(module.children()))} children)"
        for path, module in model.named_modules()
        if isinstance(module, nn.ModuleList | nn.Sequential | nn.ModuleDict) or path == ""
    ]
    return f"; seen: {', '.join(containers[:8])}"
