"""Renders the claims as a Markdown page."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from .evidence import Runs
from .looks import LOSS_NOISE, STRAIGHT
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
- All runs have one learning rate, chosen for none of them. What is said of losses holds at that rate alone:
  `depthscope compare` trains at several rates and ranks losses only where each best rate lies inside its grid.
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


@dataclass(frozen=True)
class Finding:
    """A claim with the evidence of each seed that has all its runs, and what they say together."""

    claim: Claim
    seeds: tuple[Evidence, ...]

    @property
    def verdict(self) -> Verdict:
        return together([evidence.verdict for evidence in self.seeds])


def findings(seeds: Sequence[Runs], claims: Sequence[Claim]) -> list[Finding]:
    """Each claim is looked at in every seed that has runs of all its strategies."""
    return [
        Finding(claim, tuple(claim.look(runs) for runs in seeds if runs.names.keys() >= {*claim.strategies}))
        for claim in claims
    ]


def page(seeds: Sequence[Runs], claims: Sequence[Claim]) -> str:
    """The whole page."""
    found = findings(seeds, claims)
    verdicts = [finding.verdict for finding in found]
    head = HEAD.format(
        command=COMMAND,
        size=size(seeds),
        margin=MARGIN,
        noise=LOSS_NOISE,
        straight=STRAIGHT,
        counts="\n".join(f"| {verdict.value} | {verdicts.count(verdict)} |" for verdict in Verdict),
    )
    papers = groupby(found, key=lambda finding: (finding.claim.paper, finding.claim.source))
    return "\n".join([head, *(section(*paper, list(group)) for paper, group in papers)])


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


def section(paper: str, source: str, found: Sequence[Finding]) -> str:
    """One paper's claims as a table."""
    head = ["| claim | measured here, by seed | paired, by seed | n | verdict |", "|---|---|---|---|---|"]
    return "\n".join([f"## {paper}", "", f"{source}", "", *head, *map(row, found), ""])


def row(finding: Finding) -> str:
    evidence = finding.seeds[0]
    measured = f"{evidence.measured}: {by_seed([each.values for each in finding.seeds])}"
    sign = "+" if any(" - " in name for name in evidence.pairs) else ""
    pairs = by_seed([each.pairs for each in finding.seeds], sign)
    return f"| {finding.claim.claim} | {measured} | {pairs} | {len(finding.seeds)} | **{finding.verdict.value}** |"


def by_seed(seeds: Sequence[Mapping[str, float]], sign: str = "") -> str:
    """Each name once, with its numbers in order of the seeds."""
    return "; ".join(f"{name} {', '.join(number(seed[name], sign) for seed in seeds)}" for name in seeds[0])


def number(value: float, sign: str = "") -> str:
    """Four decimals below 1, three significant ones above 10."""
    size = abs(value)
    return format(value, sign + (".4f" if size < 1 else ".3f" if size < 10 else ".1f"))
