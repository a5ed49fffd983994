"""Runs that are broken on purpose, and sound ones, as data: what is done to each, and what is true of it by that.

The truth of a run is what was done to it. It is written here, before a run is judged, and looks at no measurement:
- `must`: what has to be found, and where: the layer and the step are those that were meddled with;
- `never`: what must not be found, because nothing was done that could cause it;
- everything else is open: it may be true of such a run or not, nobody knows by construction, and is not counted.

Layers count from 1; k is the drawn layer, s the drawn step, which is a sampled one.
"""

import math
from dataclasses import replace

from confusion_acts import (
    add_channel,
    add_massive,
    at_step,
    backward_times,
    down,
    embedding_jump,
    freeze,
    gate,
    loss_scale_bug,
    multiply,
    noise_batch,
    one_nan,
    outputs,
    rate_spike,
    rotate,
    weight_spike,
    writers,
    zero_weights,
)
from confusion_kinds import EVERY, Fault, Where, anywhere, deep_half, layer, layer_step
from torch import Tensor

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
