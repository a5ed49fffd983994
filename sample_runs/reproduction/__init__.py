"""What the papers claim beside what the recorded runs show, claim by claim: docs/reproduction.md.

`python -m depthscope.sample_runs.reproduction` writes the page from the recorded runs alone.
"""

from .claims import CLAIMS
from .page import Finding, findings, page
from .verdict import Claim, Evidence, Verdict

__all__ = ["CLAIMS", "Claim", "Evidence", "Finding", "Verdict", "findings", "page"]
