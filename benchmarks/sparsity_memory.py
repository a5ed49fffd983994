"""What a sparsity curve holds in memory beside the model: live tensor bytes, counted operation by operation.

python benchmarks/sparsity_memory.py [--layers 12] [--width 256]

Every tensor that an operation returns is counted as long as it lives. A held-out forward of the untouched model has
activations too; what the curve needs is the difference. It is to stay within the weights of one block and a bit for
each weight that may be pruned, and Wanda's number for each input feature.
"""

import argparse
import weakref
from collections.abc import Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from depthscope.probes.interventions import INTERVENTIONS, Context, as_holdout, sequence_losses
from depthscope.probes.interventions.bench import Bench
from depthscope.probes.interventions.matrices import prunable
from depthscope.probes.sites import find_sites
from depthscope.probes.untouched import untouched
from depthscope.sample_runs import build_model


class LiveBytes(TorchDispatchMode):
    """Inside, `peak` is the most bytes that tensors made here held at once."""

    def __init__(self, known: set[int]) -> None:
        super().__init__()
        self.peak = self._live = 0
        self._known = known  # storages that were there before
        self._alive: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._count(tensor)
        return result

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        at, size = storage.data_ptr(), storage.nbytes()
        if at in self._known or at in self._alive or not size:
            return
        self._alive.add(at)
        self._live += size
        self.peak = max(self.peak, self._live)
        weakref.finalize(storage, self._forget, at, size)  # torch keeps this object as long as the memory

    def _forget(self, at: int, size: int) -> None:
        self._alive.discard(at)
        self._live -= size


@contextmanager
def counted(model: nn.Module) -> Any:
    known = {t.untyped_storage().data_ptr() for t in [*model.parameters(), *model.buffers()]}
    with LiveBytes(known) as live:
        yield live


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=256)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    model = build_model("pre", layers=chosen.layers, width=chosen.width, heads=8, vocab=256)
    sites, holdout = find_sites(model), as_holdout(torch.randint(256, (2, 16)))
    matrices = prunable(model, sites)
    block = sum(p.nbytes for p in model.get_submodule(sites.blocks[0].name).parameters())
    bits = sum(matrix.numel for matrix in matrices) / 8
    features = sum(4 * matrix.weight.shape[1] for matrix in matrices)
    context = Context(model, sites, holdout, sequence_losses(model, holdout), 0, Bench(model, sites, holdout), id)
    with counted(model) as plain:
        sequence_losses(model, holdout)
    with counted(model) as live, untouched(model):
        points = INTERVENTIONS["sparsity"].measure(context)
    mib = 2**20
    print(f"model: {sum(p.nbytes for p in model.parameters()) / mib:.1f} MiB, one block {block / mib:.2f} MiB")
    print(f"a bit for each of {int(bits * 8):,} weights: {bits / mib:.2f} MiB, features {features / mib:.2f} MiB")
    print(f"a forward: {plain.peak / mib:.2f} MiB; {len(points)} rows of the curves: {live.peak / mib:.2f} MiB at most")
    print(
        f"beyond a forward: {(live.peak - plain.peak) / mib:.2f} MiB, allowed {(block + bits + features) / mib:.2f} MiB"
    )


if __name__ == "__main__":
    main()
