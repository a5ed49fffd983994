"""The claims, each with how it is looked at. A claim stays whatever comes out."""

from .looks import (
    deep_blocks_do_more,
    deep_blocks_matter_less,
    deep_blocks_turn_more,
    fluctuates,
    grows_exponentially,
    grows_linearly,
    more_even_gradients,
    more_growth,
)
from .losses import lower_loss, no_worse, same_training
from .verdict import Claim

__all__ = ["CLAIMS"]

PERI = ("Peri-LN", "Kim et al. 2025, arXiv 2502.02732")
CURSE = ("The Curse of Depth", "Sun et al. 2025, arXiv 2502.05795")
MIX = ("Mix-LN", "Li, Yin and Liu 2025, arXiv 2412.13795")
PRERMS = ("Pre-RMSNorm and Pre-CRMSNorm", "Jiang et al. 2023, arXiv 2305.14858")
POWER = ("PowerNorm", "Shen et al. 2020, arXiv 2003.07845")
SLAB = ("SLAB (PRepBN)", "Guo et al. 2024, arXiv 2405.11582")

CLAIMS = (
    Claim(
        *PERI,
        "Under Pre-LN the variance of the stream grows more over depth than under Peri-LN.",
        ("pre", "peri"),
        more_growth("pre", "peri"),
    ),
    Claim(*PERI, "Under Peri-LN the variance grows linearly with depth.", ("peri",), grows_linearly("peri")),
    Claim(
        *PERI,
        "Gradient norms are more even over depth under Peri-LN than under Pre-LN and Post-LN.",
        ("peri", "pre", "post"),
        more_even_gradients("peri", ("pre", "post")),
    ),
    Claim(*PERI, "Peri-LN reaches a lower loss than Pre-LN.", ("peri", "pre"), lower_loss("peri", ("pre",))),
    Claim(
        *CURSE,
        "Under Pre-LN the variance of the stream grows exponentially with depth (the paper's upper bound).",
        ("pre",),
        grows_exponentially("pre"),
    ),
    Claim(*CURSE, "Under Pre-LN deep blocks matter less than early ones.", ("pre",), deep_blocks_matter_less("pre")),
    Claim(
        *CURSE,
        "LayerNorm Scaling slows the growth of the variance.",
        ("pre", "lns"),
        more_growth("pre", "lns"),
    ),
    Claim(
        *CURSE,
        "With LayerNorm Scaling deep blocks do more than under Pre-LN.",
        ("lns", "pre"),
        deep_blocks_do_more("lns", "pre"),
    ),
    Claim(*CURSE, "LayerNorm Scaling reaches a lower loss than Pre-LN.", ("lns", "pre"), lower_loss("lns", ("pre",))),
    Claim(
        *MIX,
        "Gradient norms are more even over depth under Mix-LN than under Pre-LN and Post-LN.",
        ("mix", "pre", "post"),
        more_even_gradients("mix", ("pre", "post")),
    ),
    Claim(
        *MIX,
        "Deep blocks turn the stream more under Mix-LN than under Pre-LN.",
        ("mix", "pre"),
        deep_blocks_turn_more("mix", "pre"),
    ),
    Claim(
        *MIX, "Deep blocks do more under Mix-LN than under Pre-LN.", ("mix", "pre"), deep_blocks_do_more("mix", "pre")
    ),
    Claim(
        *MIX,
        "Mix-LN reaches a lower loss than Pre-LN and Post-LN.",
        ("mix", "pre", "post"),
        lower_loss("mix", ("pre", "post")),
    ),
    Claim(
        *PRERMS,
        "Pre-RMSNorm and Pre-CRMSNorm are one model: they train alike.",
        ("pre-rms", "pre-crms"),
        same_training("pre-rms", "pre-crms"),
    ),
    Claim(
        *POWER,
        "A transformer with batch statistics sees them fluctuate, most of all early in training.",
        ("power",),
        fluctuates("power"),
    ),
    Claim(
        *POWER,
        "PowerNorm reaches a lower loss than layer normalization.",
        ("power", "pre"),
        lower_loss("power", ("pre",)),
    ),
    Claim(*SLAB, "PRepBN trains as well as layer normalization.", ("prepbn", "pre"), no_worse("prepbn", "pre")),
)
