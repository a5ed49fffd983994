"""Which axis of a residual stream holds its features: the modules that read and make it tell.

A statistic over features taken along another axis is a number of something else, so a stream with channels first
([B, C, T], [B, C, H, W]) is not measured, and said to be so.
"""

from collections.abc import Sequence

from torch import nn

from .flow import BlockFlow, is_norm_module
from .trace import Call, Trace

__all__ = ["why_not_last"]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_CHANNEL_NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm, nn.GroupNorm)


def why_not_last(trace: Trace, layers: Sequence[tuple[Call, BlockFlow]]) -> str | None:
    """Why the last axis of these blocks' stream is not known to hold its features; None where it does.

    Norms have the first say, because they work on features; then what is linear. With nothing to go by, three axes are
    taken for [B, T, D] as everywhere, and four are not taken for anything. On three axes a norm of somebody's own is
    not believed alone: as many tokens as it has weights are no channels.
    """
    touching = [call for call, flow in layers for call in _touching(trace, call, flow)]
    norms = [call for call in touching if is_norm_module(call.module)]
    sure = [call for call in norms if type(call.module) is nn.LayerNorm or isinstance(call.module, _CHANNEL_NORMS)]
    linear = [call for call in touching if call not in norms]
    wide = any(len(call.shapes[1]) > 3 for call, _ in layers)
    for calls in (norms if wide else sure, linear):
        votes = {_axis(call) for call in calls} - {None}
        if votes == {-1}:
            return None
        if votes:
            return "its features do not lie on the last axis (channels first)"
    if wide:
        return "it has four axes, and no module tells which one holds the features"
    return None


def _touching(trace: Trace, block: Call, flow: BlockFlow) -> list[Call]:
    """The calls that read the stream itself, and those that return what is added to it."""
    stream = {block.input, *(branch.before for branch in flow.branches)} - {None}
    sources = {branch.source for branch in flow.branches}
    added = {call.output for call in trace.calls if call.name in sources and block.start <= call.start < block.end}
    return [call for call in trace.calls if call.input in stream or (call.output in added and call.output is not None)]


def _axis(call: Call) -> int | None:
    """1 or -1, where a module's own weights fit only one of the axes it works on."""
    module, read = call.module, call.shapes[0]
    if len(read) < 3:
        return None
    if isinstance(module, nn.Linear):
        return -1
    if isinstance(module, _CONVOLUTIONS + _CHANNEL_NORMS):
        return 1
    if type(module) is nn.LayerNorm:  # what is made of it may turn its input around (ConvNeXt)
        return -1 if len(module.normalized_shape) == 1 else 1
    sizes = {size for p in module.parameters(recurse=False) for size in p.shape if size > 1}
    fits = [axis for axis in (-1, 1) if sizes and read[axis] in sizes]
    return fits[0] if len(fits) == 1 and read[1] != read[-1] else None
