"""What holds under which way of training, as a table: every cell that is filled names the test that holds it.

python tests/support/matrix.py        # writes the table into docs/compatibility.md
"""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["GUARANTEES", "MODES", "Cell", "Mode", "page_with", "table"]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "compatibility.md"
BEGIN, END = "<!-- matrix: python tests/support/matrix.py -->", "<!-- end of matrix -->"
GUARANTEES = ("numbers", "training unchanged", "cost and clean-up")


@dataclass(frozen=True)
class Cell:
    """What holds, and the test that fails when it does not: file in tests/probes, and name."""

    text: str
    file: str
    test: str


@dataclass(frozen=True)
class Mode:
    """A way of training, and what holds under it by guarantee."""

    name: str
    cells: dict[str, Cell]


def _mode(name: str, **cells: tuple[str, str, str]) -> Mode:
    columns = {"numbers": "numbers", "training": "training unchanged", "cost": "cost and clean-up"}
    return Mode(name, {columns[key]: Cell(*cell) for key, cell in cells.items()})


COMPILED = {
    "numbers": (
        "1e-4 of eager",
        "test_compile.py",
        "test_compiled_training_is_measured_as_in_eager_mode_and_not_changed",
    ),
    "training": (
        "bit-identical, inductor on the CPU too",
        "test_compile.py",
        "test_inductor_training_is_bit_identical",
    ),
    "cost": (
        "no graph break, no graph added later",
        "test_compile.py",
        "test_no_graph_is_added_once_on_and_off_are_built",
    ),
}
RANKS = ("2e-5 of one process", "test_distributed.py", "test_two_ranks_equal_one_process")

