"""What a section of a report is: a heading, a line of explanation, and figures by name with the view of each."""

from dataclasses import dataclass, field

from ..view import View

__all__ = ["Place", "Section"]


@dataclass(frozen=True)
class Place:
    """A figure or table and the view it shows."""

    name: str
    view: View
    subtitle: str = ""
    """A user's name or a metric's title: to be escaped."""


@dataclass(frozen=True)
class Section:
    """A heading, a line of explanation and what stands below."""

    name: str
    title: str
    lead: str
    places: tuple[Place, ...] = field(default=())
    tables: tuple[Place, ...] = field(default=())
