"""What a sample run is made of, as data: RUNS holds the sets that ship.

Runs of one set share everything but the strategy: the seed of weights and of data order, the budget, the optimizer.
"""

import json
from dataclasses import asdict, dataclass, replace

from depthscope.store import DepthscopeError

from .checks import at_least, one_of, positive
from .model import Decoder, build_model
from .norms import STRATEGIES, find_strategy

__all__ = ["RUNS", "STANDARD", "Recipe", "check_recipe", "from_json", "model_of", "recipes_for", "to_json"]

STANDARD = ("pre", "post", "peri", "mix", "lns")


@dataclass(frozen=True)
class Recipe:
    """One run of the reference decoder on the corpus.

    Sizes in tokens, layers and features; `lr` is the peak, reached after the share `warmup` of the steps, then a cosine
    down to a tenth; `every`, `probe_every`, `evaluate_every` in steps; `embedding_std` 0.02 or 0.632 as in the papers.
    At the end each block is skipped on `skip_tokens` held-out tokens; 0 leaves that out.
    """

    strategy: str
    layers: int = 12
    width: int = 64
    heads: int = 4
    seq_len: int = 64
    batch: int = 16
    steps: int = 500
    lr: float = 2e-3
    warmup: float = 0.1
    clip: float = 1.0
    weight_decay: float = 0.0
    seed: int = 0
    norm: str = "rms"
    embedding_std: float = 0.02
    every: int = 10
    probe_every: int = 20
    evaluate_every: int = 50
    skip_tokens: int = 0
    study: str = ""
    """Not empty: one of many runs of a comparison of this name, that differ in the learning rate and the seed too."""

    @property
    def name(self) -> str:
        """The run's name where nobody chose one."""
        if self.study:
            return f"{self.strategy}-{self.layers}x{self.width}-{self.steps}steps-lr{self.lr:g}-seed{self.seed}"
        return f"{self.strategy}-{self.layers}x{self.width}-seed{self.seed}"

    @property
    def group(self) -> str:
        """What the runs compared with this one have in common."""
        if self.study:
            return self.study
        return f"{self.layers}x{self.width}-{self.steps}steps-seed{self.seed}"


def check_recipe(recipe: Recipe) -> None:
    """Raises DepthscopeError, one line, for what cannot be trained; sizes of the model are checked as it is built."""
    find_strategy(recipe.strategy)
    at_least("layers", recipe.layers, 2)
    for name in ("steps", "seq_len", "batch", "width", "heads", "every", "probe_every", "evaluate_every"):
        at_least(name, getattr(recipe, name), 1)
    for name in ("seed", "skip_tokens"):
        at_least(name, getattr(recipe, name), 0)
    for name in ("lr", "clip", "embedding_std"):
        positive(name, getattr(recipe, name))
    one_of("norm", recipe.norm, ("rms", "layer"))
    if not 0 <= recipe.warmup <= 1:
        raise DepthscopeError(f"expected warmup to be a share of the steps between 0 and 1, but got {recipe.warmup!r}")


def to_json(recipe: Recipe) -> str:
    return json.dumps(asdict(recipe))


def from_json(text: str) -> Recipe:
    """The recipe written by `to_json`; DepthscopeError where it is none."""
    try:
        recipe = Recipe(**json.loads(text))
    except (TypeError, ValueError) as wrong:
        fields = ", ".join(Recipe.__dataclass_fields__)
        raise DepthscopeError(
            f"expected a recipe as a JSON object of {fields}, but got {text[:80]!r} ({wrong})"
        ) from None
    check_recipe(recipe)
    return recipe


def recipes_for(base: Recipe, strategies: tuple[str, ...]) -> tuple[Recipe, ...]:
    """The same run once for each strategy."""
    return tuple(replace(base, strategy=strategy) for strategy in strategies)


def model_of(recipe: Recipe) -> Decoder:
    """The recipe's model before its first step."""
    return build_model(
        recipe.strategy,
        layers=recipe.layers,
        width=recipe.width,
        heads=recipe.heads,
        norm=recipe.norm,
        seed=recipe.seed,
        embedding_std=recipe.embedding_std,
        context=recipe.seq_len,
    )


CLAIMED = (*STANDARD, "power", "prepbn", "pre-rms", "pre-crms")
"""The strategies that the papers' claims in sample_runs.reproduction are about."""

RECORDED = Recipe("pre", layers=24, steps=1000, every=50, probe_every=200, evaluate_every=100)
SEEDED = replace(RECORDED, every=100)

# The recorded sets were fixed before they were run: every strategy once, those of the claims with two more seeds.
RUNS: dict[str, tuple[Recipe, ...]] = {
    "demo": recipes_for(Recipe("pre"), STANDARD),
    "recorded": recipes_for(RECORDED, tuple(STRATEGIES)),
    "recorded-seed1": recipes_for(replace(SEEDED, seed=1), CLAIMED),
    "recorded-seed2": recipes_for(replace(SEEDED, seed=2), CLAIMED),
}

# The sweep of learning rates was fixed before it was run too: a smaller model and fewer steps than the recorded runs,
# because it shared two cores with other work; 300 steps, because PRepBN's schedule takes 250. The grid had two lower
# rates at first; they were taken out after one run (pre at 0.0005, which stays), to have more strategies in the time.
SWEEP = Recipe("pre", layers=8, width=32, batch=8, steps=300, evaluate_every=60, study="sweep")
SWEEP_RATES = (2e-3, 4e-3, 8e-3)
SWEEP_WIDEN = 3
"""Rates beyond each edge of the grid, each twice or half the one before, as long as the best rate lies at the edge."""
SWEEP_SEEDS = (0, 1)
"""Every strategy with one seed before any with the next."""
