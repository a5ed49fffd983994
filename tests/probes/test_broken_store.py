"""A disk that fills up and a writer that dies: said once, training goes on and ends in the same weights."""

import errno
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest
import torch
from loops import train

from depthscope.probes import watch
from depthscope.sample_runs import build_model
from depthscope.store import open_store

spool = sys.modules["depthscope.store.spool"]


def trained(store_path=None, *, spoil=lambda probe: None, steps=6):
    """Losses and weights of a run, spoiled after its first step; with the warnings that were given."""
    model = build_model("pre", layers=3, width=32, heads=2, vocab=64, seed=1)
    probe = watch(model, store=store_path, run="r", every=1) if store_path else None
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        losses = train(model, 1, probe)
        if probe is not None:
            spoil(probe)
        losses += train(model, steps, probe)
        if probe is not None:
            probe.close()
    return losses, [p.detach().clone() for p in model.parameters()], [str(w.message) for w in told]


def assert_same(left, right):
    assert left[0] == right[0]
    assert all(torch.equal(a, b) for a, b in zip(left[1], right[1], strict=True))


@pytest.fixture
def quick(monkeypatch):
    """The writer looks at its queue all the time."""
    monkeypatch.setattr(spool, "_INTERVAL", 0.0)
    monkeypatch.setattr(spool, "_LONGEST_INTERVAL", 0.0)
    monkeypatch.setattr(spool, "_TICK", 0.001)


def full(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_is_full_to_the_end_is_told_and_changes_nothing(store_path, quick, monkeypatch):
    seen = trained(store_path, spoil=lambda probe: monkeypatch.setattr(spool, "write_segment", full))
    assert_same(seen, trained())
    assert [text.split(" (")[0] for text in seen[2]] == [
        f"depthscope: cannot write to {store_path} now, keeping rows in memory",
        f"depthscope: the last rows of 'r' could not be written to {store_path} and are lost",
    ]


def test_a_disk_that_is_full_for_a_while_costs_nothing_and_leaves_an_event(store_path, quick, monkeypatch):
    write, refusals = spool.write_segment, iter(range(3))

    def full_at_first(*args):
        return full() if next(refusals, None) is not None else write(*args)

    seen = trained(store_path, spoil=lambda probe: monkeypatch.setattr(spool, "write_segment", full_at_first))
    assert_same(seen, trained())
    assert open_store(store_path).steps(runs=["r"]).step.tolist() == list(range(7))
    assert open_store(store_path).events(runs=["r"]).text.str.contains("0 records lost").tolist() == [True]


def test_a_writer_thread_that_died_is_followed_by_another(store_path, quick, monkeypatch):
    alive = spool.RunWriter._due

    def dies(*args):
        monkeypatch.setattr(spool.RunWriter, "_due", alive)
        raise SystemError("killed")

    def kill(probe):
        monkeypatch.setattr(spool.RunWriter, "_due", dies)
        monkeypatch.setattr(threading, "excepthook", lambda args: None)
        probe._writer._thread.join(60)
        assert not probe._writer._thread.is_alive()

    seen = trained(store_path, spoil=kill)
    assert_same(seen, trained())
    assert [text for text in seen[2] if "writer" in text] == [
        "depthscope: the writer thread died and was started again"
    ]
    store = open_store(store_path)
    assert store.steps(runs=["r"]).step.tolist() == list(range(7))
    assert store.runs().status.tolist() == ["finished"]
    assert store.events(runs=["r"]).text.tolist() == ["the writer thread died and was started again"]


ON_A_SMALL_DISK = """
import sys
sys.path.insert(0, sys.argv[2])
import torch
torch.set_num_threads(1)
from loops import train
from depthscope.probes import watch
from depthscope.sample_runs import build_model
model = build_model("pre", layers=3, width=32, heads=2, vocab=64, seed=1)
with watch(model, store=sys.argv[1], run="r", every=1) as probe:
    with open(sys.argv[1] + "/filler", "wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    print(len(train(model, 40, probe)))
"""


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_disk_that_is_really_full(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("this machine mounts no disk")
    try:
        support = str(Path(__file__).parents[1] / "support")
        done = subprocess.run(
            [sys.executable, "-c", ON_A_SMALL_DISK, disk, support], capture_output=True, text=True, timeout=120
        )
    finally:
        subprocess.run(["umount", disk], check=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["40"]
    assert done.stderr.count("depthscope: cannot write to") == done.stderr.count("are lost\n") == 1
