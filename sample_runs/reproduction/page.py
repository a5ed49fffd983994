"""Renders the claims as a Markdown page."""

import json
from collections.abc import Sequence
from itertools import groupby

from .evidence import Runs
from .verdict import Claim, Evidence, Verdict

__all__ = ["COMMAND", "page"]

COMMAND = "python -m depthscope.sample_runs.reproduction"

HEAD = """\
# What the papers claim, what these runs show

This page is written by `{command}` from the recorded runs that come with depthscope. {size}

How to read it:

- One run for each strategy, one learning rate for all. That is enough to see how numbers lie over depth; it is not
  enough to rank losses, so a loss only counts as lower from {noise} nats on.
- Of two numbers that should differ the larger must be larger by a tenth; of two measured deltas the difference must
  exceed twice its standard error; of a line and an exponential the one with the larger R² describes a curve. These
  rules are the same for all claims.
- "Opposite" and "not shown" are about this size. The papers work with 70 million to 7 billion parameters and
  thousands of times the data; nothing here refutes them.

| verdict | claims |
|---|---|
{counts}
"""

SIZE = (
    "{runs} runs of the reference decoder: {layers} blocks, {params:,} parameters, {steps:,} steps, {tokens:,} tokens "
    "of Python source as bytes, learning rate {lr:g}."
)


def page(runs: Runs, claims: Sequence[Claim], noise: float) -> str:
    """The whole page; every claim is looked at once."""
    looked = [(claim, claim.look(runs)) for claim in claims]
    found = [evidence.verdict for _, evidence in looked]
    counts = "\n".join(f"| {verdict.value} | {found.count(verdict)} |" for verdict in Verdict)
    head = HEAD.format(command=COMMAND, size=size(runs), noise=noise, counts=counts)
    papers = groupby(looked, key=lambda each: (each[0].paper, each[0].source))
    return "\n".join([head, *(section(*paper, list(group)) for paper, group in papers)])


def size(runs: Runs) -> str:
    """What was run, in a sentence."""
    table = runs.store.runs()
    return SIZE.format(
        runs=len(table),
        layers=int(table.n_layers.max()),
        params=int(table[table.strategy == "pre"].n_params.iloc[0]),
        steps=int(table.last_step.max()) + 1,
        tokens=int(runs.store.steps(columns=["tokens"]).tokens.max()),
        lr=float(json.loads(table.config.iloc[0])["lr"]),
    )


def section(paper: str, source: str, looked: Sequence[tuple[Claim, Evidence]]) -> str:
    """One paper's claims as a table."""
    rows = [
        f"| {claim.claim} | {evidence.text} | {', '.join(claim.strategies)} | **{evidence.verdict.value}** |"
        for claim, evidence in looked
    ]
    head = ["| claim | measured here | runs | verdict |", "|---|---|---|---|"]
    return "\n".join([f"## {paper}", "", f"{source}", "", *head, *rows, ""])
