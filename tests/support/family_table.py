"""Write docs/families.md: what a probe finds in each family, measured now.

python tests/support/family_table.py > docs/families.md
"""

import sys
import tempfile
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import torch
from agreement import Agreement, compare
from families import FAMILIES

HEAD = """# Which models are understood by themselves

`watch(model)` needs no configuration for the models below. Each row is measured on a small model with random weights:
the blocks that were found, how many layers of the residual stream were compared with what the model itself returns as
its hidden states, the largest relative error of their mean square, the norm placement that was found, and the branch
sites of the blocks (see [the sites](#sites)).

Written by `python tests/support/family_table.py > docs/families.md` with torch {torch} and transformers {transformers}.

| family | blocks found | layers compared | largest relative error | placement | branch sites |
|---|---|---|---|---|---|
"""

TAIL = """
## Sites

- `attn_out`, `mlp_out`: what a branch adds to the stream. In a decoder block that attends twice `attn_out` is
  self-attention; what it adds from the other sequence has no site of its own.
- `attn_raw`, `mlp_raw`: a branch before its output norm, or before it is scaled on the way to the sum (Granite, BEiT).
- A block that is called several times in a forward (ALBERT, looped models) is as many layers; its parameters are
  counted once, at the first of them.
- Stages of blocks (Swin) are opened: the depth axis runs through all blocks, whatever their width.
- Encoder and decoder, or two towers, are two stacks, each with a depth axis of its own.
- Where the model itself adds what its blocks return (`x = x + block(norm(x))`, lists of attention and MLP, XLM), the
  stream is followed through those additions, and measured at the module that reads it next. A sum that only functions
  read is not measured, and said so.
- A stream with its features on another axis than the last (`[B, C, T]`, `[B, C, H, W]`: ConvNeXt, SqueezeBERT) is not
  measured, and said so.
- Inside a compiled graph the gradient of `resid_mid` is left out where its norm is not its only reader.
- Informer halves the sequence between its encoder's blocks, so only the ends can be compared.

## Placement

`pre`, `post`, `peri`, `output`, `mix`, `lns`, `deepnorm`, `none`, or `unknown` where no rule fits: MiniMax adds its
branches to a scaled norm of the stream, which is none of these.

## Where it does not find enough

Name the blocks: `watch(model, sites={"blocks": "path.to.modulelist", "attn": "attn", "mlp": "mlp"})`; `attn` and `mlp`
are the names, inside a block, of the modules whose output is added to the stream. What was looked for and not found is
written as an event of the run, and has no numbers.
"""


def row(name: str, found: Agreement) -> str:
    """One family's line of the table."""
    blocks = Counter(block.stack for block in found.sites.blocks)
    stacks = ", ".join(f"{stack} {count}" if len(blocks) > 1 else str(count) for stack, count in blocks.items())
    sites = {tap.key[2] for tap in found.sites.taps} & {"attn_out", "mlp_out", "attn_raw", "mlp_raw"}
    cells = (name, stacks, str(found.compared), f"{found.error:.0e}", found.sites.placement, ", ".join(sorted(sites)))
    return f"| {' | '.join(cells)} |"


def main() -> None:
    torch.set_num_threads(1)
    print(HEAD.format(torch=version("torch"), transformers=version("transformers")), end="")
    with tempfile.TemporaryDirectory() as folder:
        for i, (name, family) in enumerate(FAMILIES.items()):
            print(row(name, compare(family, Path(folder) / str(i))))
            sys.stdout.flush()
    print(TAIL, end="")


if __name__ == "__main__":
    main()
