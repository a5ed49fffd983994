"""Runs that are broken on purpose, and sound ones, as data: what is done to each, and what is true of it by that.

The truth of a run is what was done to it. It is written here, before a run is judged, and looks at no measurement:
- `must`: what has to be found, and where: the layer and the step are those that were meddled with;
- `never`: what must not be found, because nothing was done that could cause it;
- everything else is open: it may be true of such a run or not, nobody knows by construction, and is not counted.

Layers count from 1; k is the drawn layer, s the drawn step, which is a sampled one.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

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


def down(trial: Trial, at: int) -> nn.Linear:
    """The matrix with which the MLP of a layer writes to the stream."""
    return trial.blocks[at - 1].mlp.down  # type: ignore[union-attr, return-value]


def writers(trial: Trial, at: int) -> list[nn.Module]:
    """Both matrices with which a layer writes."""
    return [trial.blocks[at - 1].attn.out, down(trial, at)]  # type: ignore[union-attr, list-item]


def at_step(act: Callable[[Trial], None], later: int = 0) -> Act:
    """Done once, ahead of step s + later."""

    def before(trial: Trial, step: int) -> None:
        if step == trial.s + later:
            act(trial)

    return before


def outputs(modules: list[nn.Module], change: Callable[[Tensor], Tensor]) -> None:
    """From now on what the modules give is changed."""
    for module in modules:
        module.register_forward_hook(lambda module, inputs, output: change(output))


@torch.no_grad()
def multiply(trial: Trial, factor: float) -> None:
    """What the MLP of layer k writes becomes so much larger."""
    down(trial, trial.k).weight.mul_(factor)


def one_nan(output: Tensor) -> Tensor:
    changed = output.clone()
    changed[0, -1, 0] = math.nan
    return changed


def backward_times(trial: Trial, at: int, factor: float) -> None:
    """The gradient that enters a layer from above is so many times larger: that of it and of all below it too."""

    def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
        if output.requires_grad:
            output.register_hook(lambda gradient: gradient * factor)

    trial.blocks[at - 1].register_forward_hook(hook)


def gate(trial: Trial, layers: range, factor: float) -> None:
    """Both branches of the layers add so many times less (or more)."""
    for at in layers:
        outputs(writers(trial, at), lambda output: output * factor)


def rotate(trial: Trial) -> None:
    """Every block ends with a fixed random rotation of the channels: without any block those above it read nonsense,
    every block turns the stream by about a right angle, and no channel can stand out for long."""
    generator = torch.Generator().manual_seed(trial.recipe.seed)
    for block in trial.blocks:
        turn_DD = torch.linalg.qr(torch.randn(trial.recipe.width, trial.recipe.width, generator=generator)).Q
        outputs([block], lambda output, turn_DD=turn_DD: output @ turn_DD)  # type: ignore[misc]


def freeze(trial: Trial) -> None:
    trial.blocks[trial.k - 1].requires_grad_(False)


def add_massive(trial: Trial) -> None:
    """2,000 in channel 5 of the first token, from the MLP of layer k."""

    def add(output: Tensor) -> Tensor:
        place = torch.zeros_like(output)
        place[:, 0, 5] = 2000.0
        return output + place

    outputs([down(trial, trial.k)], add)


def add_channel(trial: Trial) -> None:
    """100 in channel 5 of every token, from the MLP of layer k."""
    outputs([down(trial, trial.k)], lambda output: output + 100.0 * torch.eye(output.shape[-1])[5])


@torch.no_grad()
def zero_weights(trial: Trial) -> None:
    """The smallest fifth of every matrix of the blocks becomes 0."""
    for matrix in (each for each in trial.blocks.parameters() if each.dim() == 2):
        matrix[matrix.abs() < matrix.abs().flatten().quantile(0.2)] = 0.0


def weight_spike(trial: Trial, step: int) -> None:
    if step in (trial.s, trial.s + 1):
        multiply(trial, 300.0 if step == trial.s else 1 / 300.0)


def noise_batch(trial: Trial, step: int) -> None:
    trial.noise = step == trial.s


def rate_spike(trial: Trial, step: int) -> None:
    trial.rate = 100.0 if step == trial.s else 1.0


def loss_scale_bug(trial: Trial, step: int) -> None:
    trial.scale = 1e4 if step >= trial.recipe.steps - EVERY else 1.0


@torch.no_grad()
def embedding_jump(trial: Trial, step: int) -> None:
    if step == trial.recipe.steps - EVERY:
        trial.model.get_submodule("embed").weight.mul_(1e3)  # type: ignore[operator, union-attr]


# What a run can only have where something is wrong with it, or was done to it.
FAULTY = frozenset(
    {
        *("nonfinite", "loss_spike", "variance_explosion", "gradient_flow", "dead", "frozen", "gradient_skew"),
        *("half_precision", "strategy_mismatch", "lns_scaled_init", "warmup", "batch_fluctuation"),
    }
)
SHALLOW_BRANCHES = ("pre", "lns")
"""Strategies that do not normalize what a branch writes: what is done to it reaches the stream."""

SOUND = Fault(
    "sound",
    "nothing is done: warm-up, clipping, a usual learning rate",
    ("pre", "post", "peri", "mix", "lns", "deepnorm", "power"),
    never=FAULTY | {"jump"},
    alarm=False,
)
IDLE = ("skip", "prune")

FAULTS = (
    SOUND,
    replace(
        SOUND,
        name="mature",
        what="nothing is done, for more than 5 tokens a parameter",
        strategies=("pre", "post", "peri", "mix", "lns"),
        never=FAULTY | {"undertrained"},
        mature=True,
    ),
    replace(
        SOUND,
        name="counted",
        what="nothing is done; weights near zero are counted every 9 steps",
        kinds=("near_zero",),
        kinds_every=9,
    ),
    Fault(
        "nan-element",
        "one element that the MLP of layer k writes is NaN from step s on",
        must={"nonfinite": layer_step},
        alarm=True,
        before=at_step(lambda trial: outputs([down(trial, trial.k)], one_nan)),
    ),
    Fault(
        "nan-between",
        "all that the MLP of layer k writes is NaN from step s + 2 on, which is not sampled; training goes on",
        must={"nonfinite": lambda trial: Where(step=trial.s + EVERY)},
        alarm=True,
        before=at_step(lambda trial: outputs([down(trial, trial.k)], lambda output: output * math.nan), later=2),
    ),
    Fault(
        "nan-gradient",
        "the gradient that enters layer k is NaN from step s on, without clipping",
        must={"nonfinite": layer_step},
        alarm=True,
        clip=0.0,
        before=at_step(lambda trial: backward_times(trial, trial.k, math.nan)),
    ),
    Fault(
        "float16-overflow",
        "autocast to float16; the MLP of layer k writes 100,000 times more from step s on",
        SHALLOW_BRANCHES,
        must={"nonfinite": layer_step},
        alarm=True,
        autocast=True,
        before=at_step(lambda trial: multiply(trial, 1e5)),
    ),
    Fault(
        "past-float16",
        "float32; the MLP of layer k writes a million times more from the start",
        SHALLOW_BRANCHES,
        must={"half_precision": layer, "variance_explosion": layer},
        alarm=True,
        prepare=lambda trial: multiply(trial, 1e6),
    ),
    Fault(
        "late-explosion",
        "the MLP of layer k writes 3,000 times more from step s on",
        SHALLOW_BRANCHES,
        must={"variance_explosion": layer},
        alarm=True,
        before=at_step(lambda trial: multiply(trial, 3e3)),
    ),
    Fault(
        "weight-spike",
        "the MLP of layer k writes 300 times more at step s only",
        SHALLOW_BRANCHES,
        must={"loss_spike": layer_step},
        alarm=True,
        before=weight_spike,
    ),
    Fault(
        "noise-batch",
        "the batch of step s is bytes drawn evenly",
        must={"loss_spike": lambda trial: Where(step=trial.s)},
        alarm=True,
        before=noise_batch,
    ),
    Fault(
        "rate-spike",
        "the learning rate of step s is 100 times the usual one",
        must={"loss_spike": anywhere},
        alarm=True,
        before=rate_spike,
    ),
    Fault(
        "dead-zero",
        "what both branches of layer k write is multiplied by 0",
        must={"dead": layer},
        never=frozenset({"frozen"}),
        alarm=True,
        prepare=lambda trial: gate(trial, range(trial.k, trial.k + 1), 0.0),
    ),
    Fault(
        "dead-detached",
        "what both branches of layer k write is detached from the graph, though its parameters ask for gradients",
        must={"dead": layer},
        never=frozenset({"frozen"}),
        alarm=True,
        prepare=lambda trial: outputs(writers(trial, trial.k), Tensor.detach),
    ),
    replace(
        SOUND,
        name="frozen",
        what="the parameters of layer k do not ask for gradients",
        strategies=("pre", "peri", "mix", "lns"),
        must={"frozen": layer},
        never=FAULTY - {"frozen"},
        prepare=freeze,
    ),
    Fault(
        "vanishing",
        "the gradient that enters layer k from above is 100,000 times smaller",
        must={"gradient_flow": layer},
        alarm=True,
        prepare=lambda trial: backward_times(trial, trial.k, 1e-5),
    ),
    Fault(
        "exploding",
        "the gradient that enters layer k from above is 100,000 times larger",
        must={"gradient_flow": layer},
        alarm=True,
        prepare=lambda trial: backward_times(trial, trial.k, 1e5),
    ),
    Fault(
        "loss-scale",
        "the loss is multiplied by 10,000 in the last 6 steps, without clipping",
        must={"gradient_flow": anywhere},
        alarm=True,
        clip=0.0,
        before=loss_scale_bug,
    ),
    Fault(
        "starved-sgd",
        "the gradient that enters the early half is 50 times smaller, under SGD",
        must={"gradient_skew": anywhere},
        alarm=True,
        sgd=True,
        prepare=lambda trial: backward_times(trial, trial.half, 0.02),
    ),
    Fault(
        "starved-adam",
        "the gradient that enters the early half is 50 times smaller, under AdamW, which divides it out",
        never=frozenset({"gradient_skew"}),
        prepare=lambda trial: backward_times(trial, trial.half, 0.02),
    ),
    Fault(
        "idle-deep",
        "what both branches of the deep half write is 1,000 times smaller",
        must={"curse": deep_half, "idle": deep_half, "removable": anywhere, "absorption": deep_half},
        kinds=IDLE,
        prepare=lambda trial: gate(trial, range(trial.half + 1, trial.recipe.layers + 1), 1e-3),
        strategies=SHALLOW_BRANCHES,
    ),
    Fault(
        "idle-early",
        "what both branches of the early half write is 1,000 times smaller",
        must={"absorption": lambda trial: Where(tuple(range(1, trial.half + 1))), "removable": anywhere},
        never=frozenset({"curse", "idle"}),
        kinds=IDLE,
        prepare=lambda trial: gate(trial, range(1, trial.half + 1), 1e-3),
        strategies=SHALLOW_BRANCHES,
    ),
    Fault(
        "rotated",
        "every block ends with a random rotation of the channels, so none can be missed and no channel stands out",
        never=frozenset({"curse", "idle", "removable", "heavy", "massive"}),
        kinds=IDLE,
        prepare=rotate,
        strategies=SHALLOW_BRANCHES,
    ),
    Fault(
        "exponential",
        "what every block gives is multiplied by 1.3, so the variance by at least 1.69 a block",
        must={"exponential": anywhere},
        prepare=lambda trial: outputs(list(trial.blocks), lambda output: output * 1.3),
        strategies=SHALLOW_BRANCHES,
    ),
    Fault(
        "additive",
        "each branch's output is normalized and weights hardly move: every branch adds the same variance",
        never=frozenset({"exponential", "absorption", "curse"}),
        strategies=("peri",),
        rate=1e-4,
    ),
    Fault(
        "normalized",
        "the stream is normalized after every branch and weights hardly move: its variance is the same everywhere",
        never=frozenset({"exponential", "massive"}),
        strategies=("post",),
        rate=1e-4,
    ),
    Fault(
        "massive",
        "2,000 is added to channel 5 of the first token in layer k",
        must={"massive": layer},
        strategies=SHALLOW_BRANCHES,
        prepare=add_massive,
    ),
    Fault(
        "channel",
        "100 is added to channel 5 of every token in layer k",
        must={"heavy": layer},
        strategies=SHALLOW_BRANCHES,
        prepare=add_channel,
    ),
    replace(
        SOUND,
        name="mislabelled",
        what="nothing is done, but the label is that of another strategy",
        strategies=("pre", "peri", "post", "lns"),
        label={"pre": "peri", "peri": "pre", "post": "pre", "lns": "mix"},
        must={"strategy_mismatch": anywhere},
        never=FAULTY - {"strategy_mismatch"},
        alarm=True,
    ),
    replace(
        SOUND,
        name="lns-scaled",
        what="LayerNorm Scaling, and the configuration says scaled_init: true",
        strategies=("lns",),
        config={"scaled_init": True},
        must={"lns_scaled_init": anywhere},
        never=FAULTY - {"lns_scaled_init"},
        alarm=True,
    ),
    replace(
        SOUND,
        name="pre-scaled",
        what="Pre-LN, and the configuration says scaled_init: true",
        strategies=("pre",),
        config={"scaled_init": True},
    ),
    Fault(
        "hot-post",
        "Post-LN at 100 times the usual learning rate, without warm-up or clipping",
        ("post",),
        must={"warmup": anywhere},
        alarm=True,
        warmup=0.0,
        clip=0.0,
        rate=100.0,
    ),
    Fault(
        "cold-post",
        "Post-LN without warm-up, at a usual learning rate",
        ("post",),
        must={"warmup": anywhere},
        alarm=True,
        warmup=0.0,
    ),
    replace(
        SOUND,
        name="cold-pre",
        what="other placements without warm-up",
        strategies=("pre", "peri", "mix", "lns"),
        warmup=0.0,
    ),
    Fault(
        "batch-jump",
        "norms with batch statistics; the embedding is 1,000 times larger in the last 6 steps",
        ("power", "prepbn"),
        must={"batch_fluctuation": anywhere},
        alarm=True,
        before=embedding_jump,
    ),
    Fault(
        "zeroed",
        "the smallest fifth of all weights becomes 0 at step 50; weights near zero are counted every 9 steps",
        must={"jump": anywhere},
        kinds=("near_zero",),
        kinds_every=9,
        before=lambda trial, step: zero_weights(trial) if step == 50 else None,
    ),
)
