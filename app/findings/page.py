"""The documentation's page of findings, made from their table: `python -m depthscope.app.findings.page`."""

import ast
import dataclasses
import inspect
import sys
from itertools import pairwise

from . import FINDINGS, thresholds
from .thresholds import THRESHOLDS, Thresholds

__all__ = ["page"]

HEAD = """\
# Findings

`depthscope diagnose` looks at every run of a store and says what is wrong, since when, how sure it is, and what to try;
the report carries the same findings. This page is made from the code (`python -m depthscope.app.findings.page`).

- **critical**: the run is broken or about to be; the command ends with status 3, so that a launcher can stop the run.
- **warning**: something to act on. **info**: something to know. **ok**: looked at, and in order.
- Confidence is *high* when at least three of the newest sampled steps agree, *medium* when most do, else *low*.
- A finding that needs what was not measured says nothing; `What was checked` names what was there.
- Statements about depth come from correlations across layers of one run. None is a proof of a cause.

`depthscope diagnose --follow` stays beside a training, tells what is new, and ends with the runs. `--webhook URL` posts
warnings as JSON (`text` for people, `findings` for programs), once a minute at most. Both only read the store. It goes
on after something critical, and its status is 3 at the end; a launcher that is to stop the run asks again and again:
`until depthscope diagnose --run NAME > findings.txt; [ $? = 3 ]; do sleep 60; done; kill PID`.

[How often they are right](confusion.md) was counted on runs broken on purpose and on sound ones.

Several runs are compared with a caveat wherever their data, tokens or steps, seeds, learning rates or depths differ.
"""

OWN_LIMITS = """\
## Thresholds

`depthscope diagnose --thresholds FILE.toml` replaces any of them, for example with `skew_noted = 4.0`. A number that no
paper gives is depthscope's own choice, and said to be.

| name | value | meaning |
|---|---|---|
"""


def page() -> str:
    """The page as Markdown."""
    parts = [HEAD]
    for check in FINDINGS.values():
        parts.append(
            f"## {check.title}\n\n`{check.name}`: {check.about}\n\n- Rule: {check.rule(THRESHOLDS)}.\n"
            f"- Source: {check.source}.\n"
        )
    rows = [f"| `{name}` | {value:g} | {reason} |" for name, value, reason in limits()]
    return "\n".join([*parts, OWN_LIMITS + "\n".join(rows) + "\n"])


def limits() -> list[tuple[str, float, str]]:
    """Name, value and reason of every threshold; the reason is the string below its field."""
    tree = ast.parse(inspect.getsource(thresholds))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == Thresholds.__name__)
    reasons = {
        field.target.id: " ".join(str(ast.literal_eval(text.value)).split())
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr)
    }
    names = [field.name for field in dataclasses.fields(Thresholds)]
    return [(name, getattr(THRESHOLDS, name), reasons[name]) for name in names]


if __name__ == "__main__":
    sys.stdout.write(page())
