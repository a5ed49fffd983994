"""`python -m depthscope.sample_runs compare`: the comparison, without the dashboard's command line."""

import argparse
import sys
from collections.abc import Sequence

from depthscope.store import DepthscopeError

from .compare import run_compare
from .compare.study import LEARNING_RATES, Study

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code as that of run_compare, 2 on an error told in one line."""
    parser = argparse.ArgumentParser(prog="python -m depthscope.sample_runs")
    commands = parser.add_subparsers(required=True)
    compare = commands.add_parser("compare", help="train strategies side by side and print one table")
    compare.add_argument("--strategies", required=True, type=lambda text: text.split(","), metavar="NAME,...")
    compare.add_argument("--lr", default=LEARNING_RATES, type=_numbers, metavar="RATE,...", dest="learning_rates")
    for name in ("layers", "width", "steps", "seeds"):
        compare.add_argument(f"--{name}", default=getattr(Study, name), type=int, metavar="N")
    compare.add_argument("--store", metavar="DIR")
    try:
        return run_compare(**vars(parser.parse_args(arguments)))
    except DepthscopeError as wrong:
        print(f"depthscope: {wrong}", file=sys.stderr)
        return 2


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
