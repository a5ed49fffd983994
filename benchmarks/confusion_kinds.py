"""What a run of the confusion table is: how it trains, what is done to it, and where a finding has to point."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import nn

from depthscope.sample_runs.recipes import Recipe

EVERY = 6
"""Steps between samples, beside 0, 1, 2 and 4."""


@dataclass
class Trial:
    """One run while it trains; a fault changes the last three from step to step."""

    model: nn.Module
    recipe: Recipe
    k: int
    s: int
    rate: float = 1.0
    """Factor of the learning rate."""
    scale: float = 1.0
    """Factor of the loss that is differentiated, not of the one that is logged."""
    noise: bool = False
    """Whether the batch is bytes drawn evenly."""

    @property
    def blocks(self) -> nn.ModuleList:
        return self.model.get_submodule("blocks")  # type: ignore[return-value]

    @property
    def half(self) -> int:
        return self.recipe.layers // 2


@dataclass(frozen=True)
class Where:
    """Where a finding has to point; None where nothing in particular was done there."""

    layers: tuple[int, ...] | None = None
    step: int | None = None


Act = Callable[[Trial, int], None]
Place = Callable[[Trial], Where]


@dataclass(frozen=True)
class Fault:
    """A kind of run."""

    name: str
    what: str
    """In words, for the page."""
    strategies: tuple[str, ...] = ("pre", "peri", "mix", "lns")
    must: Mapping[str, Place] = field(default_factory=dict)
    never: frozenset[str] = frozenset()
    alarm: bool | None = None
    """Whether something has to warn; None where that is open."""
    prepare: Callable[[Trial], None] = lambda trial: None
    before: Act = lambda trial, step: None
    """Ahead of each step."""
    warmup: float = 0.1
    clip: float = 1.0
    rate: float = 1.0
    """Factor of the drawn learning rate."""
    sgd: bool = False
    autocast: bool = False
    """float16"""
    label: Mapping[str, str] = field(default_factory=dict)
    """Strategy -> what the run is labelled with."""
    config: Mapping[str, object] = field(default_factory=dict)
    kinds: tuple[str, ...] = ()
    """Held-out measurements at the end."""
    kinds_every: int = 0
    """Steps between them; 0: only at the end."""
    mature: bool = False
    """Trained for 5 tokens a parameter and more."""


def anywhere(trial: Trial) -> Where:
    return Where()


def layer(trial: Trial) -> Where:
    return Where((trial.k,))


def layer_step(trial: Trial) -> Where:
    return Where((trial.k,), trial.s)


def deep_half(trial: Trial) -> Where:
    return Where(tuple(range(trial.half + 1, trial.recipe.layers + 1)))
