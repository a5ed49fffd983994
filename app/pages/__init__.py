"""The pages, one file each. A new page is a new file and a line here; the order is the order in the menu."""

from .compare import COMPARE
from .depth import DEPTH
from .effectiveness import EFFECTIVENESS
from .heatmap import HEATMAP
from .help import HELP
from .live import LIVE
from .massive import MASSIVE
from .overview import OVERVIEW
from .page import Page
from .report import REPORT
from .runs import RUNS
from .sparsity import SPARSITY

__all__ = ["PAGES", "Page"]

PAGES: tuple[Page, ...] = (
    OVERVIEW,
    RUNS,
    DEPTH,
    HEATMAP,
    MASSIVE,
    EFFECTIVENESS,
    SPARSITY,
    COMPARE,
    LIVE,
    REPORT,
    HELP,
)
