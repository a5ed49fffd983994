"""Renders the claims as a Markdown page."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from .evidence import Runs
from .looks import STRAIGHT
from .losses import LOSS_NOISE, LossLook
from .swept import Sweep, judged, loss_table
from .verdict import MARGIN, Claim, Evidence, Verdict, together

__all__ = ["COMMAND", "Finding", "findings", "page"]

COMMAND = "python -m depthscope.sample_runs.reproduction"

HEAD = """\
# What the papers claim, what these runs show

This page is written by `{command}` from the recorded runs that come with depthscope. {size}

How a verdict is reached; these rules are the same for all claims, and were written down before the second and third
seed were looked at:

- Each seed is judged by itself, runs of equal weights at the start and equal order of the data against each other. Of
  two numbers that should differ the larger must be larger by {margin:.0%}; a loss counts as lower from {noise} nats on;
  of two losses of skipping blocks the difference must exceed twice its standard error over held-out sequences; of a
  line and an exponential the one with the larger R² describes a curve, and a line only from R² {straight} on.
- A claim against several strategies must hold against each, and is opposite where it is so against any.
- A claim is **shown**, or **opposite**, where every seed says so; else it is **not shown**. Each seed's numbers are
  given, in order of the seeds; n says how many there are. With n = 1 nothing is known of the spread over seeds.
