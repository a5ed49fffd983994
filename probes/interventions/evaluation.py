"""One evaluation of a model on held-out batches: estimate, measure, put everything back."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from depthscope.store import DepthscopeError, Record, Scalar

from ..find_model import unwrapped
from ..sites import Sites, find_sites, trace_sites
from ..turns import all_turns_paused
from ..untouched import untouched
from .bench import Bench
from .context import Context, Kind
from .cost import Cost
from .holdout import Holdout, Losses, joined, piece_losses, pieces
from .patch import heard_arguments, without_caches
from .table import INTERVENTIONS

__all__ = ["Estimate", "Listener", "Task", "check_whole", "chosen_kinds", "evaluate", "found_sites"]


@dataclass(frozen=True)
class Estimate:
    """What an evaluation takes: forwards over the held-out tokens, by kind, and seconds, from one measured forward."""

    forwards: dict[str, float]
    seconds: float
    tokens: int

    @property
    def total(self) -> float:
        """Forwards of all kinds."""
        return sum(self.forwards.values())

    def __str__(self) -> str:
        return f"{self.total:.0f} forwards over {self.tokens:,} held-out tokens, about {self.seconds:.0f} s"


@dataclass(frozen=True)
class Listener:
    """Who hears of an evaluation: its estimate before it starts, forwards done, records, and kinds that failed."""

    estimated: Callable[[Estimate], None] = lambda estimate: None
    advance: Callable[[float], None] = lambda forwards: None
    write: Callable[[Sequence[Record]], None] = lambda records: None
    failed: Callable[[str, Exception], None] = lambda kind, error: None


@dataclass(frozen=True)
class Task:
    """What to measure: kinds by name, for which step. See Context for `initial` and `memory`."""

    holdout: Holdout
    kinds: dict[str, Kind]
    step: int
    seed: int = 0
    initial: bool = False
    memory: dict[str, Any] = field(default_factory=dict)


def chosen_kinds(only: Sequence[str] | str | None, *, in_training: bool = False) -> dict[str, Kind]:
    """The kinds named in `only`, in the table's order; None: all standard ones, or those for every few steps.

    Raises DepthscopeError for a name that is not in the table.
    """
    if only is None:
        return {name: k for name, k in INTERVENTIONS.items() if (k.in_training if in_training else k.standard)}
    named = [name.strip() for name in only.split(",")] if isinstance(only, str) else list(only)
    unknown = next((name for name in named if name not in INTERVENTIONS), None)
    if unknown is not None or not named:
        raise DepthscopeError(f"expected only to name some of {', '.join(INTERVENTIONS)}, got {unknown!r}")
    return {name: kind for name, kind in INTERVENTIONS.items() if name in named}


def check_whole(model: nn.Module) -> None:
    """Raises DepthscopeError for parameters that are spread over ranks: blocks are run one rank alone."""
    spread = any(hasattr(p, "placements") or hasattr(p, "ds_id") for p in model.parameters())
    if spread or any(type(m).__name__ == "FullyShardedDataParallel" for m in model.modules()):
        raise DepthscopeError(
            "expected whole parameters for held-out measurements, got sharded ones (FSDP, tensor parallel); "
            "save a full state_dict and measure it with `depthscope evaluate`"
        )


def found_sites(model: nn.Module, holdout: Holdout, sites: Sites | None = None) -> Sites:
    """The model's sites, by a forward on a held-out piece where the structure alone has told so far."""
    known = sites or find_sites(model)
    if known.how == "traced forward":
        return known
    heard: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    with untouched(model), heard_arguments(model, lambda *given: heard.append(given)), without_caches(model):
        piece_losses(model, next(pieces(holdout)), holdout.loss_fn)
    if not heard:
        raise DepthscopeError("expected loss_fn to call the model it is given; it did not")
    try:
        return trace_sites(model, known, *heard[0])
    except Exception:  # what the structure or the user told is enough to skip and repeat blocks
        if not known.blocks:
            raise
        return known


def evaluate(model: nn.Module, task: Task, listener: Listener, sites: Sites | None = None) -> list[Record]:
    """Measure `task.kinds` and return all records, each kind's handed to the listener as soon as it is done.

    model: may be wrapped by DistributedDataParallel or torch.compile, and is run without. What a kind raises goes to
    `listener.failed`; what the model raises before that is raised. It is left bit for bit as it was, also by Ctrl-C.
    """
    model = unwrapped(model)
    check_whole(model)
    found = found_sites(model, task.holdout, sites)
    with untouched(model), all_turns_paused(), without_caches(model):
        meter = _Meter(listener.advance)
        bench = Bench(model, found, task.holdout, meter.add)
        share = bench.settle()
        base, seconds = _timed(model, task.holdout)
        meter.begin(len(bench.layers), share)
        how = (meter.add, task.seed, task.initial, task.memory)
        context = Context(model, found, task.holdout, base, task.step, bench, *how)
        expected = _estimate(context, task.kinds, share, seconds)
        listener.estimated(expected)
        records: list[Record] = [Scalar(task.step, "holdout_loss", base.mean)]
        listener.write(records)
        for name, kind in task.kinds.items():
            records += _measured(name, kind, context, meter, listener, expected.forwards[name] * seconds)
    return records


class _Meter:
    """Counts what has been run, in forwards of the untouched model."""

    def __init__(self, tell: Callable[[float], None]) -> None:
        self._tell, self._layers, self._share = tell, 0, 1.0
        self.forwards = 0.0

    def begin(self, layers: int, share: float) -> None:
        """From here on it counts; a forward's time in its blocks is this share of it."""
        self._layers, self._share = layers, share

    def add(self, cost: Cost) -> None:
        if self._layers:
            done = cost.forwards(self._layers, self._share)
            self.forwards += done
            self._tell(done)


def _measured(
    name: str, kind: Kind, context: Context, meter: _Meter, listener: Listener, expected: float
) -> list[Record]:
    """A kind's records with what they took, noted for the next estimate; none where it failed.

    expected: seconds that its forwards alone would take.
    """
    before, began = meter.forwards, time.perf_counter()
    try:
        found = kind.measure(context)
    except Exception as error:
        listener.failed(name, error)
        return []
    if expected:
        context.rates[name] = (time.perf_counter() - began) / expected
    records = [*found, Scalar(context.step, f"evaluated/{name}", meter.forwards - before)]
    listener.write(records)
    return records


def _timed(model: nn.Module, holdout: Holdout) -> tuple[Losses, float]:
    """The losses of the untouched model and the seconds that its forward took, after one to warm up."""
    began = time.perf_counter()
    base = joined([piece_losses(model, piece, holdout.loss_fn) for piece in pieces(holdout)])
    return base, time.perf_counter() - began


def _estimate(context: Context, kinds: dict[str, Kind], share: float, seconds: float) -> Estimate:
    """What `kinds` will take, `seconds` being one forward's, of which the blocks take `share`.

    Forwards are counted. What is done between them, and a derivative beside them, costs by the model's size and the
    machine: from the second evaluation of a run on, each kind's seconds are scaled as its last ones turned out.
    """
    forwards = {name: kind.cost(context).forwards(len(context.layers), share) for name, kind in kinds.items()}
    scaled = sum(count * context.rates.get(name, 1.0) for name, count in forwards.items())
    return Estimate(forwards, scaled * seconds, context.base.tokens)
