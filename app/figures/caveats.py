"""What makes a comparison of runs unfair: the findings say it, every page and the report repeat it."""

from ..findings.comparison import comparison_caveats

__all__ = ["comparison_caveats"]