MODES = (
    _mode(
        "plain loop, five norm strategies",
        numbers=("definitions, 1e-5", "test_gradients.py", "test_squares_of_all_sites_sum_to_the_total_norm"),
        training=("bit-identical", "test_harmless.py", "test_training_is_bit_identical"),
        cost=("hooks gone after close", "test_harmless.py", "test_every_hook_is_gone_after_close"),
    ),
    _mode(
        "steps that are not sampled",
        cost=("no operation more", "test_cost.py", "test_a_step_that_is_not_sampled_runs_no_operation_more"),
    ),
    _mode(
        "sampled steps, any depth",
        cost=("the host waits once", "test_cost.py", "test_the_host_waits_once_for_a_sampled_step_and_never_otherwise"),
    ),
    _mode(
        "10,000 steps",
        cost=("memory grows by less than 1 MB", "test_memory.py", "test_memory_is_flat_over_ten_thousand_steps"),
    ),
    _mode(
        "gradient accumulation",
        numbers=("1e-5 of one large batch", "test_steps.py", "test_micro_batches_equal_one_large_batch"),
    ),
    _mode(
        "padding with a mask",
        numbers=("1e-5 of the tokens alone", "test_gradients.py", "test_padding_changes_no_number"),
        cost=("no wait more", "test_cost.py", "test_a_held_out_batch_and_a_mask_add_no_wait"),
    ),
    _mode(
        "clipping through torch",
        numbers=("norms before it, 1e-5", "test_gradients.py", "test_norms_are_those_before_torchs_clipping"),
        training=("bit-identical", "test_harmless.py", "test_training_is_bit_identical"),
        cost=("a few numbers", "test_cost.py", "test_logging_and_clipping_add_a_few_numbers_whatever_the_depth"),
    ),
    _mode(
        "autocast bf16",
        numbers=(
            "in float32",
            "test_precision.py",
            "test_autocast_training_is_bit_identical_and_measured_in_single_precision",
        ),
        training=(
            "bit-identical",
            "test_precision.py",
            "test_autocast_training_is_bit_identical_and_measured_in_single_precision",
        ),
    ),
    _mode(
        "GradScaler, overflow, fused optimizers",
        numbers=(
            "unscaled, 1e-4; dropped steps marked",
            "test_precision.py",
            "test_gradients_are_those_without_loss_scaling",
        ),
        training=("bit-identical", "test_precision.py", "test_loss_scaled_training_is_bit_identical"),
    ),
    _mode(
        "activation checkpointing, reentrant and not",
        numbers=("1e-5, every site once", "test_precision.py", "test_every_site_counts_once_under_checkpointing"),
        training=("same losses", "test_precision.py", "test_every_site_counts_once_under_checkpointing"),
    ),
    _mode("`watch(torch.compile(model))`", **COMPILED),
    _mode("`torch.compile(model)` after `watch`", **COMPILED),
    _mode("`model.compile()`", **COMPILED),
    _mode("every `block.compile()`", **COMPILED),
    _mode(
        "a model that was compiled and has run",
        numbers=("traced again", "test_compile.py", "test_a_model_that_was_compiled_and_ran_before_is_traced_again"),
    ),
    _mode("DDP, the wrapper or the inner model watched", numbers=RANKS),
    _mode("FSDP2 `fully_shard`, before or after `watch`, empty shards", numbers=RANKS),
    _mode("tensor and sequence parallel (DTensor)", numbers=RANKS),
    _mode("a mask and a held-out batch on every rank", numbers=RANKS),
    _mode(
        "a rank whose probe fails, or that skips a layer",
        cost=("nobody waits for it", "test_distributed.py", "test_a_rank_whose_probe_failed_holds_up_nobody"),
    ),
    _mode(
        "stages of a pipeline",
        numbers=("refused", "test_distributed.py", "test_stages_of_a_pipeline_are_refused_on_every_rank"),
    ),
    _mode(
        "several optimizers, evaluation between steps",
        numbers=("exact", "test_steps.py", "test_two_optimizers_make_one_step"),
    ),
    _mode(
        "optimizers that step in the backward",
        numbers=("exact", "test_unusual_loops.py", "test_optimizers_that_step_in_the_backward_make_one_step"),
        training=("same losses", "test_unusual_loops.py", "test_optimizers_that_step_in_the_backward_make_one_step"),
    ),
    _mode(
        "adapters beside frozen weights (LoRA)",
        numbers=("1e-5 of autograd", "test_kinds_of_parameters.py", "test_adapters_beside_frozen_weights"),
    ),
    _mode(
        "tied weights",
        numbers=("counted once, 1e-5", "test_kinds_of_parameters.py", "test_a_tied_weight_counts_once"),
    ),
    _mode(
        "parameters in bytes (quantized), sparse gradients, complex numbers",
        numbers=(
            "bytes left out, else 1e-5",
            "test_kinds_of_parameters.py",
            "test_what_quantization_packed_is_left_out",
        ),
    ),
    _mode(
        "NaN and Inf",
        numbers=(
            "first layer and step, the rest summarised",
            "test_steps.py",
            "test_a_nan_is_found_in_the_layer_and_at_the_step_where_it_begins",
        ),
        training=(
            "same losses",
            "test_steps.py",
            "test_a_nan_is_found_in_the_layer_and_at_the_step_where_it_begins",
        ),
    ),
    _mode(
        "`torch.func` transforms, second derivatives, `torch.export`",
        numbers=("not counted", "test_unusual_loops.py", "test_function_transforms_are_left_alone_and_not_counted"),
        training=("as without", "test_unusual_loops.py", "test_a_second_derivative_is_as_without"),
    ),
    _mode(
        "`nn.DataParallel` over several devices",
        numbers=("refused", "test_unusual_loops.py", "test_copies_of_data_parallel_are_refused_and_told"),
    ),
    _mode(
        "exception in forward or backward, Ctrl-C",
        cost=(
            "hooks gone, others stay",
            "test_left_behind.py",
            "test_every_hook_is_gone_after_an_exception_and_others_stay",
        ),
    ),
    _mode(
        "a failing metric",
        cost=("left out, said once", "test_left_behind.py", "test_every_hook_is_gone_after_a_metric_failed"),
    ),
    _mode(
        "a full disk",
        training=(
            "bit-identical",
            "test_broken_store.py",
            "test_a_disk_that_is_full_to_the_end_is_told_and_changes_nothing",
        ),
        cost=("said once", "test_broken_store.py", "test_a_disk_that_is_full_to_the_end_is_told_and_changes_nothing"),
    ),
    _mode(
        "a writer thread that dies",
        training=("bit-identical", "test_broken_store.py", "test_a_writer_thread_that_died_is_followed_by_another"),
        cost=(
            "started again, said once",
            "test_broken_store.py",
            "test_a_writer_thread_that_died_is_followed_by_another",
        ),
    ),
    _mode(
        "pickle, deepcopy, `torch.save`, `state_dict`",
        training=("as without", "test_harmless.py", "test_state_dict_pickle_deepcopy_and_save_are_as_without"),
    ),
)


def table() -> str:
    """The matrix in Markdown."""
    lines = [f"| how people train | {' | '.join(GUARANTEES)} | tests |", "|---|" + "---|" * (len(GUARANTEES) + 1)]
    for mode in MODES:
        files = sorted({cell.file for cell in mode.cells.values()})
        texts = [mode.cells[name].text if name in mode.cells else "" for name in GUARANTEES]
        lines.append(f"| {' | '.join([mode.name, *texts, ', '.join(files)])} |")
    return "\n".join(lines)


def page_with(text: str) -> str:
    """The page `text` with the table as it should be."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page_with(PAGE.read_text()))
