"""The papers a report names, as BibTeX."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["KNOWN", "Paper", "bibtex", "papers_in"]

ARXIV = re.compile(r"arXiv (\d{4}\.\d{4,5})")


@dataclass(frozen=True)
class Paper:
    """What a citation says, with the title of its first page on arXiv."""

    key: str
    authors: tuple[str, ...]
    """'First Last', as on the paper."""
    title: str


# By arXiv number. A paper that is not here is cited by its number alone.
KNOWN = {
    "1903.06733": Paper(
        "lu2019dying",
        ("Lu Lu", "Yeonjong Shin", "Yanhui Su", "George Em Karniadakis"),
        "Dying ReLU and Initialization: Theory and Numerical Examples",
    ),
    "1910.07467": Paper("zhang2019root", ("Biao Zhang", "Rico Sennrich"), "Root Mean Square Layer Normalization"),
    "2002.04745": Paper(
        "xiong2020layer",
        (
            *("Ruibin Xiong", "Yunchang Yang", "Di He", "Kai Zheng", "Shuxin Zheng", "Chen Xing", "Huishuai Zhang"),
            *("Yanyan Lan", "Liwei Wang", "Tie-Yan Liu"),
        ),
        "On Layer Normalization in the Transformer Architecture",
    ),
    "2003.04887": Paper(
        "bachlechner2020rezero",
        (
            *("Thomas Bachlechner", "Bodhisattwa Prasad Majumder", "Huanru Henry Mao", "Garrison W. Cottrell"),
            "Julian McAuley",
        ),
        "ReZero is All You Need: Fast Convergence at Large Depth",
    ),
    "2003.07845": Paper(
        "shen2020powernorm",
        ("Sheng Shen", "Zhewei Yao", "Amir Gholami", "Michael W. Mahoney", "Kurt Keutzer"),
        "PowerNorm: Rethinking Batch Normalization in Transformers",
    ),
    "2010.06192": Paper(
        "zamirai2020bfloat16",
        ("Pedram Zamirai", "Jian Zhang", "Christopher R. Aberger", "Christopher De Sa"),
        "Revisiting BFloat16 Training",
    ),
    "2203.00555": Paper(
        "wang2022deepnet",
        ("Hongyu Wang", "Shuming Ma", "Li Dong", "Shaohan Huang", "Dongdong Zhang", "Furu Wei"),
        "DeepNet: Scaling Transformers to 1,000 Layers",
    ),
    "2203.15556": Paper(
        "hoffmann2022training", ("Jordan Hoffmann", "others"), "Training Compute-Optimal Large Language Models"
    ),
    "2306.03805": Paper(
        "jaiswal2023essential",
        ("Ajay Jaiswal", "Shiwei Liu", "Tianlong Chen", "Zhangyang Wang"),
        "The Emergence of Essential Sparsity in Large Pre-trained Models: The Weights that Matter",
    ),
    "2312.16903": Paper(
        "takase2023spike",
        ("Sho Takase", "Shun Kiyono", "Sosuke Kobayashi", "Jun Suzuki"),
        "Spike No More: Stabilizing the Pre-training of Large Language Models",
    ),
    "2402.17762": Paper(
        "sun2024massive",
        ("Mingjie Sun", "Xinlei Chen", "J. Zico Kolter", "Zhuang Liu"),
        "Massive Activations in Large Language Models",
    ),
    "2403.03853": Paper(
        "men2024shortgpt",
        (
            *("Xin Men", "Mingyu Xu", "Qingyu Zhang", "Bingning Wang", "Hongyu Lin", "Yaojie Lu", "Xianpei Han"),
            "Weipeng Chen",
        ),
        "ShortGPT: Layers in Large Language Models are More Redundant Than You Expect",
    ),
    "2403.17887": Paper(
        "gromov2024unreasonable",
        ("Andrey Gromov", "Kushal Tirumala", "Hassan Shapourian", "Paolo Glorioso", "Daniel A. Roberts"),
        "The Unreasonable Ineffectiveness of the Deeper Layers",
    ),
    "2405.19279": Paper(
        "he2024outlier",
        ("Bobby He", "Lorenzo Noci", "Daniele Paliotta", "Imanol Schlag", "Thomas Hofmann"),
        "Understanding and Minimising Outlier Features in Neural Network Training",
    ),
    "2412.13795": Paper(
        "li2024mixln",
        ("Pengxiang Li", "Lu Yin", "Shiwei Liu"),
        "Mix-LN: Unleashing the Power of Deeper Layers by Combining Pre-LN and Post-LN",
    ),
    "2501.00656": Paper("olmo2024furious", ("Team OLMo", "others"), "2 OLMo 2 Furious"),
    "2502.02732": Paper(
        "kim2025periln",
        (
            *("Jeonghoon Kim", "Byeongchan Lee", "Cheonbok Park", "Yeontaek Oh", "Beomjun Kim", "Taehwan Yoo"),
            *("Seongjin Shin", "Dongyoon Han", "Jinwoo Shin", "Kang Min Yoo"),
        ),
        "Peri-LN: Revisiting Normalization Layer in the Transformer Architecture",
    ),
    "2502.05795": Paper(
        "sun2025curse",
        ("Wenfang Sun", "Xinyuan Song", "Pengxiang Li", "Lu Yin", "Yefeng Zheng", "Shiwei Liu"),
        "The Curse of Depth in Large Language Models",
    ),
    "2505.13898": Paper(
        "csordas2025depth",
        ("R{\\'o}bert Csord{\\'a}s", "Christopher D. Manning", "Christopher Potts"),
        "Do Language Models Use Their Depth Efficiently?",
    ),
    "2507.07996": Paper(
        "li2025skip",
        ("Ziyue Li", "Yang Li", "Tianyi Zhou"),
        "Skip a Layer or Loop it? Test-Time Depth Adaptation of Pretrained LLMs",
    ),
    "2605.14075": Paper(
        "hinostroza2026rethinking",
        (
            *("Cristian Hinostroza", "Rodrigo Toro Icarte", "Christ Devia", "Andres Carvallo De Ferari"),
            *("Eugenio Herrera-Berg", "Denis Parra", "Jorge F. Silva"),
        ),
        "Rethinking Layer Relevance in Large Language Models Beyond Cosine Similarity",
    ),
}


def papers_in(texts: Iterable[str]) -> tuple[str, ...]:
    """The arXiv numbers named anywhere in `texts`, ascending."""
    return tuple(sorted({number for text in texts for number in ARXIV.findall(text)}))


def bibtex(numbers: Iterable[str]) -> str:
    """One entry a paper."""
    return "\n\n".join(map(entry, numbers))


def entry(number: str) -> str:
    paper = KNOWN.get(number, Paper(f"arxiv{number}", (), ""))
    title = paper.title and f"{{{paper.title}}}"
    said = {"author": " and ".join(paper.authors), "title": title, "year": f"20{number[:2]}"}
    said |= {"eprint": number, "archivePrefix": "arXiv", "url": f"https://arxiv.org/abs/{number}"}
    lines = [f"  {name} = {{{value}}}," for name, value in said.items() if value]
    return "\n".join([f"@misc{{{paper.key},", *lines, "}"])
