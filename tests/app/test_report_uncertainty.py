"""What a report says of the errors of its figures."""

import pandas as pd
import pytest

from depthscope.app.report.about import Definition, about
from depthscope.app.report.uncertainty import seed_groups, uncertainty

ROWS = {"n_layers": 2, "n_params": 10, "tokens": 3000, "last_step": 2, "data_id": "abc", "config": '{"lr": 0.1}'}
RUNS = pd.DataFrame([{**ROWS, "run": f"pre-{seed}", "strategy": "pre", "seed": seed} for seed in range(3)])
FASTER = RUNS[:1].assign(run="faster", config='{"lr": 0.2}')


def profile(*values: float, phase: str = "train") -> pd.DataFrame:
    """One value a run and layer, of runs pre-0, pre-1, ..."""
    rows = [(f"pre-{n}", layer, 2, value * layer) for n, value in enumerate(values) for layer in (1, 2)]
    return pd.DataFrame(rows, columns=["run", "layer", "step", "value"]).assign(phase=phase)


def test_runs_that_differ_in_the_seed_alone_are_a_group():
    assert seed_groups(RUNS) == {"pre-0": 0, "pre-1": 0, "pre-2": 0}
    assert seed_groups(pd.concat([RUNS[:1], FASTER])) == {}


def test_the_spread_over_seeds_is_that_of_equal_places():
    said = uncertainty(profile(9.0, 10.0, 11.0), "", seed_groups(RUNS))
    assert said.endswith("standard deviation over 3 seeds: 10.0% in the middle, 10.0% at most of the mean")
    assert "exact for its batch" in said


def test_without_a_second_seed_the_spread_is_not_known():
    assert "no two of these runs differ in the seed alone" in uncertainty(profile(9.0), "", {})
    assert "no two of these runs" in uncertainty(profile(9.0).drop(columns="run"), "", seed_groups(RUNS))


def test_only_the_newest_values_of_a_run_are_compared():
    older = profile(1.0, 99.0).assign(step=1)
    said = uncertainty(pd.concat([older, profile(10.0, 10.0)]), "", seed_groups(RUNS))
    assert "over 2 seeds: 0.0% in the middle" in said


def test_differences_have_an_absolute_spread_and_their_own_errors():
    frame = profile(-1.0, 1.0).rename(columns={"value": "delta"}).assign(delta_se=[0.1, 0.2, 0.1, 0.1])
    said = uncertainty(frame, "", seed_groups(RUNS))
    assert "clustered by sequence: 0.1 in the middle, 0.2 at most" in said
    assert said.endswith("over 2 seeds: 2.121 in the middle, 2.828 at most")


@pytest.mark.parametrize(
    ("reduction", "words"),
    [
        ("sampled median over tokens, token-weighted mean", "between the 48.5th and the 51.5th percentile of all"),
        (
            "sampled: at most 4,096 entries a matrix",
            "an estimate from sampled entries (at most 4,096 entries a matrix)",
        ),
        ("mean over tokens", "each value is exact for its batch"),
    ],
)
def test_sampled_values_say_so(reduction, words):
    assert words in uncertainty(profile(1.0), reduction, {})


def test_the_percentiles_of_a_sampled_median_hold():
    """Of 2,000 samples of 4,096 ranks, the medians lie between these percentiles 95 times of 100."""
    import numpy as np

    medians = np.median(np.random.default_rng(0).random((2000, 4096)), axis=1)
    assert 0.93 < np.mean((medians > 0.485) & (medians < 0.515)) < 0.97


def test_tokens_and_data_are_named():
    told = about(profile(1.0), RUNS, Definition("f", "mean"), "again")
    assert (told.tokens, told.batch, told.data, told.runs) == (1000, "tokens of a training step", ("abc",), 1)
    held_out = about(profile(1.0, phase="probe"), RUNS, Definition(), "again")
    assert held_out.tokens is None and "whose size is not kept" in held_out.batch
    assert about(profile(1.0).assign(tokens=512), RUNS, Definition(), "again").batch == "held-out tokens"
