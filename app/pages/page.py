"""What a page is."""

from collections.abc import Callable
from dataclasses import dataclass

from ..scene import Scene
from ..view import View

__all__ = ["Page"]


@dataclass(frozen=True)
class Page:
    """A page of the dashboard: `draw` shows the scene and returns the view with the choices of its own widgets."""

    name: str
    """Its address."""
    title: str
    icon: str
    draw: Callable[[Scene], View]
    live: bool = False
    """Whether it is kept up to date also while no run trains: one may begin."""