- All these runs have one learning rate, chosen for none of them, which is unfair where losses are ranked. So a claim
  that one loss is lower is judged by the [sweep](#losses-at-each-strategys-own-best-rate) instead: each strategy at
  its own best rate, by the same rule, and only where that rate lies inside the grid for every strategy of the claim;
  else it is **not judged**. What the losses at the one rate would have said stands beside it. This was written before
  any two strategies had been swept.
- "Opposite" and "not shown" are about this size. The papers work with 70 million to 7 billion parameters and
  thousands of times the data; nothing here refutes them.

| verdict | claims |
|---|---|
{counts}
"""

SIZE = (
    "{runs} runs of the reference decoder, {seeds}: {layers} blocks, {params:,} parameters, {steps:,} steps, "
    "{tokens:,} tokens of Python source as bytes, learning rate {lr:g}. Statistics of training batches come from the "
    "sampled steps: every {every}."
)

COLUMNS = ("| claim | measured here, by seed | paired, by seed | n | verdict |", "|---|---|---|---|---|")

NOT_JUDGED = "not judged"

SWEEP = """\
## Losses at each strategy's own best rate

The sweep is smaller than the recorded runs, so that it fits beside other work: {layers} blocks, width {width}, {steps}
steps of {rows} x 64 bytes, the same text, warm-up and schedule. Rates go up and down by a factor of two until the best
one lies between two others. `python -m depthscope.sample_runs.sweep` trains what its table lacks, one run after
another; `depthscope compare` does the same at any size, and measures everything else too. Losses are held-out ones at
the last step, nats a byte, mean over n seeds; each strategy's best is bold, an empty cell was not needed. A strategy
that has not all its rates yet is not in the table.
"""


@dataclass(frozen=True)
class Finding:
    """A claim with the evidence of each seed that has all its runs, and what they say together."""

    claim: Claim
    seeds: tuple[Evidence, ...]

    @property
    def verdict(self) -> Verdict:
        return together([evidence.verdict for evidence in self.seeds])


@dataclass(frozen=True)
class AtBest:
    """A claim about losses, each strategy at its own best rate: the seeds' evidence, or why there is none."""

    claim: Claim
    seeds: tuple[Evidence, ...]
    why_not: str

    @property
    def word(self) -> str:
        return together([evidence.verdict for evidence in self.seeds]).value if self.seeds else NOT_JUDGED


def findings(seeds: Sequence[Runs], claims: Sequence[Claim]) -> list[Finding]:
    """Each claim is looked at in every seed that has runs of all its strategies."""
    return [
        Finding(claim, tuple(claim.look(runs) for runs in seeds if runs.names.keys() >= {*claim.strategies}))
        for claim in claims
    ]


def at_best(sweep: Sweep, claims: Sequence[Claim]) -> dict[Claim, AtBest]:
    """The claims about losses, by the sweep."""
    evidence = {claim: judged(sweep, claim) for claim in claims if isinstance(claim.look, LossLook)}
    return {claim: AtBest(claim, tuple(seeds), why_not) for claim, (seeds, why_not) in evidence.items()}


def page(seeds: Sequence[Runs], sweep: Sweep, claims: Sequence[Claim]) -> str:
    """The whole page."""
    found, swept = findings(seeds, claims), at_best(sweep, claims)
    words = [swept[each.claim].word if each.claim in swept else each.verdict.value for each in found]
    head = HEAD.format(
        command=COMMAND,
        size=size(seeds),
        margin=MARGIN,
        noise=LOSS_NOISE,
        straight=STRAIGHT,
        counts="\n".join(f"| {word} | {words.count(word)} |" for word in (*(v.value for v in Verdict), NOT_JUDGED)),
    )
    papers = groupby(found, key=lambda finding: (finding.claim.paper, finding.claim.source))
    sections = [section(*paper, list(group), swept) for paper, group in papers]
    return "\n".join([head, *sections, sweep_section(sweep, list(swept.values()))])


def size(seeds: Sequence[Runs]) -> str:
    """What was run, in two sentences."""
    store = seeds[0].store
    table = store.runs()
    configs = [json.loads(config) for config in table.config]
    return SIZE.format(
        runs=len(table),
        seeds=", ".join(f"{len(runs.names)} with seed {runs.seed}" for runs in seeds),
        layers=int(table.n_layers.max()),
        params=int(table[table.strategy == "pre"].n_params.iloc[0]),
        steps=int(table.last_step.max()) + 1,
        tokens=int(store.steps(columns=["tokens"]).tokens.max()),
        lr=configs[0]["lr"],
        every=" or ".join(f"{every}th" for every in sorted({config["every"] for config in configs})),
    )


def section(paper: str, source: str, found: Sequence[Finding], swept: Mapping[Claim, AtBest]) -> str:
    """One paper's claims as a table."""
    rows = [row(each, swept[each.claim].word if each.claim in swept else "") for each in found]
    return "\n".join([f"## {paper}", "", f"{source}", "", *COLUMNS, *rows, ""])


def row(finding: Finding, by_sweep: str = "") -> str:
    """A line of the table; `by_sweep` is the word on a claim that the sweep judges."""
    word = finding.verdict.value
    verdict = f"**{by_sweep}** (at the one rate: {word})" if by_sweep else f"**{word}**"
    return f"| {finding.claim.claim} | {' | '.join(numbers(finding.seeds))} | {len(finding.seeds)} | {verdict} |"


def numbers(seeds: Sequence[Evidence]) -> tuple[str, str]:
    """What was measured, and the pairs that decide, seed by seed."""
    first = seeds[0]
    sign = "+" if any(" - " in name for name in first.pairs) else ""
    measured = f"{first.measured}: {by_seed([each.values for each in seeds])}"
    return measured, by_seed([each.pairs for each in seeds], sign)


def sweep_section(sweep: Sweep, found: Sequence[AtBest]) -> str:
    """The losses at each rate, and the claims judged by them."""
    recipe = sweep.recipe
    intro = SWEEP.format(layers=recipe.layers, width=recipe.width, steps=recipe.steps, rows=recipe.batch)
    return "\n".join([intro, *loss_table(sweep), "", *COLUMNS, *map(swept_row, found), ""])


def swept_row(found: AtBest) -> str:
    measured, pairs = numbers(found.seeds) if found.seeds else (found.why_not, "")
    return f"| {found.claim.claim} | {measured} | {pairs} | {len(found.seeds)} | **{found.word}** |"


def by_seed(seeds: Sequence[Mapping[str, float]], sign: str = "") -> str:
    """Each name once, with its numbers in order of the seeds."""
    return "; ".join(f"{name} {', '.join(number(seed[name], sign) for seed in seeds)}" for name in seeds[0])


def number(value: float, sign: str = "") -> str:
    """Four decimals below 1, three significant ones above 10."""
    size = abs(value)
    return format(value, sign + (".4f" if size < 1 else ".3f" if size < 10 else ".1f"))
