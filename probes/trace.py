"""Record one forward: which modules ran on which tensors, and which additions, norms and scalings joined them.

A node is (id, version) of a tensor, so that in-place additions make a new node of the same tensor. Tensors are kept
alive until the trace is dropped, because a freed tensor's id is used again.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from .tensors import first_stream, tensors_in
from .untouched import untouched

__all__ = ["Call", "Node", "Op", "Trace", "trace_forward"]

Node = tuple[int, int]

# Sizes that a norm has made equal differ by rounding and by its epsilon.
EQUAL = 1e-2

_aten = torch.ops.aten
_ADDS = {_aten.add.Tensor, _aten.add_.Tensor}
_SCALES = {_aten.mul.Tensor, _aten.mul_.Tensor, _aten.mul.Scalar, _aten.div.Tensor, _aten.div_.Tensor}
_SHIFTS = {_aten.add.Tensor, _aten.sub.Tensor}
_NORMS = {_aten.native_layer_norm.default, _aten._fused_rms_norm.default, _aten.native_batch_norm.default}
_SAME = {
    _aten.view.default, _aten._unsafe_view.default, _aten.clone.default, _aten._to_copy.default,
    _aten.alias.default, _aten.detach.default, _aten.native_dropout.default,
}  # fmt: skip


@dataclass(frozen=True)
class Op:
    """How a node was made: 'add' of two nodes, 'minus' of two of equal shape, 'scale' of one, 'norm' of one, or the
    'same' values in a new tensor."""

    kind: str
    inputs: tuple[Node, ...]
    scale: float | None = None


@dataclass(frozen=True)
class Call:
    """One call of a module; `start` and `end` order it among all calls. `shapes` are those of input and output."""

    name: str
    module: nn.Module
    input: Node | None
    output: Node | None
    start: int
    end: int
    shapes: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())


@dataclass
class Trace:
    calls: list[Call] = field(default_factory=list)
    made: dict[Node, Op] = field(default_factory=dict)
    when: dict[Node, int] = field(default_factory=dict)
    keep: list[Tensor] = field(default_factory=list)
    clock: int = 0

    def node(self, tensor: Tensor) -> Node:
        self.keep.append(tensor)
        return id(tensor), tensor._version

    def is_within(self, call: Call, node: Node) -> bool:
        """Whether `node` was made inside this call."""
        return call.start <= self.when.get(node, -1) < call.end

    def tick(self) -> int:
        self.clock += 1
        return self.clock


def trace_forward(model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Trace:
    """Run `model` once on a one-sequence slice of its arguments, without gradients or side effects, and record it.

    A model that does not take the slice is given everything. Raises whatever it raises then; callers fall back to what
    the structure alone tells.
    """
    try:
        return _traced(model, *_one_sequence((args, dict(kwargs))))
    except Exception:
        return _traced(model, args, kwargs)


def _traced(model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Trace:
    trace = Trace()
    handles: list[Any] = []
    try:
        for name, module in model.named_modules():
            if not isinstance(module, torch.jit.ScriptModule):  # takes no hooks; what it computes is seen all the same
                handles.extend(_watch_calls(trace, name, module))
        with untouched(model), _Recorder(trace), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what this forward warns of, the loop's own will
            model(*args, **kwargs)
    finally:
        for handle in handles:
            handle.remove()
    return trace


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, trace: Trace) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.trace = trace

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        inputs = tuple(self.trace.node(a) for a in args if isinstance(a, Tensor))
        result = func(*args, **(kwargs or {}))
        op = _op(func, args, inputs, result)
        if op is not None:
            tensor, version = self.trace.node(tensors_in(result)[0])
            # Autograd counts an in-place change only after this returns.
            node = (tensor, version + func.name().split(".")[0].endswith("_"))
            self.trace.made[node], self.trace.when[node] = op, self.trace.clock
        return result


def _op(func: Any, args: tuple[Any, ...], inputs: tuple[Node, ...], result: Any) -> Op | None:
    if func in _ADDS and len(inputs) == 2 and args[0].shape == args[1].shape:
        return Op("add", inputs)
    if func is _aten.sub.Tensor and len(inputs) == 2 and args[0].shape == args[1].shape:
        return Op("minus", inputs)
    if func in _SCALES and inputs:
        return _by_hand(args, inputs, result) or _scale(func, args, inputs)
    if func in _SHIFTS and len(inputs) == 2 and _is_small(args[0].shape, args[1].shape):
        return Op("same", inputs[:1])
    if func in _NORMS:
        return Op("norm", inputs[:1])
    if func in _SAME and tuple(tensors_in(result)[0].shape[-1:]) == tuple(args[0].shape[-1:]):
        return Op("same", inputs[:1])
    return None


def _is_small(big: torch.Size, small: torch.Size) -> bool:
    """Whether `small` is one number a token, or one a feature: the mean that a norm takes away, its bias."""
    return small.numel() == big[-1] or (len(big) > 1 and small == (*big[:-1], 1))


def _by_hand(args: tuple[Any, ...], inputs: tuple[Node, ...], result: Any) -> Op | None:
    """A norm written out: one factor a token, after which all tokens have the same size."""
    if not isinstance(args[1], Tensor) or args[0].dim() < 2 or args[1].shape != (*args[0].shape[:-1], 1):
        return None
    size_N = result.detach().double().square().mean(-1).flatten()
    equal = size_N.numel() > 1 and size_N.std() <= EQUAL * size_N.mean()
    return Op("norm", inputs[:1]) if equal else None


def _scale(func: Any, args: tuple[Any, ...], inputs: tuple[Node, ...]) -> Op | None:
    """Multiplication by a number, a 0-d tensor or a vector over features (LayerScale); None for gates."""
    if isinstance(args[1], int | float):
        divides = func in (_aten.div.Tensor, _aten.div_.Tensor)
        return Op("scale", inputs[:1], 1 / args[1] if divides and args[1] else float(args[1]))
    big, small = (0, 1) if args[0].numel() >= args[1].numel() else (1, 0)
    if args[small].numel() == args[big].numel() or args[small].numel() not in (1, args[big].shape[-1]):
        return None
    return Op("scale", (inputs[big],), float(args[small]) if args[small].numel() == 1 else None)


def _watch_calls(trace: Trace, name: str, module: nn.Module) -> list[Any]:
    starts: list[tuple[int, Node | None, tuple[int, ...]]] = []

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        stream = first_stream((args, kwargs))
        node, shape = (None, ()) if stream is None else (trace.node(stream), tuple(stream.shape))
        starts.append((trace.tick(), node, shape))

    def after(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        start, node, shape = starts.pop()
        stream = first_stream(output)
        made, new_shape = (None, ()) if stream is None else (trace.node(stream), tuple(stream.shape))
        trace.calls.append(Call(name, module, node, made, start, trace.tick(), (shape, new_shape)))

    return [
        module.register_forward_pre_hook(before, with_kwargs=True),
        module.register_forward_hook(after, with_kwargs=True),
    ]


def _one_sequence(arguments: tuple[tuple[Any, ...], dict[str, Any]]) -> Any:
    """Keep the first sequence of every batched tensor: the batch size is the first tensor's leading axis."""
    sizes = [t.shape[0] for value in (arguments[0], arguments[1]) for t in tensors_in(value) if t.dim() > 0]
    return _map(arguments, lambda t: t[:1] if t.dim() > 0 and t.shape[0] == sizes[0] else t)


def _map(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: _map(item, change) for key, item in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_map(item, change) for item in value)
    return value
