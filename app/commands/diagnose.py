"""`depthscope diagnose`: the findings of each run, worst first."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from rich.console import Console
from rich.text import Text

from ..findings import SEVERITIES, Evidence, Finding
from ..findings.frames import layer_range
from ..text import plain
from .output import console, to_json

__all__ = ["FORMAT", "findings_json", "show_findings"]

FORMAT = 1
"""Version of the JSON; raised when a field changes its meaning."""

STYLES = {"critical": "bold white on red", "warning": "bold yellow", "info": "cyan", "ok": "green"}
SIGNS = {"critical": "✖ critical", "warning": "▲ warning", "info": "● info", "ok": "✔ ok"}

INDENT = 12

Findings = Mapping[str, Sequence[Finding]]


def findings_json(findings: Findings) -> str:
    """{"format": 1, "worst": severity or null, "runs": [{"run", "findings": [every field of Finding]}]}"""
    severities = {finding.severity for found in findings.values() for finding in found}
    worst = next((severity for severity in SEVERITIES if severity in severities), None)
    runs = [{"run": run, "findings": [asdict(finding) for finding in found]} for run, found in findings.items()]
    return to_json({"format": FORMAT, "worst": worst, "runs": runs})


def show_findings(findings: Findings) -> None:
    """Print the findings as paragraphs, one block a run, with a summary below."""
    out = console()
    for run, found in findings.items():
        out.print(Text(plain(run), style="bold"))
        if not found:
            out.print("Nothing was measured yet.", style="dim")
        for finding in found:
            show(out, finding)
        out.print()
    out.print(summary(findings))


def show(out: Console, finding: Finding) -> None:
    """A sign, and beside it the sentence; for something to act on also the advice, the evidence and the rule."""
    sign = Text(SIGNS[finding.severity], style=STYLES[finding.severity])
    for paragraph in paragraphs(finding):
        for line in paragraph.wrap(out, max(out.width - INDENT, 40)):
            line.rstrip()
            out.print(Text.assemble(sign, " " * (INDENT - len(sign)), line), soft_wrap=True)
            sign = Text()


def paragraphs(finding: Finding) -> list[Text]:
    stack = "" if finding.evidence.stack == "main" else f" ({plain(finding.evidence.stack)})"
    said = [Text.assemble((f"{finding.title}{stack}: ", "bold"), finding.sentence)]
    if finding.severity in ("critical", "warning"):
        said.append(Text(f"→ {finding.advice}"))
        said.append(Text(f"{where(finding.evidence)}; confidence {finding.confidence}.", style="dim"))
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
