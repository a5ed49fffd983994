"""Step times of Pre-LN, Pre-RMSNorm and Pre-CRMSNorm, the same function in three forms, training and inference.

    python benchmarks/conversions.py [--layers 12] [--width 256] [--repeats 20] [--device cpu] [--threads N]

The paper (arXiv 2305.14858) claims 1 to 10 % less time. The forms take turns, so that a busy machine slows all of them;
the table shows the median step of each, and the median ratio to Pre-LN's step of the same turn with its 95 % interval.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from depthscope.sample_runs import build_model, to_pre_crmsnorm, to_pre_rmsnorm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in (("layers", 12), ("width", 256), ("tokens", 256), ("batch", 4), ("repeats", 20)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = build_model("pre", layers=options.layers, width=options.width, heads=4, norm="layer", biases=True)
    model = model.to(options.device)
    ids_BT = torch.randint(256, (options.batch, options.tokens), device=options.device)
    size = f"{options.layers} layers x {options.width}, {options.batch} x {options.tokens} tokens"
    print(f"{size}, {options.device}, {options.threads} threads")
    report("training", {name: train_step(form, ids_BT) for name, form in forms(model, True).items()}, options.repeats)
    report("inference", {name: inference(form, ids_BT) for name, form in forms(model, False).items()}, options.repeats)


def forms(model: nn.Module, trainable: bool) -> dict[str, nn.Module]:
    return {
        "Pre-LN": model,
        "Pre-RMSNorm": to_pre_rmsnorm(model, trainable=trainable),
        "Pre-CRMSNorm": to_pre_crmsnorm(model, trainable=trainable),
    }


def train_step(model: nn.Module, ids_BT: Tensor) -> Callable[[], None]:
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)

    def step() -> None:
        nn.functional.cross_entropy(model(ids_BT).flatten(0, 1), ids_BT.flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def inference(model: nn.Module, ids_BT: Tensor) -> Callable[[], None]:
    model = model.eval()

    @torch.inference_mode()
    def step() -> None:
        model(ids_BT)

    return step


def report(what: str, steps: dict[str, Callable[[], None]], repeats: int) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(repeats + 2):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn >= 2:  # the first ones warm up
                seconds[name].append(time.perf_counter() - began)
    print(f"{what:12s} {'median ms':>10s} {'ratio to Pre-LN, paired':>26s}")
    for name, each in seconds.items():
        ratios = [own / base for own, base in zip(each, seconds["Pre-LN"], strict=True)]
        low, high = interval_of_median(ratios)
        median = statistics.median(ratios)
        print(f"{name:12s} {1000 * statistics.median(each):10.2f} {median:8.3f} ({low:.3f} to {high:.3f})")


def interval_of_median(values: list[float]) -> tuple[float, float]:
    """At least 95 % of confidence, from order statistics: no distribution is assumed."""
    ordered, n = sorted(values), len(values)
    below = max(0, int((n - 1.96 * n**0.5) / 2) - 1)
    return ordered[below], ordered[n - 1 - below]


if __name__ == "__main__":
    main()
