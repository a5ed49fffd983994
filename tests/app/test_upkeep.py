"""`depthscope compact`, `rm`, `rename` and `doctor`: what they do and what they say."""

import json
from pathlib import Path

import pytest
from stores import write_run

from depthscope.app import cli
from depthscope.store import RunInfo, ingest, open_run, open_store


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.delenv("DEPTHSCOPE_STORE", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("depthscope.store.spool.start_ingest", lambda store: None)
    for run in ("a", "b"):
        write_run(tmp_path / "runs", run)
    return tmp_path / "runs"


@pytest.fixture
def run(capsys):
    def command(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return command


def names(folder: Path) -> list[str]:
    return list(open_store(folder).runs()["run"])


def test_compact(run, folder):
    status, out, err = run("compact", folder)
    assert (status, out) == (0, "")
    assert err.startswith("4 segments folded in; ")
    assert not list((folder / "spool").glob("0?*-*-*.parquet"))


def test_rm(run, folder):
    assert run("rm", "a", "b", "--store", folder)[::2] == (
        0,
        "Removed 2 runs; `depthscope compact` gives the space back.\n",
    )
    assert names(folder) == []


def test_rename(run, folder):
    assert run("rename", "a", "c", "--store", folder)[::2] == (0, "Renamed 'a' to 'c'.\n")
    assert names(folder) == ["c", "b"]


def test_a_running_run_is_refused(run, folder):
    writer = open_run(folder, RunInfo("live"))
    for command in (["rm", "live"], ["rename", "live", "c"]):
        status, _, err = run(*command, "--store", folder)
        assert status == 2 and "'live' is running; end it first" in err and err.count("\n") == 1
    writer.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rm", "nobody"], "got 'nobody'"),
        (["rename", "a", "b"], "'b' is taken"),
        (["rename", "a"], "Missing argument 'NEW'"),
        (["rm"], "Missing argument 'RUN...'"),
    ],
)
def test_errors_are_one_line(run, folder, arguments, said):
    status, out, err = run(*arguments, "--store", folder)
    assert (status, out) == (2, "") and said in err and err.count("\n") == 1
    assert names(folder) == ["a", "b"]


@pytest.mark.parametrize("command", ["compact", "doctor"])
def test_no_store(run, tmp_path, command):
    status, out, err = run(command, tmp_path / "none")
    assert (status, out) == (2, "") and "expected a store at" in err


def test_doctor(run, folder):
    ingest(folder)
    status, out, err = run("doctor", folder)
    assert (status, err) == (0, "") and "2 runs own their names" in out
    status, out, _ = run("doctor", folder, "--json")
    checks = json.loads(out)
    assert {check["state"] for check in checks} == {"ok"}
    assert list(checks[0]) == ["name", "state", "said", "advice"]


def test_doctor_repairs(run, folder):
    ingest(folder)
    write_run(folder, "c")
    (folder / "depthscope.duckdb").write_bytes(b"not a database" * 999)
    status, out, _ = run("doctor", folder)
    assert status == 3 and "damaged" in out and "doctor --repair" in out
    assert run("doctor", folder, "--repair")[0] == 0
    assert names(folder) == ["c"]
    assert "The database is not damaged." in run("doctor", folder, "--repair")[2]
