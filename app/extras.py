"""Optional dependencies, looked for before a command starts: a missing one is a line that names the extra."""

from importlib.util import find_spec

from depthscope.store import DepthscopeError

__all__ = ["MissingExtra", "require"]

MODULES = {
    "train": ("torch",),
    "app": ("streamlit", "plotly", "jinja2", "markdown_it"),
    "tensorboard": ("tensorboard",),
    "wandb": ("wandb",),
}


class MissingExtra(DepthscopeError):
    """A command needs packages that are not installed."""


def require(extra: str, to: str) -> None:
    """Raise MissingExtra unless all that `extra` brings can be imported; `to` says what needs it. Imports nothing."""
    missing = [name for name in MODULES[extra] if find_spec(name) is None]
    if missing:
        raise MissingExtra(f"{to} needs {', '.join(missing)}: pip install 'depthscope[{extra}]'")
