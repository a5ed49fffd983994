"""What goes first when the backlog is too long."""

from itertools import pairwise

from stores import stats

from depthscope.store import Event, Layer, RunInfo, Scalar, Step
from depthscope.store.backlog import thin


def steps(records: list[object], kind: type) -> list[int]:
    return [record.step for record in records if isinstance(record, kind)]  # type: ignore[attr-defined]


def test_every_second_sampled_step_goes() -> None:
    records = [stats(step, layer) for step in range(0, 80, 10) for layer in (1, 2)]
    thinned = thin(records, 8)
    assert thinned.kept == [stats(step, layer) for step in (0, 20, 40, 60) for layer in (1, 2)]
    assert thinned.steps == {10, 30, 50, 70}


def test_enough_is_left_alone() -> None:
    records = [stats(step, 1) for step in range(8)]
    assert thin(records, 8).kept == records


def test_thinning_again_and_again_stays_even_and_keeps_the_oldest() -> None:
    kept: list[object] = []
    for step in range(1000):
        kept = thin([*kept, stats(step, 1)], 32).kept
    found = steps(kept, type(stats(0, 1)))
    gaps = [after - before for before, after in pairwise(found)]
    assert found[0] == 0
    assert 8 <= len(found) <= 32
    assert max(gaps) <= 128


def test_what_is_one_row_a_step_goes_later_and_facts_never() -> None:
    facts = [RunInfo("a"), Layer("main", 1, "b", "B", 1, "pre"), Event(3, "note", "x")]
    records = [*facts, *(stats(s, n) for s in range(8) for n in range(4)), *(Step(s, 0.0) for s in range(8))]
    assert steps(thin(records, 16).kept, Step) == list(range(8))
    few = thin([*records, *(Scalar(s, "x", 1.0) for s in range(8))], 0).kept
    assert few[:3] == facts
    assert {record.step for record in few[3:]} == {0}
