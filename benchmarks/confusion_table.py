"""What the findings said of the runs of confusion_faults.py, against what is true of them: counts and intervals."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from confusion_kinds import Trial, Where
from confusion_train import Case

from depthscope.app.findings import FINDINGS, Finding

Found = Mapping[str, Finding]


def warns(finding: Finding) -> bool:
    return finding.severity in ("critical", "warning")


def says(finding: Finding) -> bool:
    return finding.severity != "ok"


def word(pattern: str) -> Callable[[Finding], tuple[int, ...]]:
    """The layer that a sentence names in these words."""

    def named(finding: Finding) -> tuple[int, ...]:
        found = re.search(pattern, finding.sentence)
        return (int(next(filter(None, found.groups()))),) if found else ()

    return named


def all_of(finding: Finding) -> tuple[int, ...]:
    return finding.evidence.layers


def first_of(finding: Finding) -> tuple[int, ...]:
    return finding.evidence.layers[:1]


def from_step(finding: Finding) -> int | None:
    return finding.evidence.steps[0] if finding.evidence.steps else None


def to_step(finding: Finding) -> int | None:
    return finding.evidence.steps[1] if finding.evidence.steps else None


@dataclass(frozen=True)
class Row:
    """One statement that a finding makes, and how it is read."""

    key: str
    """As in a fault's `must` and `never`."""
    finding: str
    statement: str
    made: Callable[[Finding], bool]
    layers: Callable[[Finding], tuple[int, ...]] = all_of
    step: Callable[[Finding], int | None] = from_step


ROWS = (
    Row("nonfinite", "nonfinite", "warns", warns, word(r"start in the \w+ of layer (\d+)")),
    Row("loss_spike", "loss_spike", "warns", warns, word(r"usual range is layer (\d+)"), to_step),
    Row("variance_explosion", "variance_explosion", "warns", warns, word(r"block (\d+) makes|starts in layer (\d+)")),
    Row("gradient_flow", "gradient_flow", "warns", warns, word(r"starts at block (\d+)")),
    Row("dead", "dead_layers", "warns: dead", warns),
    Row("frozen", "dead_layers", "notes: frozen", lambda finding: finding.severity == "info"),
    Row("gradient_skew", "gradient_skew", "warns", warns),
    Row(
        "exponential", "variance_growth", "says: exponentially", lambda finding: ", exponentially:" in finding.sentence
    ),
    Row("curse", "curse_of_depth", "notes or warns", says),
    Row("idle", "idle_blocks", "notes or warns", says),
    Row("removable", "removable_blocks", "notes", says),
    Row("massive", "massive_activations", "notes", says, first_of),
    Row("heavy", "heavy_tails", "notes", says, first_of),
    Row("half_precision", "half_precision", "notes or warns", says, word(r"layer (\d+) \(\w+\) is the first past")),
    Row("absorption", "absorption", "notes or warns", says),
    Row("jump", "abrupt_sparsification", "notes", says),
    Row("batch_fluctuation", "batch_fluctuation", "warns", warns),
    Row("strategy_mismatch", "strategy_mismatch", "warns", warns),
    Row("lns_scaled_init", "lns_scaled_init", "warns", warns),
    Row("warmup", "warmup", "warns", warns),
    Row("undertrained", "undertrained", "notes", says),
)
LEFT_OUT = ("essential_sparsity", "healthy")
"""An estimate is neither right nor wrong; `healthy` is shown where nothing warns, which is counted as its opposite."""


@dataclass(frozen=True)
class Judged:
    """One statement on one run of which the truth is known."""

    run: str
    kind: str
    key: str
    true: bool
    made: bool
    sentence: str
    layer_right: bool | None = None
    """None where no layer was meddled with, or the statement was not made."""
    step_right: bool | None = None


def judged(case: Case, found: Found) -> list[Judged]:
    """Every statement whose truth is fixed by what was done to the run."""
    trial = Trial(None, case.recipe, case.k, case.s)  # type: ignore[arg-type]  # where something is, is no matter of weights
    every = [one for row in ROWS if (one := judge(row, case, trial, found.get(row.finding)))]
    return every if case.fault.alarm is None else [*every, alarm(case, found, case.fault.alarm)]


def judge(row: Row, case: Case, trial: Trial, finding: Finding | None) -> Judged | None:
    """One statement; None where its truth is open, or where nothing that should not be said could be measured."""
    place = case.fault.must.get(row.key)
    young = row.key == "undertrained" and case.fault.alarm is False and not case.fault.mature
    true = place is not None or young
    unmeasured = finding is None and not FINDINGS[row.finding].silent
    if not true and (row.key not in case.fault.never or unmeasured):
        return None
    made = finding is not None and row.made(finding)
    sentence = finding.sentence if finding else ""
    if finding is None or not made or place is None:
        return Judged(case.name, case.fault.name, row.key, true, made, sentence)
    return Judged(case.name, case.fault.name, row.key, true, made, sentence, *at(row, finding, place(trial)))


def at(row: Row, finding: Finding, where: Where) -> tuple[bool | None, bool | None]:
    """Whether the layers and the step that are named are those meddled with."""
    layers = None if where.layers is None else row.layers(finding) == where.layers
    return layers, None if where.step is None else row.step(finding) == where.step


def alarm(case: Case, found: Found, true: bool) -> Judged:
    """Whether anything at all warns."""
    loud = [finding for finding in found.values() if warns(finding)]
    said = " ".join(f"{finding.name}: {finding.sentence}" for finding in loud)
    return Judged(case.name, case.fault.name, "any", true, bool(loud), said)


@dataclass(frozen=True)
class Share:
    """k of n, with the 95% interval of Wilson (1927): it holds for small n, and for none or all of n."""

    k: int
    n: int

    def interval(self, z: float = 1.959964) -> tuple[float, float]:
        if not self.n:
            return 0.0, 1.0
        middle = (self.k + z * z / 2) / (self.n + z * z)
        half = z / (self.n + z * z) * (self.k * (self.n - self.k) / self.n + z * z / 4) ** 0.5
        return max(0.0, middle - half), min(1.0, middle + half)


def share(flags: Iterable[bool]) -> Share:
    listed = list(flags)
    return Share(sum(listed), len(listed))


def counts(every: Sequence[Judged], key: str) -> dict[str, Share]:
    """Found where it was there, said where it was not, and right layers and steps of what was found."""
    own = [one for one in every if one.key == key]
    return {
        "found": share(one.made for one in own if one.true),
        "false": share(one.made for one in own if not one.true),
        "layers": share(one.layer_right for one in own if one.layer_right is not None),
        "steps": share(one.step_right for one in own if one.step_right is not None),
    }


def wrong(every: Sequence[Judged]) -> list[Judged]:
    """Missed, said without reason, or pointing at the wrong place."""
    return [one for one in every if one.true != one.made or False in (one.layer_right, one.step_right)]


def as_records(every: Sequence[Judged]) -> list[dict[str, object]]:
    return [asdict(one) for one in every]
