"""The papers a report names, as BibTeX."""

import re
from collections.abc import Iterable

__all__ = ["bibtex", "papers_in"]

ARXIV = re.compile(r"arXiv (\d{4}\.\d{4,5})")

# arXiv number: key, first author, title. A paper that is not here is cited by its number alone.
KNOWN = {
    "1910.07467": ("zhang2019root", "Zhang, Biao", "Root Mean Square Layer Normalization"),
    "2002.04745": ("xiong2020layer", "Xiong, Ruibin", "On Layer Normalization in the Transformer Architecture"),
    "2003.07845": (
        "shen2020powernorm",
        "Shen, Sheng",
        "PowerNorm: Rethinking Batch Normalization in Transformers",
    ),
    "2203.15556": ("hoffmann2022training", "Hoffmann, Jordan", "Training Compute-Optimal Large Language Models"),
    "2306.03805": (
        "jaiswal2023essential",
        "Jaiswal, Ajay",
        "The Emergence of Essential Sparsity in Large Pre-trained Models: The Weights that Matter",
    ),
    "2312.16903": (
        "takase2023spike",
        "Takase, Sho",
        "Spike No More: Stabilizing the Pre-training of Large Language Models",
    ),
    "2402.17762": ("sun2024massive", "Sun, Mingjie", "Massive Activations in Large Language Models"),
    "2403.03853": (
        "men2024shortgpt",
        "Men, Xin",
        "ShortGPT: Layers in Large Language Models are More Redundant Than You Expect",
    ),
    "2403.17887": ("gromov2024unreasonable", "Gromov, Andrey", "The Unreasonable Ineffectiveness of the Deeper Layers"),
    "2405.19279": (
        "he2024outlier",
        "He, Bobby",
        "Understanding and Minimising Outlier Features in Neural Network Training",
    ),
    "2412.13795": (
        "li2024mixln",
        "Li, Pengxiang",
        "Mix-LN: Unleashing the Power of Deeper Layers by Combining Pre-LN and Post-LN",
    ),
    "2502.02732": (
        "kim2025periln",
        "Kim, Jeonghoon",
        "Peri-LN: Revisiting Normalization Layer in the Transformer Architecture",
    ),
    "2502.05795": ("sun2025curse", "Sun, Wenfang", "The Curse of Depth in Large Language Models"),
    "2505.13898": ("csordas2025depth", "Csord{\\'a}s, R{\\'o}bert", "Do Language Models Use Their Depth Efficiently?"),
}


def papers_in(texts: Iterable[str]) -> tuple[str, ...]:
    """The arXiv numbers named anywhere in `texts`, ascending."""
    return tuple(sorted({number for text in texts for number in ARXIV.findall(text)}))


def bibtex(numbers: Iterable[str]) -> str:
    """One entry a paper."""
    return "\n\n".join(map(entry, numbers))


def entry(number: str) -> str:
    key, author, title = KNOWN.get(number, (f"arxiv{number}", "", ""))
    said = {"author": author and f"{author} and others", "title": title and f"{{{title}}}", "year": f"20{number[:2]}"}
    said |= {"eprint": number, "archivePrefix": "arXiv", "url": f"https://arxiv.org/abs/{number}"}
    lines = [f"  {name} = {{{value}}}," for name, value in said.items() if value]
    return "\n".join([f"@misc{{{key},", *lines, "}"])
