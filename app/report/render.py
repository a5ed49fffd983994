"""From the records to one HTML file that asks the network for nothing: all inside, under a strict CSP."""

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from jinja2 import (
    ChoiceLoader,
    DictLoader,
    Environment,
    FileSystemLoader,
    StrictUndefined,
    TemplateError,
    TemplateSyntaxError,
)
from markupsafe import Markup

from depthscope.store import DepthscopeError

from ..findings import FINDINGS, SEVERITIES, Finding, layer_range
from ..text import plain
from .build import Report
from .notes import notes_html
from .papers import bibtex

__all__ = ["BadTemplate", "policy", "render"]

OWN = "own"
"""What a user's template is called inside."""

HERE = Path(__file__).parent


class BadTemplate(DepthscopeError):
    """A user's template that Jinja2 cannot fill in."""


def render(report: Report, template: str = "") -> str:
    """The report as HTML; the same report gives the same bytes. Raises BadTemplate for a `template` that fails."""
    loader = ChoiceLoader([DictLoader({OWN: template}), FileSystemLoader(HERE)])
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"plain": plain, "layers": layer_range, "worst": worst, "tally": tally, "notes": notes_html}
    scripts = [source("plotly-cartesian.min.js"), source("boot.js")]
    try:
        return environment.get_template(OWN if template else "report.html.j2").render(
            report=report,
            checks=[check for check in FINDINGS.values() if check.name != "healthy"],
            severities=SEVERITIES,
            policy=policy(scripts),
            bibtex=bibtex(report.papers),
            # Our own files only: the one place where text goes in unescaped, beside the figures' JSON.
            style=Markup(source("report.css")),
            scripts=[Markup(script) for script in scripts],
        )
    except TemplateError as error:
        if not template:
            raise
        line = f" (line {error.lineno})" if isinstance(error, TemplateSyntaxError) else ""
        raise BadTemplate(f"expected a Jinja2 template; got: {plain(error.message)}{line}") from None


def source(name: str) -> str:
    """A file of this package that goes into the page whole."""
    text = (HERE / name).read_text(encoding="utf-8")
    assert "</script" not in text.lower() and "</style" not in text.lower(), f"{name} would end its element"
    return text


def policy(scripts: Iterable[str]) -> str:
    """The Content-Security-Policy: these very scripts, inline styles (Plotly sets them), images made on the page."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; connect-src 'none'; "
        "base-uri 'none'; form-action 'none'"
    )


def worst(findings: Iterable[Finding]) -> str:
    """The worst severity of some findings; '' of none."""
    found = {finding.severity for finding in findings}
    return next((severity for severity in SEVERITIES if severity in found), "")


def tally(report: Report) -> list[tuple[str, int]]:
    """How many findings of each severity, worst first."""
    counts = Counter(finding.severity for run in report.runs for finding in run.findings)
    return [(severity, counts[severity]) for severity in SEVERITIES if counts[severity]]
