"""A pretrained transformer that comes as a Python package, measured: which blocks work, how much can be pruned.

pip install --no-deps --target FOLDER rxnfp==0.1.0
python benchmarks/pretrained.py FOLDER --store STORE

rxnfp (MIT) brings a BERT of 12 blocks that was trained to fill in masked tokens of chemical reactions written as SMILES
(Schwaller et al. 2021, "Mapping the space of chemical reactions"). The held-out reactions are made here from building
blocks: amide and Suzuki couplings; every sixth token is masked. Step 0 of the run is the same network untrained, the
control; step 1 stands for the pretrained weights.
"""

import argparse
import itertools
import json
import re
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from depthscope.probes import evaluate_checkpoints
from depthscope.store import dropping_points, open_store

TOKEN = re.compile(r"\[[^]]+\]|Br|Cl|>>|%\d\d|.")
ACIDS = ("c1ccccc1", "c1ccc(F)cc1", "c1cccnc1", "C1CCCCC1")
AMINES = ("Cc1ccccc1", "CCc1ccccc1", "C1CCCCC1", "c1ccc(Cl)cc1")
COUPLING = ["CCN=C=NCCCN(C)C", "CN(C)C=O"]
ARYLS = ("F", "Cl", "CO", "N#C")
BORONIC = ("c1ccccc1", "c1ccsc1")
SUZUKI = ["COCCOC", "O", "O=C([O-])[O-]", "[Na+]", "[Na+]"]
RUN = "rxnfp bert_pretrained"


def amides() -> list[str]:
    """Couplings of an acid and an amine, written as in the model's training data: canonical, reactants sorted."""
    return [
        f"{_sorted(f'O=C(O){acid}', f'N{amine}', *COUPLING)}>>O=C(N{amine}){acid}"
        for acid, amine in itertools.product(ACIDS, AMINES)
    ]


def suzukis() -> list[str]:
    """Couplings of an aryl bromide and a boronic acid."""
    return [
        f"{_sorted(f'{aryl}c1ccc(Br)cc1', f'OB(O){ring}', *SUZUKI)}>>{aryl}c1ccc(-{ring.replace('1', '2')})cc1"
        for aryl, ring in itertools.product(ARYLS, BORONIC)
    ]


def _sorted(*molecules: str) -> str:
    return ".".join(sorted(molecules))


def masked_batch(reactions: list[str], vocabulary: dict[str, int]) -> dict[str, Tensor]:
    """`[N, T]` ids with every sixth token masked, from another place on in each reaction, and what was there."""
    rows = [[vocabulary[token] for token in TOKEN.findall(each)] for each in reactions]
    width = 2 + max(map(len, rows))
    ids_NT = torch.full((len(rows), width), vocabulary["[PAD]"])
    for i, row in enumerate(rows):
        ids_NT[i, : len(row) + 2] = torch.tensor([vocabulary["[CLS]"], *row, vocabulary["[SEP]"]])
    place_T, start_N1 = torch.arange(width), torch.arange(len(rows)).unsqueeze(1) % 6
    marks = torch.tensor([vocabulary[mark] for mark in ("[PAD]", "[CLS]", "[SEP]")])
    masked_NT = ~torch.isin(ids_NT, marks) & (place_T % 6 == start_N1)
    return {
        "input_ids": ids_NT.masked_fill(masked_NT, vocabulary["[MASK]"]),
        "attention_mask": (ids_NT != vocabulary["[PAD]"]).long(),
        "labels": ids_NT.masked_fill(~masked_NT, -100),
    }


def build(folder: Path) -> nn.Module:
    """The network of the package's config, untrained."""
    from transformers import BertConfig, BertForMaskedLM

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    torch.manual_seed(0)
    model: nn.Module = BertForMaskedLM(BertConfig(**{k: v for k, v in config.items() if k != "output_past"}))
    return model


def pretrained(folder: Path) -> dict[str, Tensor]:
    """Its weights by the names they have today, without the head for pairs of sentences."""
    state = torch.load(folder / "pytorch_model.bin", map_location="cpu", weights_only=True)
    state["cls.predictions.decoder.bias"] = state["cls.predictions.bias"]  # one tensor with two names by now
    return {name: state[name] for name in build(folder).state_dict()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", type=Path, help="where pip put rxnfp")
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--only", default="skip,sparsity,near_zero")
    chosen = parser.parse_args()
    folder = chosen.packages / "rxnfp/models/transformers/bert_pretrained"
    words = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
    vocabulary = {word: i for i, word in enumerate(words)}
    holdout = [masked_batch(reactions, vocabulary) for reactions in (amides(), suzukis())]
    with tempfile.TemporaryDirectory() as temporary:
        files = {0: Path(temporary) / "untrained.pt", 1: Path(temporary) / "pretrained.pt"}
        torch.save(build(folder).state_dict(), files[0])
        torch.save(pretrained(folder), files[1])
        done = evaluate_checkpoints(
            files, lambda: build(folder), holdout, store=chosen.store, run=RUN, only=chosen.only
        )
    print(*done.failed, sep="\n")
    report(chosen.store)


def report(path: Path) -> None:
    """What docs/sparsity.md quotes."""
    store = open_store(path)
    skips = store.interventions(runs=RUN, action="skip", steps=(1, 1))
    print(store.scalars(runs=RUN, name="holdout_loss").to_string(index=False))
    print(skips[["layer", "delta", "delta_se"]].to_string(index=False))
    curves = store.sparsity(runs=RUN)
    curves = curves[(curves["step"] == 1) | (curves["weights"] == "init")]
    chosen = ["step", "weights", "pattern", "scope", "ranking", "sparsity", "loss", "loss_se"]
    print(curves[chosen].to_string(index=False))
    print(
        dropping_points(curves)[
            ["step", "scope", "ranking", "weights", "definition", "sparsity", "reached"]
        ].to_string()
    )


if __name__ == "__main__":
    main()
