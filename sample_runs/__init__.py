"""What to look at on day one: a reference decoder, norm strategies, and runs that show them side by side.

Everything here but `depthscope.sample_runs.recorded` needs torch, so names are loaded when they are first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from depthscope.store import DepthscopeError

if TYPE_CHECKING:
    from .compare import run_compare
    from .convert import fold_prepbn, to_pre_crmsnorm, to_pre_rmsnorm
    from .demo import run_demo
    from .model import build_model
    from .norms import STRATEGIES
    from .preflight import preflight_model, preflight_strategies
    from .recorded import recorded_bundles

__all__ = [
    "STRATEGIES",
    "build_model",
    "fold_prepbn",
    "preflight_model",
    "preflight_strategies",
    "recorded_bundles",
    "run_compare",
    "run_demo",
    "to_pre_crmsnorm",
    "to_pre_rmsnorm",
]

_HOMES = {
    "STRATEGIES": ".norms",
    "build_model": ".model",
    "fold_prepbn": ".convert",
    "preflight_model": ".preflight",
    "preflight_strategies": ".preflight",
    "recorded_bundles": ".recorded",
    "run_compare": ".compare",
    "run_demo": ".demo",
    "to_pre_crmsnorm": ".convert",
    "to_pre_rmsnorm": ".convert",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_HOMES[name], __name__), name)
    except ModuleNotFoundError as missing:
        if missing.name != "torch":
            raise
        raise DepthscopeError(
            f"expected PyTorch for sample_runs.{name}, but it is not installed: pip install 'depthscope[train]'"
        ) from None


def __dir__() -> list[str]:
    return sorted(__all__)
