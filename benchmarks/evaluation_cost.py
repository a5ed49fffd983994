"""What held-out measurements cost, in forwards of the untouched model: estimated, counted, and by process CPU.

python benchmarks/evaluation_cost.py
"""

import time

import torch

from depthscope.probes.interventions import (
    Estimate,
    Listener,
    Task,
    as_holdout,
    chosen_kinds,
    evaluate,
    found_sites,
    sequence_losses,
)
from depthscope.sample_runs import build_model

LAYERS, WIDTH, SEQUENCES, LENGTH = 12, 256, 8, 128


def main() -> None:
    torch.set_num_threads(1)
    model = build_model("pre", layers=LAYERS, width=WIDTH, heads=4, seed=1)
    ids_BT = torch.randint(256, (SEQUENCES, LENGTH), generator=torch.Generator().manual_seed(0))
    holdout = as_holdout(ids_BT)
    sites = found_sites(model, holdout)
    sequence_losses(model, holdout)  # warm
    forward = _cpu(lambda: sequence_losses(model, holdout))
    print(f"{LAYERS} blocks of width {WIDTH}, {SEQUENCES} sequences of {LENGTH} tokens; in forwards:")
    for name in ("skip", "zero", "repeat", "distances", "later", "jacobian"):
        estimates: list[Estimate] = []
        done: list[float] = []
        task = Task(holdout, chosen_kinds(name), step=0)
        took = _cpu(lambda t=task, e=estimates, d=done: evaluate(model, t, Listener(e.append, d.append), sites))
        print(f"{name:10} estimated {estimates[0].total:5.1f}  counted {sum(done):5.1f}  CPU {took / forward:5.1f}")


def _cpu(work: object) -> float:
    began = time.process_time()
    work()  # type: ignore[operator]
    return time.process_time() - began


if __name__ == "__main__":
    main()
