"""docs/confusion.md, from what benchmarks/confusion.py counted."""

from collections.abc import Mapping, Sequence
from typing import Any

from confusion_faults import FAULTS
from confusion_table import ROWS, Judged, Share, counts, wrong

from depthscope.app.findings import FINDINGS

HEAD = """\
# How often the findings are right

This page is written by `python benchmarks/confusion.py`, which trains small runs, sound ones and ones that are broken
on purpose, judges them, and counts. Here are {runs} of the {planned} that it trains by itself: {layers} blocks, width
{widths}, {steps} steps of bytes of Python source; seeds {seeds}; depthscope {depthscope}, torch {torch}.

- What is true of a run is what was done to it (`benchmarks/confusion_faults.py`). That was written down and committed
  before any of these runs was judged. No threshold was set with them: those come from the recorded runs (24 blocks,
  seeds 0 to 2) and from tests, those of loss spikes also from runs of these kinds with seed 7001. The kinds were
  judged once before, with seeds 1001 and 1002; what was missed then led to the second rule of `loss_spike`, to
  `dead_layers` telling detached from frozen, and to explosions naming where they start. Seeds 1003 and 1004 are new.
- Of a run that was broken, only what its fault must cause, or cannot cause, is counted. Whether a sound run has, say,
  massive activations nobody knows by construction: that is left open and not counted.
- Intervals are Wilson's, 95%. The faults are strong and the models small: a share here says that the finding works,
  not how often it is right in trainings that nobody broke.
- What is done in `weight-spike` and `rate-spike` need not lift the loss out of the range of its batches. In six such
  runs with seed 7001 it rose by at most 6.4 median absolute deviations, and by 36% of the median; in seven sound ones
  by up to 6.3, and by 37%: no limit on the loss tells these apart, and a run whose loss does not show it counts as
  missed.
- `essential_sparsity` is an estimate and not counted; `healthy` is shown where nothing warns: the opposite of the first
  row.

## Counts

*found*: of the runs where it is true. *said wrongly*: of the runs where it is not. *layer*, *step*: of those found
where a layer or step was meddled with, how many name just that.

| statement | found | said wrongly | layer | step |
|---|---|---|---|---|
"""

KINDS = """
## Kinds of runs

k is a layer, s a sampled step, both drawn with the seed.

| kind | what is done | runs | judged | right |
|---|---|---|---|---|
"""

WRONG = """
## Every mistake

"""


def page(facts: Mapping[str, Any], every: Sequence[Judged]) -> str:
    """The page as Markdown; `facts` are the words of its head."""
    runs = len({one.run for one in every})
    rows = [("any warning or critical", "any"), *((f"{row.finding} {row.statement}", row.key) for row in ROWS)]
    lines = [line(title, counts(every, key)) for title, key in rows]
    parts = (
        HEAD.format(**facts, runs=runs),
        "\n".join(lines),
        "\n",
        KINDS,
        "\n".join(kinds(every)),
        "\n",
        WRONG,
    )
    return "".join((*parts, mistakes(every)))


def line(title: str, counted: Mapping[str, Share]) -> str:
    cells = [words(counted[name]) for name in ("found", "false", "layers", "steps")]
    return f"| {code(title)} | {' | '.join(cells)} |"


def code(title: str) -> str:
    """The finding's name as code, what it says as words."""
    name, _, rest = title.partition(" ")
    return f"`{name}` {rest}" if name in FINDINGS else title


def words(share: Share) -> str:
    """'9 of 10 (60% to 98%)'"""
    low, high = share.interval()
    return f"{share.k} of {share.n} ({low:.0%} to {high:.0%})" if share.n else ""


def kinds(every: Sequence[Judged]) -> list[str]:
    lines = []
    for fault in FAULTS:
        own = [one for one in every if one.kind == fault.name]
        if own:
            right = len(own) - len(wrong(own))
            lines.append(f"| {fault.name} | {fault.what} | {len({one.run for one in own})} | {len(own)} | {right} |")
    return lines


def mistakes(every: Sequence[Judged]) -> str:
    found = wrong(every)
    if not found:
        return "None.\n"
    return "".join(f"- {one.run}, {name(one.key)}: {what(one)}{quoted(one.sentence)}\n" for one in found)


def name(key: str) -> str:
    return next((f"`{row.finding}` {row.statement}" for row in ROWS if row.key == key), "any warning or critical")


def what(one: Judged) -> str:
    if one.true != one.made:
        return "missed." if one.true else "said wrongly."
    places = [place for place, right in (("layer", one.layer_right), ("step", one.step_right)) if right is False]
    return f"found, but another {' and '.join(places)}."


def quoted(sentence: str) -> str:
    return f" It says: {sentence}" if sentence else ""
