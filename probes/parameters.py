"""Which parameters belong to which site: blocks, their branches, and what stands outside them."""

from collections.abc import Mapping

from torch import nn

from .flow import is_norm_module

__all__ = ["parameter_groups"]


def parameter_groups(
    model: nn.Module,
    blocks: Mapping[str, tuple[str, int]],
    branches: Mapping[str, Mapping[str, str]],
    outer: Mapping[str, str],
) -> dict[tuple[str, int | None, str], tuple[str, ...]]:
    """Parameter names by (stack, layer, site). Sites block, embed, final_norm, head and other split the parameters.

    `blocks` maps a block's name to its stack and layer, `branches` to the module of each kind ('attn', 'mlp') inside
    it, `outer` maps modules outside the blocks to their site. A tied parameter counts once, where it is first named.
    """
    groups: dict[tuple[str, int | None, str], list[str]] = {}
    for name, _ in model.named_parameters():
        block = next((part for part in _prefixes(name) if part in blocks), None)
        if block is None:
            site = next((outer[part] for part in _prefixes(name) if part in outer), _by_type(model, name))
            groups.setdefault(("main", None, site), []).append(name)
            continue
        stack, layer = blocks[block]
        groups.setdefault((stack, layer, "block"), []).append(name)
        kind = _branch_of(model, name, branches.get(block, {}))
        if kind is not None:
            groups.setdefault((stack, layer, kind), []).append(name)
    return {key: tuple(names) for key, names in groups.items()}


def _branch_of(model: nn.Module, name: str, branches: Mapping[str, str]) -> str | None:
    """'attn' inside the child that computes attention; 'mlp' for the rest of the block without its norms.

    Some blocks spread their MLP over several children (fc1, fc2), so it is found by what it is not. The two branches
    part where their paths part: at the block's children, or deeper where those are lists.
    """
    if set(branches) != {"attn", "mlp"}:
        return None
    paths = [branches[kind].split(".") for kind in ("attn", "mlp")]
    parting = next((i for i, (a, b) in enumerate(zip(*paths, strict=False)) if a != b), None)
    parts = name.split(".")
    if parting is None or len(parts) <= parting + 1:
        return None
    if parts[: parting + 1] == paths[0][: parting + 1]:
        return "attn"
    return (
        None
        if any(is_norm_module(model.get_submodule(".".join(parts[:i]))) for i in range(parting, len(parts)))
        else "mlp"
    )


def _by_type(model: nn.Module, parameter: str) -> str:
    owner = model.get_submodule(parameter.rpartition(".")[0])
    return "embed" if isinstance(owner, nn.Embedding) else "other"


def _prefixes(name: str) -> list[str]:
    """Every module path above `name`, nearest first."""
    parts = name.split(".")
    return [".".join(parts[:i]) for i in range(len(parts) - 1, 0, -1)]
