"""How many charts each page draws of a store of a few evaluated runs."""

__all__ = ["CHARTS"]

CHARTS = {
    "overview": 2,
    "runs": 1,
    "depth": 2,
    "heatmap": 3,
    "massive": 1,
    "effectiveness": 7,
    "sparsity": 4,
    "compare": 3,
    "live": 3,
    "report": 0,
    "help": 0,
}
