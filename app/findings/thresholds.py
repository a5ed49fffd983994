"""Every number a diagnosis compares with, in one place, each with where it comes from; a TOML file may override any."""

import difflib
import math
import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from depthscope.store import DepthscopeError

__all__ = ["OWN", "THRESHOLDS", "BadThresholds", "Thresholds", "read_thresholds"]

OWN = "depthscope's own choice"
"""Said in a finding's source where no paper gives a threshold."""


class BadThresholds(DepthscopeError):
    """A thresholds file that cannot be read, or says something that is no threshold."""


@dataclass(frozen=True)
class Thresholds:
    """Unitless unless said. Lower and upper bounds are exclusive."""

    recent_steps: int = 5
    """Newest sampled steps that a judgement has to hold on to be called certain; own choice."""
    min_blocks: int = 4
    """Fewer blocks say nothing about depth; own choice."""

    trained_steps: int = 100
    """Fewer steps than this have taught nothing; own choice."""
    trained_tokens: float = 5.0
    """Training tokens per parameter below which a model is under-trained; compute-optimal is about 20 (arXiv
    2203.15556). Own choice."""

    growth_rate: float = 0.05
    """Exponential growth of the stream variance per block; below it the two laws cannot be told apart. Own choice."""
    growth_flat: float = 2.0
    """Variance of the last layer over layer 2 below this is flat (Post-LN, DeepNorm: 1). Own choice."""
    growth_fit: float = 0.5
    """R² that a law has to have to be named at all. Own choice."""
    explosion_depth: float = 1e4
    """Largest variance over that of layer 2, past which half-precision branches no longer reach the stream. Own
    choice."""
    explosion_time: float = 1e3
    """Largest variance now over its median in the first half of the run. Own choice."""

    identity_angle: float = 0.045
    """Angular distance, a share of 180 degrees, below which a block hardly turns the stream: 8 degrees. Own choice."""
    identity_share: float = 0.5
    """Share of the deep half that has to be below it. Own choice."""
    identity_contrast: float = 0.7
    """Deep over early mean angle below which it is the depth, and not the whole model. Own choice."""

    skew_noted: float = 3.0
    """Deep over early gradient norm, or its inverse, worth a line; healthy Pre-LN models show 2 to 4. Own choice."""
    skew_update: float = 3.0
    """The same of the update ratio: past it the halves really learn at different speeds. Own choice."""
    flow_warning: float = 1e3
    """Largest over smallest block gradient norm past which gradients vanish or explode along depth. Own choice."""
    flow_critical: float = 1e6
    """The same, past which the weak end does not learn. Own choice."""
    gradient_surge: float = 100.0
    """Largest block gradient norm now over its median in the run, past which it explodes over time. Own choice."""
    dead_share: float = 1e-5
    """Gradient norm of a block, over the median of its peers, below which it is dead. Own choice."""

    cheap_loss: float = 0.01
    """Share of the held-out loss that a removal may cost and still be cheap. Own choice."""
    removable_share: float = 0.1
    """Share of the blocks that can go together, worth a line. Own choice."""
    jump_share: float = 0.05
    """Share of all weights that become near zero between two evaluations, worth a line. Own choice."""
    jump_z: float = 3.0
    """And its standard deviations above the rises before. Own choice."""
    min_evaluations: int = 4
    """Evaluations that are needed to call a rise unusual. Own choice."""
    fluctuation_distance: float = 1.0
    """Distance of batch variances from the running ones (norm over channels); healthy runs here stay below 0.3. Own
    choice."""
    fluctuation_growth: float = 100.0
    """The same over its median in the first half of the run. Own choice."""

    massive_abs: float = 100.0
    """Magnitude of a massive activation (arXiv 2402.17762)."""
    massive_ratio: float = 1000.0
    """Its magnitude over the median of its sequence (arXiv 2402.17762)."""
    heavy_kurtosis: float = 20.0
    """Kurtosis of a block output past which few channels carry the stream; a Gaussian has 3, one spike the width. Own
    choice."""

    float16_max: float = 65504.0
    """Largest float16; Pre-LN streams passed it within 0.5B tokens in Peri-LN (arXiv 2502.02732)."""
    headroom_noted: float = 16.0
    """float16's maximum over the largest activation, below which it is worth a line: 4 doublings. Own choice."""
    forecast_horizon: float = 10.0
    """A forecast is given up to this many times the steps trained so far. Own choice."""
    forecast_fit: float = 0.8
    """R² that its line has to have. Own choice."""
    absorbed_ratio: float = 2.0**-8
    """Branch over stream below which adding in bfloat16 (8 significant bits) mostly rounds the branch away.
    Arithmetic."""

    spike_mads: float = 10.0
    """Loss above its median of the last 25 steps, in median absolute deviations. Own choice."""
    spike_rise: float = 0.1
    """The same, as a share of that median. Own choice."""
    spike_far_mads: float = 5.0
    """Enough for a loss that is far above its median: losses of small batches scatter widely. Own choice."""
    spike_far_rise: float = 0.5
    """Far, as a share of that median; single batches of sound runs reach 0.37 here. Own choice."""
    deviation: float = 8.0
    """A layer deviates when the logarithm of a statistic is this many median absolute deviations off. Own choice."""
    deviation_fold: float = 2.0
    """And this many times larger or smaller. Own choice."""
    warmup_start: float = 0.5
    """Learning rate at the first step over its peak, above which there was no warm-up. Own choice."""


THRESHOLDS = Thresholds()


def read_thresholds(path: Path) -> Thresholds:
    """The thresholds with those that a TOML file names replaced: `skew_noted = 4.0`. Raises BadThresholds."""
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadThresholds(f"expected a TOML file at {path}; got: {error.strerror}; give another one") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadThresholds(f"expected TOML in {path}, such as `skew_noted = 4.0`; got {error}") from None
    changes: dict[str, Any] = {name: value_of(path, name, value) for name, value in given.items()}
    return replace(THRESHOLDS, **changes)


def value_of(path: Path, name: str, value: object) -> float:
    """`value` as the type of the threshold `name`. Raises BadThresholds."""
    known = {field.name: getattr(THRESHOLDS, field.name) for field in fields(Thresholds)}
    if name not in known:
        close = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
        raise BadThresholds(f"expected the name of a threshold in {path}; got {name!r}; {hint}")
    whole = isinstance(known[name], int)
    fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not fits or not 0 < float(str(value)) < math.inf:
        kind = "a whole number" if whole else "a number"
        raise BadThresholds(f"expected {kind} above 0 for {name} in {path}; got {value!r}")
    return int(str(value)) if whole else float(str(value))
