"""Runs for people whose home is elsewhere: the same numbers, by layer."""

import sys

import pandas as pd
import pytest
from synthetic import SyntheticRun, make_store

from depthscope.app import cli
from depthscope.app.exporters.series import series_rows
from depthscope.store import open_store


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "runs"
    make_store(path, [SyntheticRun("pre-0", "pre"), SyntheticRun("a/b <i>", "post")], layers=4, steps=6)
    return path


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run the command in an empty folder; gives its exit status, output and errors."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return command


def hide(monkeypatch, package):
    """As if `package` were not installed."""
    for name in [package, *(name for name in sys.modules if name.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, name, None)


def expected(folder, run):
    """(step, tag) -> value of one metric, straight from the store."""
    rows = open_store(folder).layer_stats(runs=[run], site="resid_post", columns=["variance"]).dropna(subset="variance")
    return {
        (row.step, f"{row.phase}/resid_post/variance/{row.stack}/layer_{row.layer:03d}"): row.variance
        for row in rows.itertuples()
    }


def test_series_name_every_layer_and_keep_every_value(folder):
    rows = list(series_rows(open_store(folder), "pre-0"))
    assert [step for step, _, _ in rows] == sorted(step for step, _, _ in rows)
    found = {(step, tag): value for step, _, values in rows for tag, value in values.items()}
    wanted = expected(folder, "pre-0")
    assert wanted and wanted.items() <= found.items()
    losses = open_store(folder).steps(runs=["pre-0"]).dropna(subset="loss")
    assert {(row.step, "step/loss"): row.loss for row in losses.itertuples()}.items() <= found.items()


def test_csv_holds_every_table(run, folder, tmp_path):
    status, _, errors = run("export", folder, "--run", "pre-0", "--to", "csv", "-o", "out")
    assert status == 0 and "Exported 1 run to out" in errors
    stats = pd.read_csv(tmp_path / "out" / "layer_stats.csv")
    assert set(stats.run) == {"pre-0"}
    assert len(stats) == len(open_store(folder).layer_stats(runs=["pre-0"]))
    assert pd.read_csv(tmp_path / "out" / "runs.csv").run.tolist() == ["pre-0"]
    status, _, errors = run("export", folder, "--to", "csv", "-o", "out")
    assert status == 2 and "expected a new folder to export to" in errors


def test_a_missing_tensorboard_is_one_line(run, folder, monkeypatch):
    hide(monkeypatch, "tensorboard")
    status, _, errors = run("export", folder, "--to", "tensorboard", "-o", "out")
    assert status == 2
    assert errors.splitlines() == [
        "depthscope: export --to tensorboard needs tensorboard: pip install 'depthscope[tensorboard]'"
    ]


def test_a_missing_wandb_is_one_line(run, folder, monkeypatch):
    hide(monkeypatch, "wandb")
    status, _, errors = run("export", folder, "--to", "wandb", "-o", "out")
    assert status == 2
    assert errors.splitlines() == ["depthscope: export --to wandb needs wandb: pip install 'depthscope[wandb]'"]


def test_tensorboard_reads_back_what_was_stored(run, folder, tmp_path):
    assert run("export", folder, "--to", "tensorboard", "-o", "out")[0] == 0
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    [place] = (tmp_path / "out").glob("*-pre-0")
    [file] = place.iterdir()
    found = {
        (event.step, value.tag): value.tensor.float_val[0]
        for event in EventFileLoader(str(file)).Load()
        for value in event.summary.value
    }
    for key, value in expected(folder, "pre-0").items():
        assert found[key] == pytest.approx(value, rel=1e-6)


def test_wandb_writes_an_offline_run_for_each(run, folder, tmp_path):
    assert run("export", folder, "--run", "pre-0", "--to", "wandb", "-o", "out")[0] == 0
    [place] = (tmp_path / "out" / "wandb").glob("offline-run-*")
    [file] = place.glob("run-*.wandb")
    assert b"resid_post/variance" in file.read_bytes()
