"""Real trainings made to fail on purpose: each is named, with the right layer and step."""


def worst(found) -> set[str]:
    return {name for name, finding in found.items() if finding.severity in ("critical", "warning")}


def test_a_sound_run_is_not_complained_of(failing):
    assert worst(failing["sound"]) == set()
    assert "Checked over 9 sampled steps of 6 blocks" in failing["sound"]["healthy"].sentence
    assert failing["sound"]["undertrained"].severity == "info"


def test_a_run_that_measured_gradients_alone_claims_no_more(failing):
    found = failing["gradients only"]
    checked, missing = found["healthy"].sentence.split(" Not measured: ")
    assert "6 blocks: gradient norms, loss. Loss" in checked
    assert missing == "stream variance, weight updates, largest activations, angles of blocks, size of branches."
    assert found["nonfinite"].sentence.endswith("Not looked at: activations.")


def test_an_injected_nan_is_found_at_its_layer_and_step(failing):
    finding = failing["nan"]["nonfinite"]
    assert finding.severity == "critical" and finding.evidence.steps[0] == 20
    assert "start in the activation of layer 3 (mlp_out) at step 20" in finding.sentence
    assert "Step 15 is the last clean sample" in finding.sentence


def test_between_samples_the_interval_is_honest(failing):
    sentence = failing["nan-between"]["nonfinite"].sentence
    assert "Step 15 is the last clean sample, so it happened after it and no later than step 18." in sentence
    assert "which came first cannot be told" in sentence


def test_a_spike_is_found_with_the_layer_that_was_disturbed(failing):
    finding = failing["spike"]["loss_spike"]
    assert finding.severity == "warning" and finding.evidence.steps == (50, 50)
    assert "is layer 4, at sampled step 50 (variance" in finding.sentence


def test_values_past_float16_are_found_where_they_begin(failing):
    found = failing["overflow"]
    assert "layer 4 (mlp_out) is the first past its maximum" in found["half_precision"].sentence
    assert found["variance_explosion"].severity == "critical"
    assert "block 4 makes the largest jump" in found["variance_explosion"].sentence


def test_a_late_explosion_names_the_layer_it_starts_in(failing):
    finding = failing["growing late"]["variance_explosion"]
    assert finding.severity == "warning" and finding.evidence.steps[0] == 30
    assert "starts in layer 2, at step 30" in finding.sentence and finding.evidence.layers == (2,)


def test_gradients_that_explode_late_name_the_block_they_start_at(failing):
    finding = failing["gradients grow late"]["gradient_flow"]
    assert finding.severity == "critical" and "starts at block 4, at step 30" in finding.sentence


def test_a_frozen_layer_is_informational(failing):
    finding = failing["frozen"]["dead_layers"]
    assert finding.severity == "info" and finding.evidence.layers == (2,)
    assert worst(failing["frozen"]) == set()


def test_a_layer_that_was_cut_off_is_not_taken_for_a_frozen_one(failing):
    finding = failing["detached"]["dead_layers"]
    assert finding.severity == "warning" and finding.evidence.layers == (4,)
    assert finding.sentence == "Layer 4 gets no gradient while others do."
    assert worst(failing["detached"]) == {"dead_layers"}


def test_post_norm_at_too_high_a_rate_without_warm_up(failing):
    found = failing["hot-post"]
    assert found["warmup"].severity == "warning" and "100% of its peak" in found["warmup"].sentence
    assert found["gradient_flow"].severity in ("warning", "critical")
    assert "gradients vanish" in found["gradient_flow"].sentence
    assert found["strategy_mismatch"].severity == "ok"


def test_nobody_else_is_accused(failing):
    for run in ("sound", "frozen", "spike"):
        assert failing[run]["nonfinite"].severity == "ok" and failing[run]["variance_explosion"].severity == "ok"
    assert all(
        failing[run]["loss_spike"].severity == "ok"
        for run in ("sound", "frozen", "nan")
        if "loss_spike" in failing[run]
    )
