"""Writes docs/reproduction.md, or the file that is named."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from depthscope.store import import_bundle, open_store

from ..recorded import recorded_bundles
from ..sweep import read_sweep
from . import CLAIMS, page
from .evidence import Runs
from .swept import sweep_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0."""
    parser = argparse.ArgumentParser(prog="python -m depthscope.sample_runs.reproduction", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("docs", "reproduction.md"))
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        for bundle in recorded_bundles():
            import_bundle(bundle, folder)
        options.output.write_text(
            page(Runs.by_seed(open_store(folder)), sweep_of(*read_sweep()), CLAIMS), encoding="utf-8"
        )
    print(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
