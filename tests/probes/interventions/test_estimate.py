"""What an evaluation says beforehand that it takes, against what it counts and what the last one took."""

import pytest
import torch

from depthscope.probes.interventions import INTERVENTIONS, Estimate, Listener, Task, as_holdout, chosen_kinds, evaluate
from depthscope.sample_runs import build_model
from depthscope.store import Scalar


@pytest.fixture
def measured():
    """Evaluates one small decoder: the estimate, and the forwards counted for each kind."""
    model = build_model("pre", layers=3, width=16, heads=2, context=12)
    ids_BT = torch.randint(256, (4, 12), generator=torch.Generator().manual_seed(0))

    def run(memory: dict, only: str | None = None) -> tuple[Estimate, dict[str, float]]:
        said: list[Estimate] = []
        kinds = chosen_kinds(only, in_training=True)
        rows = evaluate(model, Task(as_holdout(ids_BT), kinds, 0, memory=memory), Listener(estimated=said.append))
        counted = {r.name: r.value for r in rows if isinstance(r, Scalar) and r.name.startswith("evaluated/")}
        return said[0], {name.removeprefix("evaluated/"): value for name, value in counted.items()}

    return run


def test_every_kind_of_training_runs_the_forwards_it_said(measured):
    said, counted = measured({})
    assert set(counted) == {name for name, kind in INTERVENTIONS.items() if kind.in_training}
    assert counted == pytest.approx(said.forwards)


def test_the_next_estimate_goes_by_what_the_last_evaluation_took(measured):
    memory: dict = {}
    measured(memory, "jacobian")
    assert memory["rates"]["jacobian"] > 0
    memory["rates"]["jacobian"] = 1e6
    slow, counted = measured(memory, "jacobian")
    assert slow.seconds > 1000  # a million times the few forwards of a tiny model
    assert slow.forwards == pytest.approx(counted)
    assert memory["rates"]["jacobian"] < 1e6  # measured anew
