"""What is said of the recorded runs: sound trainings, so nothing to act on, and the differences really there."""

import pytest

from depthscope.app.findings import Finding, diagnose_runs


@pytest.fixture(scope="module")
def recorded(recorded_store) -> dict[str, dict[str, Finding]]:
    """strategy -> finding name -> finding, of the runs with seed 0: one of every strategy."""
    table = recorded_store.runs()
    first = table[table["seed"] == 0]
    runs = dict(zip(first["run"], first["strategy"], strict=True))
    found = diagnose_runs(recorded_store, list(runs))
    return {runs[run]: {finding.name: finding for finding in findings} for run, findings in found.items()}


def test_no_sound_run_is_warned_of(recorded):
    ill = {
        name for name, found in recorded.items() if any(f.severity in ("critical", "warning") for f in found.values())
    }
    assert ill == {"hybrid", "hybrid-star"}
    for strategy in ("pre", "post", "peri", "mix", "lns"):
        assert recorded[strategy]["healthy"].confidence == "high"
        assert recorded[strategy]["strategy_mismatch"].severity == "ok"


def test_runs_that_hardly_learn_are_told_by_their_gradients(recorded):
    """Hybrid norms at this learning rate and initialization: held-out losses end twice as high as the others'."""
    for strategy in ("hybrid", "hybrid-star"):
        assert recorded[strategy]["gradient_flow"].severity in ("critical", "warning")
        assert "healthy" not in recorded[strategy]


def test_findings_agree_with_the_page_of_claims(recorded):
    """docs/reproduction.md: Pre-LN grows exponentially, LayerNorm Scaling slower; its deep blocks do least."""
    assert "exponentially: 1.1" in recorded["pre"]["variance_growth"].sentence
    assert "not exponentially" in recorded["lns"]["variance_growth"].sentence
    assert recorded["lns"]["idle_blocks"].severity == "info" and recorded["pre"]["idle_blocks"].severity == "ok"
    assert recorded["mix"]["idle_blocks"].severity == "ok"


def test_they_are_young_and_it_is_said(recorded):
    assert all("training tokens per parameter" in found["undertrained"].sentence for found in recorded.values())


def test_the_stream_of_post_norm_is_flat_and_the_others_grow(recorded):
    assert (
        recorded["post"]["variance_growth"].severity == "ok" and "flat" in recorded["post"]["variance_growth"].sentence
    )
    for strategy in ("pre", "peri", "mix", "lns"):
        assert recorded[strategy]["variance_growth"].severity == "info"


def test_what_is_opposite_to_the_papers_is_said_too(recorded):
    """In these short runs it is LayerNorm Scaling whose deep blocks hardly turn the stream, not Pre-LN's."""
    assert (
        recorded["lns"]["curse_of_depth"].severity == "info" and recorded["lns"]["curse_of_depth"].confidence == "low"
    )
    assert "12 of 12 deep blocks" in recorded["lns"]["curse_of_depth"].sentence
    assert all(recorded[strategy]["curse_of_depth"].severity == "ok" for strategy in ("pre", "post", "peri", "mix"))


def test_early_blocks_of_post_norm_get_less_gradient(recorded):
    finding = recorded["post"]["gradient_skew"]
    assert finding.severity == "info" and "Blocks 13–24 get 6" in finding.sentence
