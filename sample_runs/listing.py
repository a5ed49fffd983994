"""Writes docs/strategies.md from the strategies' own records: `python -m depthscope.sample_runs.listing FILE`."""

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

from . import norms
from .norms import STRATEGIES, Strategy

__all__ = ["listing", "main"]

HEAD = """# Norm strategies

Where a transformer normalizes, as the reference decoder builds it: `build_model(NAME, layers=12, width=64, heads=4)`
from `depthscope.sample_runs`. `norm="rms"` (the default) and `norm="layer"` choose the norm N of every strategy that
does not bring its own. x is the residual stream, F stands for attention and for the MLP, one after the other; l counts
blocks from 1 to L. All matrices of one seed and shape are equal for all strategies, unless a strategy says otherwise.

"Detected" is the placement that `watch` names by itself when it is not told. It speaks of where the norms stand, not of
how gains and matrices start, and is `unknown` where the flow is none of those it has a name for. Runs of this package
carry the strategy's own name.

This page is written from the strategies' own files by `python -m depthscope.sample_runs.listing docs/strategies.md`.

| Name | Strategy | Rule | Detected | Source |
|---|---|---|---|---|
"""

CONVERSIONS = """
## Conversions

Functions of `depthscope.sample_runs`; each returns a copy and leaves the model as it is.

- `to_pre_rmsnorm(model)`, `to_pre_crmsnorm(model)`: a Pre-LN model with LayerNorm (from `build_model` with "pre" and
  `norm="layer"`, with or without biases and a tied head, or Hugging Face's `GPT2LMHeadModel`) as one that computes the
  same logits without subtracting means. For inference: trained further, the means would come back.
- `to_pre_rmsnorm(model, trainable=True)`, `to_pre_crmsnorm(model, trainable=True)`: the same, with the model's own
  parameters, recentred inside the forward: gradients are those of the original. Dropout on the stream is refused.
- `fold_prepbn(model)`: a model from `build_model("prepbn")` in evaluation, with its batch norms folded into the linear
  layers that read them: the same logits, no norms.

The paper claims 1 to 10 % less time for the two forms. Measured here with `benchmarks/conversions.py` on 2 CPU cores,
torch 2.13, as the median ratio to Pre-LN's step of the same turn with its 95 % interval: no time is saved there. A
likely reason: LayerNorm is one fused kernel of PyTorch, the recentring of training and the CRMS norm are several.

| 12 layers | form | training | inference |
|---|---|---|---|
| width 256, 4 x 256 tokens, 60 turns | Pre-RMSNorm | 1.049 (1.031 to 1.059) | 1.024 (1.013 to 1.046) |
| | Pre-CRMSNorm | 1.051 (1.037 to 1.065) | 1.044 (1.022 to 1.064) |
| width 768, 1 x 256 tokens, 30 turns | Pre-RMSNorm | 1.048 (1.007 to 1.067) | 1.009 (0.997 to 1.018) |
| | Pre-CRMSNorm | 1.065 (1.050 to 1.116) | 1.016 (1.006 to 1.025) |

Measured 2026-11-25; `python benchmarks/conversions.py --device cuda` asks a GPU.
"""


def listing() -> str:
    """The page, Markdown."""
    rows = [f"| `{s.name}` | {s.title} | `{s.flow}` | {s.placement} | {_link(s.source)} |" for s in STRATEGIES.values()]
    return HEAD + "\n".join(rows) + "\n" + "".join(map(_section, files())) + CONVERSIONS


def files() -> list[tuple[ModuleType, list[Strategy]]]:
    """The strategies by the file that defines them, in the order of the table."""
    found: dict[str, tuple[ModuleType, list[Strategy]]] = {}
    for strategy in STRATEGIES.values():
        name = _home(strategy)
        found.setdefault(name, (import_module(f"{norms.__name__}.{name}"), []))[1].append(strategy)
    return list(found.values())


def _home(strategy: Strategy) -> str:
    """The file in norms/ that holds this very record."""
    for path in sorted(Path(norms.__file__).parent.glob("*.py")):
        if path.stem != "__init__":
            module = import_module(f"{norms.__name__}.{path.stem}")
            if any(value is strategy for value in vars(module).values()):
                return path.stem
    raise LookupError(f"{strategy.name} is defined in no file of norms/")


def _section(file: tuple[ModuleType, list[Strategy]]) -> str:
    """A file's own words, with the drawing in a code block."""
    module, strategies = file
    first, _, rest = (module.__doc__ or "").strip().partition("\n\n")
    names = ", ".join(f"`{strategy.name}`" for strategy in strategies)
    paragraphs = [_paragraph(text) for text in rest.split("\n\n")]
    notes = [f"`{s.name}`: {s.note}" for s in strategies if s.note]
    return "\n" + "\n\n".join([f"## {names}", first, *paragraphs, *notes]) + "\n"


def _paragraph(text: str) -> str:
    lines = text.split("\n")
    if all(line.startswith("    ") or not line for line in lines):
        return "\n".join(["```text", *(line[4:] for line in lines), "```"])
    return text


def _link(source: str) -> str:
    return f"[{source}](https://arxiv.org/abs/{source.removeprefix('arXiv ')})"


def main(arguments: Sequence[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m depthscope.sample_runs.listing FILE", file=sys.stderr)
        return 2
    Path(arguments[0]).write_text(listing(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
