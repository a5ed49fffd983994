"""Graphs that were compiled before a probe was there.

Dynamo does not guard on module hooks: a graph compiled from a model without them, or from another model of the same
class, goes on to be used and the probe would see nothing. So what was compiled from the code of the model's modules is
dropped when a probe is attached, and the next forward is traced with it.
"""

import sys
from inspect import getattr_static
from typing import Any

from torch import nn

__all__ = ["forget_graphs"]


def forget_graphs(model: nn.Module) -> None:
    """Drop what was compiled from the forwards of the classes in `model`; nothing where nothing was ever compiled."""
    dynamo: Any = sys.modules.get("torch._dynamo.eval_frame")
    if dynamo is None:
        return
    for kind in {type(module) for module in model.modules()}:
        code = getattr(getattr_static(kind, "forward"), "__code__", None)  # of a scripted part it is a descriptor
        if code is not None:
            dynamo.reset_code(code)
