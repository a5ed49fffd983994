"""One cell of the cost benchmark: a tool beside the same training without it, in a process of its own.

    python benchmarks/overhead_cell.py TOOL SIZE MODE SECONDS

Two models of the same weights see the same batches; blocks of steps alternate, and which goes first alternates too.
What counts is CPU time of the training thread, pair by pair; CPU time of every other thread and of child processes is
the tool's (nothing else has any) and is added. Prints one line of JSON.
"""

import importlib.util
import json
import math
import os
import statistics
import sys
import tempfile
import time
import types
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ |= {"WANDB_SILENT": "true", "WANDB_MODE": "offline", "TOKENIZERS_PARALLELISM": "false"}

import psutil
import torch
from rivals import TOOLS, Attached, Setup
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["SIZES", "Cell", "measure"]

SIZES: dict[str, dict[str, int]] = {
    "small": {"layers": 6, "width": 192, "heads": 6, "tokens": 128, "batch": 4, "vocab": 512},
    "medium": {"layers": 6, "width": 384, "heads": 6, "tokens": 256, "batch": 2, "vocab": 512},
    "large": {"layers": 6, "width": 384, "heads": 6, "tokens": 256, "batch": 8, "vocab": 512},
}
PAIRS, FEWEST, FEWEST_OF_DEAR = 31, 7, 3


@dataclass(frozen=True)
class Cell:
    """A tool's cost: CPU time of its steps as a multiple of the steps without it, and what it left."""

    plain_ms: float
    times: float
    low: float
    high: float
    pairs: int
    background_ms: float
    numbers: float
    bytes_per_step: float
    graph_breaks: int
    graphs: int
    graphs_without: int
    same_training: bool

    @property
    def us_per_number(self) -> float:
        """Microseconds for each number that was kept."""
        return (self.times - 1) * self.plain_ms * 1000 / self.numbers if self.numbers else math.nan


class Side:
    """A training run that can be advanced by some steps."""

    def __init__(self, size: dict[str, int], attach: Callable[[Setup], Attached] | None, compiled: bool, folder: Path):
        torch.manual_seed(0)
        code = _fresh_code()
        self.model: nn.Module = code.GPT(**{k: size[k] for k in ("layers", "width", "heads", "tokens", "vocab")})
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3)
        self.generator = torch.Generator().manual_seed(1)
        self.size, self.step, self.losses = size, 0, list[float]()
        setup = Setup(self.model, self.optimizer, self._batch(), folder)
        self.attached = Attached() if attach is None else attach(setup)
        self.run = torch.compile(self.model) if compiled else self.model

    def _batch(self) -> Tensor:
        shape = (self.size["batch"], self.size["tokens"])
        return torch.randint(self.size["vocab"], shape, generator=self.generator)

    def advance(self, steps: int) -> float:
        """Train; returns milliseconds of CPU time of this thread, a step."""
        start = time.thread_time()
        for _ in range(steps):
            ids_BT = self._batch()
            self.attached.before_forward(self.step)
            loss = F.cross_entropy(self.run(ids_BT)[:, :-1].flatten(0, 1), ids_BT[:, 1:].flatten())
            loss.backward()
            self.attached.after_backward(self.step, loss.detach())
            self.optimizer.step()
            self.attached.after_update(self.step, loss.detach())
            self.optimizer.zero_grad()
            self.losses.append(loss.item())
            self.step += 1
        return (time.thread_time() - start) * 1000 / steps


def _fresh_code() -> types.ModuleType:
    """The model's file, loaded anew: no code object of another copy."""
    spec = importlib.util.spec_from_file_location(
        f"nanogpt_{time.monotonic_ns()}", Path(__file__).parent / "nanogpt.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measure(tool: str, size: str, mode: str, seconds: float) -> Cell:
    """One cell, within about `seconds` of measuring after its warm-up."""
    from torch._dynamo.utils import counters

    folder, compiled = Path(tempfile.mkdtemp()), mode == "compiled"
    plain = Side(SIZES[size], None, compiled, folder)
    plain.advance(3)
    graphs_without = counters["stats"]["unique_graphs"]
    counters.clear()
    watched = Side(SIZES[size], TOOLS[tool].attach, compiled, folder)
    block = 2 if TOOLS[tool].period == 1 and not TOOLS[tool].dear else TOOLS[tool].period
    watched.advance(2 if TOOLS[tool].dear else max(4, block + 1))
    breaks, graphs = sum(counters["graph_break"].values()), counters["stats"]["unique_graphs"]
    plain.advance(watched.step - plain.step)
    fewest = FEWEST_OF_DEAR if TOOLS[tool].dear else FEWEST
    pairs, background_ms = _pairs(plain, watched, block, fewest, seconds)
    watched.attached.close()
    ratios = [seen / without for without, seen in pairs]
    plain_ms = statistics.median(without for without, _ in pairs)
    low, high = _interval(ratios)
    extra = background_ms / plain_ms
    return Cell(
        plain_ms, statistics.median(ratios) + extra, low + extra, high + extra, len(pairs), background_ms,
        watched.attached.numbers(), _bytes(folder) / watched.step, breaks, graphs, graphs_without,
        plain.losses == watched.losses,
    )  # fmt: skip


def _pairs(
    plain: Side, watched: Side, block: int, fewest: int, seconds: float
) -> tuple[list[tuple[float, float]], float]:
    """CPU milliseconds a step of both sides, pair by pair, and of everything else in a watched step."""
    pairs: list[tuple[float, float]] = []
    begin, others, first = time.perf_counter(), _other_cpu_s(), watched.step
    while len(pairs) < PAIRS and (len(pairs) < fewest or time.perf_counter() - begin < seconds):
        sides = (plain, watched) if len(pairs) % 2 else (watched, plain)
        spent = {side: side.advance(block) for side in sides}
        pairs.append((spent[plain], spent[watched]))
    return pairs, (_other_cpu_s() - others) * 1000 / (watched.step - first)


def _other_cpu_s() -> float:
    """CPU seconds of this process's other threads and of its children."""
    children = 0.0
    for child in psutil.Process().children(recursive=True):
        try:
            times = child.cpu_times()
            children += times.user + times.system
        except psutil.Error:
            continue
    return time.process_time() - time.thread_time() + children


def _interval(values: list[float]) -> tuple[float, float]:
    """The order statistics that hold the median with about 95% probability (sign test)."""
    ordered, n = sorted(values), len(values)
    tail, rank = 0.5**n, 0
    while rank + 1 <= n // 2 and tail + math.comb(n, rank + 1) * 0.5**n <= 0.025:
        rank += 1
        tail += math.comb(n, rank) * 0.5**n
    return ordered[rank], ordered[n - 1 - rank]


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())


def main() -> None:
    tool, size, mode, seconds = sys.argv[1:]
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    said: dict[str, Any]
    try:
        cell = measure(tool, size, mode, float(seconds))
        said = {**asdict(cell), "us_per_number": cell.us_per_number}
    except ImportError as error:
        said = {"missing": f"not installed ({error})"}
    except Exception as error:
        said = {"missing": f"failed ({type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else ''})"}
    print("\n" + json.dumps(said), flush=True)
    os._exit(0)  # some tools leave threads behind that never end


if __name__ == "__main__":
    main()
