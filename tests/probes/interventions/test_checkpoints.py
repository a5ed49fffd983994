"""Saved weights measured as steps of a run: every kind of file, added to a run, taken up again."""

import pytest
import torch
from families import FAMILIES
from stores import write_run
from torch import nn

from depthscope.probes import Watcher, as_holdout, evaluate_checkpoints, read_holdout
from depthscope.probes.checkpoints import steps_of
from depthscope.probes.interventions import sequence_losses
from depthscope.sample_runs import build_model
from depthscope.store import DepthscopeError, open_store

IDS = torch.randint(64, (6, 12), generator=torch.Generator().manual_seed(3))


def small(seed: int = 1) -> nn.Module:
    return build_model("pre", layers=3, width=32, heads=2, vocab=64, seed=seed)


@pytest.fixture
def saved(tmp_path):
    """The same weights in every kind of file, by what wraps them."""
    from safetensors.torch import save_file

    state = small(seed=7).state_dict()
    torch.save(state, tmp_path / "plain-3.pt")
    torch.save({"state_dict": {f"module.{name}": t for name, t in state.items()}}, tmp_path / "wrapped-3.pt")
    save_file(state, tmp_path / "safe-3.safetensors")
    return tmp_path


@pytest.mark.parametrize("name", ["plain-3.pt", "wrapped-3.pt", "safe-3.safetensors"])
def test_files_of_weights_are_measured(saved, store_path, name):
    found = evaluate_checkpoints([saved / name], small, IDS, store=store_path, run="r", only="skip")
    assert (found.steps, found.failed) == ((3,), ())
    store = open_store(store_path)
    expected = sequence_losses(small(seed=7), as_holdout(IDS)).mean
    assert store.scalars(name="holdout_loss").value[0] == pytest.approx(expected, rel=1e-6)
    assert list(store.interventions().layer) == [1, 2, 3]
    assert store.runs().iloc[0][["strategy", "n_layers", "status", "last_step"]].tolist() == ["pre", 3, "finished", 3]
    assert len(store.layers()) == 3


def test_a_hugging_face_folder_needs_no_function(tmp_path, store_path):
    model = FAMILIES["gpt2"].build()  # its head is tied to the embedding: a file has it once
    model.save_pretrained(tmp_path / "checkpoint-50")
    ids_BT = torch.randint(97, (4, 9))
    for build, run in ((None, "own"), (FAMILIES["gpt2"].build, "built")):
        evaluate_checkpoints([tmp_path / "checkpoint-50"], build, ids_BT, store=store_path, run=run, only="skip")
    losses = open_store(store_path).scalars(name="holdout_loss")
    expected = sequence_losses(model, as_holdout(ids_BT)).mean
    assert losses.value.tolist() == pytest.approx([expected] * 2, rel=1e-6)
    assert set(losses.step) == {50}


def test_rows_are_added_to_a_finished_run_and_the_same_call_goes_on(saved, store_path):
    write_run(store_path, "r", steps=range(5))
    before = open_store(store_path).layer_stats(), open_store(store_path).runs().status[0]
    torch.save(small().state_dict(), saved / "plain-0.pt")
    paths = {0: saved / "plain-0.pt", 3: saved / "plain-3.pt"}
    assert evaluate_checkpoints({3: paths[3]}, small, IDS, store=store_path, run="r", only="skip").steps == (3,)
    seen: list[int] = []
    watcher = Watcher(lambda step, left, estimate: seen.append(step))
    how = {"store": store_path, "run": "r", "watcher": watcher}
    again = evaluate_checkpoints(paths, small, IDS, only="skip", **how)
    assert (again.steps, again.skipped, seen) == ((0,), (3,), [0])
    more = evaluate_checkpoints(paths, small, IDS, only=["skip", "repeat"], **how)
    assert more.steps == (0, 3)
    store = open_store(store_path)
    assert store.layer_stats().equals(before[0])
    assert store.runs().status.tolist() == [before[1]]
    counts = store.interventions().groupby(["step", "action"]).size().to_dict()
    assert counts == {(step, action): 3 for step in (0, 3) for action in ("skip", "repeat")}


def test_a_run_of_checkpoints_grows(saved, store_path):
    for step in (3, 8, 5):
        evaluate_checkpoints({step: saved / "plain-3.pt"}, small, IDS, store=store_path, run="r", only="skip")
    store = open_store(store_path)
    assert sorted(set(store.interventions().step)) == [3, 5, 8]
    assert store.runs().last_step.tolist() == [8]


