"""`depthscope diagnose`: the findings of each run, worst first, once or again and again."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

from rich.console import Console
from rich.text import Text

from depthscope.store import DepthscopeError, RunMissing, Store, StoreBusy, StoreMissing, run_table

from ..findings import (
    NOTHING,
    SEVERITIES,
    Evidence,
    Finding,
    Severity,
    Thresholds,
    comparison_caveats,
    diagnose_runs,
    layer_range,
)
from ..text import plain
from .follow import Look, Webhook, follow
from .output import console, jsonable, to_json
from .stores import NoRuns, chosen_runs

__all__ = ["FORMAT", "caveats_of", "findings_json", "follow_findings", "is_critical", "show_findings"]

FORMAT = 1
"""Version of the JSON; raised when a field changes its meaning."""

STYLES = {"critical": "bold white on red", "warning": "bold yellow", "info": "cyan", "ok": "green"}
SIGNS = {"critical": "✖ critical", "warning": "▲ warning", "info": "● info", "ok": "✔ ok"}

INDENT = 12

Findings = Mapping[str, Sequence[Finding]]


def is_critical(findings: Findings) -> bool:
    """Whether any of them is."""
    return any(finding.severity == "critical" for found in findings.values() for finding in found)


def caveats_of(store: Store, runs: Sequence[str]) -> tuple[str, ...]:
    """What stands in the way of comparing the runs; nothing of one run."""
    table = run_table(store)
    return comparison_caveats(table[table["run"].isin(runs)]) if len(runs) > 1 else ()


def findings_json(findings: Findings, caveats: Sequence[str] = ()) -> str:
    """{"format": 1, "worst": severity or null, "caveats": [...], "runs": [{"run", "findings": [fields of Finding]}]}"""
    severities = {finding.severity for found in findings.values() for finding in found}
    worst = next((severity for severity in SEVERITIES if severity in severities), None)
    runs = [{"run": run, "findings": [asdict(finding) for finding in found]} for run, found in findings.items()]
    return to_json({"format": FORMAT, "worst": worst, "caveats": list(caveats), "runs": runs})


def show_findings(findings: Findings, caveats: Sequence[str] = ()) -> None:
    """Print the findings as paragraphs, one block a run, with a summary below."""
    out = console()
    for run, found in findings.items():
        out.print(Text(plain(run), style="bold"))
        if not found:
            out.print("Nothing was measured yet.", style="dim")
        for finding in found:
            if finding.severity != "ok" or finding.name == "healthy":
                show(out, finding)
        if passed := [finding.title for finding in found if finding.severity == "ok" and finding.name != "healthy"]:
            show_lines(out, "ok", [Text(f"No trouble found with: {', '.join(dict.fromkeys(passed))}.")])
        out.print()
    for caveat in caveats:
        for line in Text(f"Before comparing: {caveat}").wrap(out, out.width):
            line.rstrip()
            out.print(line, soft_wrap=True)
    out.print(summary(findings))


def follow_findings(
    find: Callable[[], Store],
    runs: Sequence[str] | None,
    limits: Thresholds,
    webhook: str | None,
    as_json: bool,
) -> tuple[Findings, bool]:
    """Tell what is new until no run trains any more; gives the last findings, and whether Ctrl-C ended it.

    `find` opens the store, which may not be there yet; a run that is not there yet is waited for too. As JSON, each new
    finding is one line with every field of Finding.
    """
    out, err = console(), Console(stderr=True, highlight=False)
    waiting: set[str] = set()

    def look() -> Look | None:
        try:
            store = find()
            chosen = chosen_runs(store, runs)
            table = run_table(store).set_index("run")
            return Look(diagnose_runs(store, chosen, limits), bool((table.loc[chosen, "status"] == "running").any()))
        except StoreBusy:
            return None
        except (StoreMissing, NoRuns, RunMissing) as missing:
            wait_for(missing)
            return None

    def wait_for(missing: DepthscopeError) -> None:
        if str(missing) not in waiting:
            waiting.add(str(missing))
            err.print(Text(f"Waiting: {missing}", style="dim"))

    def tell(new: Sequence[Finding]) -> None:
        for finding in new:
            if as_json:
                print(json.dumps(jsonable(asdict(finding)), ensure_ascii=False, allow_nan=False), flush=True)
            else:
                out.print(Text(plain(finding.evidence.run), style="bold"))
                show(out, finding)

    alerts = Webhook(webhook, lambda line: err.print(Text(line))) if webhook else None
    found, interrupted = follow(look, tell, alerts)
    (err if as_json else out).print(summary(found))
    return found, interrupted


def show(out: Console, finding: Finding) -> None:
    """A sign, and beside it the sentence, what to try and the evidence; for something to act on also the rule."""
    show_lines(out, finding.severity, paragraphs(finding))


def show_lines(out: Console, severity: Severity, said: Sequence[Text]) -> None:
    """Paragraphs beside the sign of a severity."""
    sign = Text(SIGNS[severity], style=STYLES[severity])
    for paragraph in said:
        for line in paragraph.wrap(out, max(out.width - INDENT, 40)):
            line.rstrip()
            out.print(Text.assemble(sign, " " * (INDENT - len(sign)), line), soft_wrap=True)
            sign = Text()


def paragraphs(finding: Finding) -> list[Text]:
    stack = "" if finding.evidence.stack == "main" else f" ({plain(finding.evidence.stack)})"
    said = [Text.assemble((f"{finding.title}{stack}: ", "bold"), finding.sentence)]
    if finding.severity != "ok":
        said += [Text(f"→ {finding.advice}")] * (finding.advice != NOTHING)
        said.append(Text(f"{where(finding.evidence)}; confidence {finding.confidence}.", style="dim"))
    if finding.severity in ("critical", "warning"):
        said.append(Text(f"Rule: {finding.rule}. Source: {finding.source}.", style="dim"))
    return said


def where(evidence: Evidence) -> str:
    """'variance at resid_post (probe), layers 2–12, steps 400–500': where to look it up."""
    parts = [f"{evidence.metric} at {evidence.site} ({evidence.phase})" if evidence.site else evidence.metric]
    if evidence.layers:
        parts.append(layer_range(evidence.layers))
    if evidence.steps:
        first, last = evidence.steps
        parts.append(f"step {first:,}" if first == last else f"steps {first:,}–{last:,}")
    return "Evidence: " + ", ".join(parts)


def summary(findings: Findings) -> Text:
    counts = Counter(finding.severity for found in findings.values() for finding in found)
    words = {"critical": "critical", "warning": "warnings" if counts["warning"] != 1 else "warning"}
    said = [f"{counts[severity]} {words[severity]}" for severity in ("critical", "warning") if counts[severity]]
    runs = f"{len(findings)} run{'s' if len(findings) != 1 else ''}"
    style = STYLES["critical" if counts["critical"] else "warning" if counts["warning"] else "ok"]
    return Text(f"{runs}: {', '.join(said) or 'nothing to worry about'}.", style=style)
