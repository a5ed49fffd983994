"""Every number a diagnosis compares with, in one place, each with where it comes from."""

from dataclasses import dataclass

__all__ = ["THRESHOLDS", "Thresholds"]

OWN = "depthscope's own choice"
"""Said in a finding's source where no paper gives a threshold."""


@dataclass(frozen=True)
class Thresholds:
    """Unitless unless said. Lower and upper bounds are exclusive."""

    recent_steps: int = 5
    """Newest sampled steps that a judgement has to hold on to be called certain; own choice."""
    min_blocks: int = 4
    """Fewer blocks say nothing about depth; own choice."""

    growth_rate: float = 0.05
    """Exponential growth of the stream variance per block; below it the two laws cannot be told apart. Own choice."""
    growth_flat: float = 2.0
    """Variance of the last layer over layer 2 below this is flat (Post-LN, DeepNorm: 1). Own choice."""
    growth_critical: float = 1e4
    """The same, of an exponential fit, past which half-precision branches no longer reach the stream. Own choice."""

    skew_noted: float = 3.0
    """Deep over early gradient norm, or its inverse, worth a line; healthy Pre-LN models show 2 to 4. Own choice."""
    skew_warning: float = 10.0
    """The same, past which one half of the model hardly learns. Own choice."""
    skew_critical: float = 1e3
    """The same, past which gradients vanish or explode. Own choice."""

    massive_abs: float = 100.0
    """Magnitude of a massive activation (arXiv 2402.17762)."""
    massive_ratio: float = 1000.0
    """Its magnitude over the median of its sequence (arXiv 2402.17762)."""
    float16_max: float = 65504.0
    """Largest float16; Pre-LN streams passed it within 0.5B tokens in Peri-LN (arXiv 2502.02732)."""

    identity_influence: float = 0.01
    """Block influence 1 - cos(input, output) below which a block hardly turns the stream (8 degrees). Own choice."""
    identity_share: float = 0.5
    """Share of the deep half that has to be below it. Own choice."""
    identity_contrast: float = 0.5
    """Deep over early mean influence below which it is the depth, and not the whole model. Own choice."""
    identity_min_step: int = 100
    """Earlier, every block is near identity because nothing has been learnt. Own choice."""


THRESHOLDS = Thresholds()