def test_what_was_measured_before_an_interrupt_is_kept(saved, store_path):
    calls = []

    def stop(step, left, estimate):
        calls.append(step)
        if len(calls) == 2:
            raise KeyboardInterrupt

    paths = {1: saved / "plain-3.pt", 2: saved / "plain-3.pt"}
    how = {"store": store_path, "run": "r", "only": "skip"}
    with pytest.raises(KeyboardInterrupt):
        evaluate_checkpoints(paths, small, IDS, watcher=Watcher(stop), **how)
    assert evaluate_checkpoints(paths, small, IDS, **how).steps == (2,)


@pytest.mark.parametrize(
    ("names", "steps", "found"),
    [
        (["step-500.pt", "run2/step-20.pt"], None, [500, 20]),
        (["checkpoint-7"], None, [7]),
        (["final.pt"], None, [0]),
        (["a.pt", "b.pt"], [3, 4], [3, 4]),
    ],
)
def test_steps_are_given_or_in_the_names(names, steps, found):
    assert list(steps_of(names, steps)) == found


@pytest.mark.parametrize(("names", "steps"), [(["a.pt", "b.pt"], None), (["a1.pt", "b1.pt"], None), (["a.pt"], [1, 2])])
def test_unclear_steps_are_an_error(names, steps):
    with pytest.raises(DepthscopeError, match="--step"):
        steps_of(names, steps)


def test_errors_are_one_line_and_make_no_run(saved, store_path, tmp_path):
    (tmp_path / "text-1.pt").write_text("no weights")
    torch.save({"a": 1}, tmp_path / "other-1.pt")
    deeper = lambda: build_model("pre", layers=4, width=32, heads=2, vocab=64)  # noqa: E731
    wider = lambda: build_model("pre", layers=3, width=64, heads=2, vocab=64)  # noqa: E731
    cases = [
        (tmp_path / "none-1.pt", small, IDS, "found no"),
        (tmp_path / "text-1.pt", small, IDS, "cannot be read"),
        (tmp_path / "other-1.pt", small, IDS, "state_dict"),
        (saved / "plain-3.pt", None, IDS, "--model"),
        (saved / "plain-3.pt", deeper, IDS, "missing"),
        (saved / "plain-3.pt", wider, IDS, "size mismatch"),
        (saved / "plain-3.pt", small, IDS + 64, "token ids"),
        (saved / "plain-3.pt", lambda: 3, IDS, "torch module"),
    ]
    for path, build, ids_BT, message in cases:
        with pytest.raises(DepthscopeError, match=message) as refused:
            evaluate_checkpoints([path], build, ids_BT, store=store_path, run="r")
        assert "\n" not in str(refused.value)
    assert not store_path.exists()


def test_pickles_are_not_run(tmp_path, store_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "pwned"), "w"))

    torch.save({"w": Evil()}, tmp_path / "evil-1.pt")
    with pytest.raises(DepthscopeError, match="cannot be read"):
        evaluate_checkpoints([tmp_path / "evil-1.pt"], small, IDS, store=store_path)
    assert not (tmp_path / "pwned").exists()


def test_held_out_data_comes_from_ids_or_text(tmp_path):
    import numpy as np

    torch.save(IDS, tmp_path / "ids.pt")
    np.save(tmp_path / "ids.npy", IDS.numpy())
    for name in ("ids.pt", "ids.npy"):
        assert torch.equal(torch.cat(read_holdout(tmp_path / name).batches), IDS)
    (tmp_path / "text.txt").write_text("hé" * 100, encoding="utf-8")
    batches = read_holdout(tmp_path / "text.txt", tokens=60, length=30).batches
    assert [list(b.shape) for b in batches] == [[2, 30]]
    assert bytes(batches[0][0, :3].tolist()).decode() == "hé"
    words = read_holdout(tmp_path / "text.txt", length=50, encode=lambda text: list(range(len(text))))
    assert words.batches[0][0].tolist() == list(range(50))


@pytest.mark.parametrize("content", [b"", b"short", b"\xff\xfe" * 400])
def test_data_that_is_no_text_is_refused(tmp_path, content):
    (tmp_path / "data.txt").write_bytes(content)
    encode = None if len(content) < 10 else lambda text: [0] * len(text)
    with pytest.raises(DepthscopeError, match="expected"):
        read_holdout(tmp_path / "data.txt", encode=encode)


def test_floats_and_missing_files_are_refused(tmp_path):
    torch.save(torch.zeros(3, 4), tmp_path / "floats.pt")
    for name in ("floats.pt", "none.pt", "none.txt"):
        with pytest.raises(DepthscopeError, match="expected"):
            read_holdout(tmp_path / name)
