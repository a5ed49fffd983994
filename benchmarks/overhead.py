"""What watching costs: depthscope beside what people use today, in one run.

    pip install 'depthscope[bench]'
    python benchmarks/overhead.py [--full] [--seconds 6] [--only TEXT] [--compiled FOLDER] [--output benchmarks/results]

Every cell is a process of its own (overhead_cell.py) in which two trainings of the same model on the same batches, one
watched and one not, take turns; what is compared is CPU time, which other programs on the machine change little. A tool
that is not installed has a row that says so. Prints the tables and writes them with machine and versions.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CELL_TIMEOUT_S = 400
PACKAGES = ["torch", "depthscope", "wandb", "torch-module-monitor", "trainscope", "torchinstruments"]
PACKAGES += ["neural-observatory", "transformers"]
OURS = ("floor", "depthscope, every step", "depthscope, every 10")
RIVALS = ("wandb", "torch-module", "trainscope, every", "neural", "Debug")
# In a short run the dearest tool is left out but once, and what is always off where graphs are compiled.
SHORT: dict[tuple[str, str], tuple[str, ...]] = {
    ("small", "eager"): ("",),
    ("small", "compiled"): (*OURS, *RIVALS),
    ("medium", "eager"): (*OURS, *RIVALS),
    ("medium", "compiled"): (*OURS, *RIVALS),
    ("large", "compiled"): OURS,
}
HEAD = (
    "| tool | CPU time | interval | numbers kept | µs a number | bytes a step | graph breaks | graphs | same training |"
)


def main() -> None:
    arguments = _arguments()
    sys.path.insert(0, str(HERE))
    from rivals import TOOLS

    begin, cells = time.time(), list[dict[str, Any]]()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as fresh:  # what an earlier run left half written must not be found
        compiled_here = arguments.compiled or fresh
        for (size, mode), parts in SHORT.items():
            for tool in TOOLS:
                if (arguments.full or tool.startswith(parts)) and arguments.only in f"{tool} {size} {mode}":
                    cells.append(_cell(tool, size, mode, arguments.seconds, compiled_here))
    facts = _facts(load, time.time() - begin)
    text = "\n".join([_heading(facts), *(_table(size, mode, cells) for size, mode in SHORT)])
    print(text)
    arguments.output.mkdir(parents=True, exist_ok=True)
    place = arguments.output / f"overhead-{facts['date'][:10]}"
    place.with_suffix(".md").write_text(text)
    place.with_suffix(".json").write_text(json.dumps({"facts": facts, "cells": cells}, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="CPU time of training with and without each tool")
    parser.add_argument("--full", action="store_true", help="every tool at every size, eager and compiled")
    parser.add_argument("--seconds", type=float, default=6.0, help="to measure a cell, after its warm-up")
    parser.add_argument("--only", default="", help="cells whose 'tool size mode' contains this text")
    parser.add_argument("--compiled", help="folder of compiled code to use again; default: compile everything anew")
    parser.add_argument("--output", type=Path, default=HERE / "results")
    return parser.parse_args()


def _cell(tool: str, size: str, mode: str, seconds: float, compiled_here: str) -> dict[str, Any]:
    """The measurements of one cell, or what is missing for them."""
    begin = time.time()
    command = [sys.executable, str(HERE / "overhead_cell.py"), tool, size, mode, str(seconds)]
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": compiled_here}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=CELL_TIMEOUT_S, env=environment)
        lines = done.stdout.strip().splitlines() or [json.dumps({"missing": f"ended with {done.returncode}"})]
        said = json.loads(lines[-1])
    except subprocess.TimeoutExpired:
        said = {"missing": f"gave up after {CELL_TIMEOUT_S} s"}
    except json.JSONDecodeError:
        said = {"missing": f"ended with {done.returncode}: {done.stderr.strip().splitlines()[-1:]}"}
    print(
        f"{size} {mode} {tool}: {said.get('times') or said['missing']} ({time.time() - begin:.0f} s)", file=sys.stderr
    )
    return {"tool": tool, "size": size, "mode": mode, **said}


def _facts(load: float, took_s: float) -> dict[str, Any]:
    found = {name: _version(name) for name in PACKAGES}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "load_before": round(load, 2),
        "load_after": round(os.getloadavg()[0], 2),
        "took_s": round(took_s),
        "versions": {name: version for name, version in found.items() if version},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _heading(facts: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return (
        f"# What watching costs\n\n`python benchmarks/overhead.py`, {facts['date']}, {facts['cpu']}, "
        f"{facts['cores']} cores, one training thread, load {facts['load_before']} before and {facts['load_after']} "
        f"after, {facts['took_s']} s. Python {facts['python']}, {versions}.\n\n"
        "CPU time of a training step as a multiple of the same step without the tool: median of pairs that took turns, "
        "and the order statistics that hold it with 95% probability. Threads and child processes of a tool count."
    )


def _table(size: str, mode: str, cells: list[dict[str, Any]]) -> str:
    """One table: a row a tool, cheapest first."""
    from overhead_cell import SIZES

    rows = [cell for cell in cells if (cell["size"], cell["mode"]) == (size, mode)]
    if not rows:
        return ""
    shape = ", ".join(f"{name} {number}" for name, number in SIZES[size].items())
    plain = [cell["plain_ms"] for cell in rows if "plain_ms" in cell]
    without = f" Without a tool: {min(plain):.0f} to {max(plain):.0f} ms a step." if plain else ""
    lines = [f"\n## {mode}, {size}\n", f"{shape}.{without}\n", HEAD, "|---|" + "---:|" * (HEAD.count("|") - 2)]
    return "\n".join([*lines, *map(_row, sorted(rows, key=lambda cell: cell.get("times", float("inf")))), ""])


def _row(cell: dict[str, Any]) -> str:
    if "missing" in cell:
        return f"| {cell['tool']} | {cell['missing']} |" + " |" * (HEAD.count("|") - 3)
    graphs = f"{cell['graphs']} (without: {cell['graphs_without']})" if cell["mode"] == "compiled" else ""
    breaks = str(cell["graph_breaks"]) if cell["mode"] == "compiled" else ""
    return (
        f"| {cell['tool']} | {cell['times']:.3f} | {cell['low']:.3f} to {cell['high']:.3f}, {cell['pairs']} pairs "
        f"| {cell['numbers']:,.0f} | {cell['us_per_number']:.1f} | {cell['bytes_per_step']:,.0f} | {breaks} | {graphs} "
        f"| {'yes' if cell['same_training'] else 'no'} |"
    )


if __name__ == "__main__":
    main()
