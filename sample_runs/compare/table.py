"""Prints a comparison: one row a strategy at its best learning rate, loss against rate, seeds in pairs."""

import math
from collections.abc import Iterable, Sequence
from statistics import mean

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from .results import Result
from .verdict import Standing, differences, mean_loss, ranking, standings

__all__ = ["print_comparison"]

COLUMNS = (
    "Strategy",
    "Best lr",
    "Held-out loss",
    "(seeds)",
    "Lowest",
    "n",
    "Diverged",
    "Variance growth",
    "Grad skew",
    "Kurtosis",
    "Deep skip",
    "ms/step",
)


def print_comparison(results: Sequence[Result], expected: int, console: Console) -> None:
    """All that can be said from these results, of `expected` runs."""
    found = standings(results)
    _show(console, COLUMNS, (_row(standing) for standing in found))
    rates = sorted({result.recipe.lr for result in results})
    if len(rates) > 1:
        console.print("\nFinal held-out loss against learning rate (mean over seeds)")
        _show(console, ("Strategy", *(f"{r:g}" for r in rates)), (_rates(s, results, rates) for s in found))
    say(console, "")
    for line in _lines(found, len(results), expected):
        say(console, line)


def say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False)


def _lines(found: Sequence[Standing], ended: int, expected: int) -> Iterable[str]:
    if ended < expected:
        yield f"{ended} of {expected} runs have ended; the same command goes on with the others."
    for strategy, points in differences(found).items():
        shown = ", ".join(f"{point:+.4f}" for point in points) or "none"
        yield f"{strategy} minus {found[0].strategy}, seed by seed: {shown} (n={len(points)})"
    ranks, why_not = ranking(found) if ended == expected else ([], "not all runs have ended")
    yield f"Ranking by held-out loss: {' < '.join(ranks)}" if ranks else f"No ranking by loss: {why_not}"
    yield (
        "Loss in nats a byte. Variance growth: slope a block over blocks 2 to L of the law that fits better. "
        "Grad skew: deeper half of blocks 2 to L over the other half, last sampled step. Kurtosis: largest over the "
        "blocks. Deep skip: held-out loss that skipping one block of the deeper half costs, mean over those blocks. "
        "ms/step: median, beside the runs that trained at the same time. Means over seeds."
    )


def _row(standing: Standing) -> tuple[str, ...]:
    runs = standing.results
    if standing.learning_rate is None:
        return (standing.strategy, "", "", "", "", "0", str(standing.diverged), *[""] * 5)
    finals = [run.final_loss for run in runs]
    return (
        standing.strategy,
        f"{standing.learning_rate:g}{'' if standing.interior else ' (edge)'}",
        f"{mean(finals):.4f}",
        f"{min(finals):.4f} to {max(finals):.4f}",
        f"{mean(run.best_loss for run in runs):.4f}",
        str(len(runs)),
        str(standing.diverged),
        _growth(runs),
        _mean([run.gradient_skew for run in runs], ".2f"),
        _mean([run.kurtosis for run in runs], ".1f"),
        _mean([run.deep_skip for run in runs], ".4f"),
        _mean([run.step_seconds and 1000 * run.step_seconds for run in runs], ".1f"),
    )


def _growth(runs: Sequence[Result]) -> str:
    """The mean slope of each law; slopes of different laws have different units and no common mean."""
    laws = sorted({run.growth_law for run in runs if run.growth_slope is not None})
    slopes = {law: [run.growth_slope for run in runs if run.growth_law == law] for law in laws}
    count = {law: f" ({len(slopes[law])} of {len(runs)})" if len(laws) > 1 else "" for law in laws}
    return ", ".join(f"{_mean(slopes[law], '.3g')} {law}{count[law]}" for law in laws)


def _mean(values: Sequence[float | None], style: str) -> str:
    known = [value for value in values if value is not None]
    return format(mean(known), style) if known else ""


def _rates(standing: Standing, results: Sequence[Result], rates: Sequence[float]) -> tuple[str, ...]:
    cells = []
    for rate in rates:
        runs = [r for r in results if (r.recipe.strategy, r.recipe.lr) == (standing.strategy, rate)]
        loss = mean_loss(runs)
        cells.append(f"{loss:.4f}" if math.isfinite(loss) else "diverged" if runs else "")
    return (standing.strategy, *cells)


def _show(console: Console, titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table whose cells may break between words; in a terminal that is narrower still its lines run on."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    cells = [tuple(titles), *map(tuple, rows)]
    for column in zip(*cells, strict=True):
        widest = max(len(word) for cell in column for word in cell.split() or [""])
        table.add_column(column[0], justify="right" if table.columns else "left", min_width=widest)
    for row in cells[1:]:
        table.add_row(*map(Text, row))
    least = Measurement.get(console, console.options.update(max_width=1000), table).minimum
    console.print(table, width=max(console.width, least), crop=False)
