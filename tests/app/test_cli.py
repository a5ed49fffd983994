"""The `depthscope` command: what it prints, its exit statuses, and that no error is ever a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic import SyntheticRun, make_store

from depthscope.app import cli, extras
from depthscope.app.commands import runs as runs_command
from depthscope.app.commands.output import count, jsonable, number
from depthscope.store import open_store, run_table

HOSTILE = "<script>alert(1)</script> [bold]x[/bold] \x1b[31m'; DROP TABLE runs; --"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "runs"
    runs = [SyntheticRun("pre-0", "pre"), SyntheticRun("lns-0", "lns", "failed", 10), SyntheticRun(HOSTILE, "post")]
    make_store(path, runs, layers=8, steps=20)
    return path


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """No store by default, and a wide terminal that is none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DEPTHSCOPE_STORE", raising=False)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def run(capsys):
    """Run the command; gives its exit status, output and errors."""

    def command(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return command


def one_line(errors: str) -> bool:
    return errors.startswith("depthscope: ") and errors.count("\n") == 1 and "Traceback" not in errors


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["runs", "nothing"], "expected a store at"),
            (["runs"], "expected a store at"),
            (["diagnose", "nothing"], "expected a store at"),
            (["report", "nothing", "-o", "r.html"], "expected a store at"),
            (["export", "nothing", "-o", "out"], "expected a store at"),
            (["dashboard", "nothing"], "expected a store at"),
            (["import", "nothing"], "nothing"),
            (["frobnicate"], "No such command 'frobnicate'"),
            (["runs", "--frobnicate"], "No such option"),
            (["report"], "Missing option '--output' / '-o'"),
            (["dashboard", "--port", "0"], "Invalid value for '--port'"),
            (["demo", "--layers", "1"], "Invalid value for '--layers'"),
            (["demo", "--no-dashboard", "--strategies", "pre,nope"], "expected strategies among pre, post"),
            (["runs", "a", "--store", "b"], "expected one store; got a and --store b"),
            (["import", "x", "--rename", "a", "--replace"], "expected --rename or --replace; got both"),
            (["export", "x", "-o", "y", "--to", "abacus"], "Invalid value for '--to'"),
        ],
    )
    def test_are_one_line_and_exit_2(self, run, arguments, said, tmp_path):
        status, out, errors = run(*arguments)
        assert (status, out) == (2, "") and one_line(errors) and said in errors
        assert not list(tmp_path.iterdir()), "something was written"

    def test_a_folder_that_is_no_store(self, run, tmp_path):
        for arguments in (["runs"], ["diagnose"], ["dashboard"], ["report", "-o", "r.html"]):
            status, _, errors = run(*arguments, "--store", tmp_path)
            assert status == 2 and one_line(errors)

    def test_an_unknown_run_gets_a_suggestion(self, run, folder):
        status, _, errors = run("diagnose", folder, "--run", "pre-1")
        assert status == 2 and one_line(errors) and "did you mean 'pre-0'?" in errors

    def test_a_store_without_runs(self, run, tmp_path):
        (tmp_path / "empty" / "spool").mkdir(parents=True)
        status, out, _ = run("runs", "empty")
        assert status == 0 and "No runs yet" in out
        for arguments in (["diagnose", "empty"], ["report", "empty", "-o", "r.html"], ["export", "empty", "-o", "out"]):
            status, _, errors = run(*arguments)
            assert status == 2 and one_line(errors) and "it has none yet" in errors
        assert [path.name for path in tmp_path.iterdir()] == ["empty"]

    def test_a_bug_is_one_line_too_and_debug_shows_it(self, run, folder, monkeypatch):
        def broken(store):
            raise RuntimeError("first line\nsecond line")

        monkeypatch.setattr(runs_command, "run_table", broken)
        status, _, errors = run("runs", folder)
        assert status == 1 and one_line(errors) and "unexpected RuntimeError: first line second line" in errors
        with pytest.raises(RuntimeError):
            cli.main(["--debug", "runs", str(folder)])

    def test_hostile_names_do_not_reach_the_terminal_raw(self, run, folder):
        _, out, _ = run("runs", folder)
        status, diagnosed, _ = run("diagnose", folder, "--run", HOSTILE)
        assert status == 0
        for text in (out, diagnosed):
            assert "[bold]x[/bold]" in text and "\x1b" not in text and "<script>" in text

    def test_ctrl_c_is_no_error(self, run, folder, monkeypatch):
        def interrupted(store):
            raise KeyboardInterrupt

        monkeypatch.setattr(runs_command, "run_table", interrupted)
        assert run("runs", folder) == (130, "", "")


class TestExtras:
    @pytest.mark.parametrize(
        ("arguments", "missing", "line"),
        [
            (["demo"], "torch", "the demo needs torch: pip install 'depthscope[train]'"),
            (["demo"], "streamlit", "the demo's dashboard (or use --no-dashboard) needs streamlit"),
            (["dashboard"], "streamlit", "the dashboard needs streamlit: pip install 'depthscope[app]'"),
            (["report", "-o", "r.html"], "jinja2", "the report needs jinja2: pip install 'depthscope[app]'"),
        ],
    )
    def test_a_missing_one_is_named(self, run, monkeypatch, arguments, missing, line):
        find_spec = extras.find_spec
        monkeypatch.setattr(extras, "find_spec", lambda name: None if name == missing else find_spec(name))
        status, _, errors = run(*arguments)
        assert status == 2 and one_line(errors) and line in errors


class TestRuns:
    def test_the_table_names_every_run(self, run, folder):
        status, out, _ = run("runs", folder)
        assert status == 0
        row = next(line for line in out.splitlines() if line.startswith("lns-0"))
        assert "failed" in row and "NaN" in row and "8" in row

    def test_json_has_the_documented_fields_and_types(self, run, folder):
        status, out, _ = run("runs", folder, "--json")
        rows = {row["run"]: row for row in json.loads(out)}
        assert status == 0 and set(rows) == {"pre-0", "lns-0", HOSTILE}
        for row in rows.values():
            assert tuple(row) == runs_command.FIELDS
        assert rows["lns-0"]["last_loss"] == "NaN" and isinstance(rows["lns-0"]["min_loss"], float)
        assert isinstance(rows["pre-0"]["config"], dict) and isinstance(rows["pre-0"]["n_layers"], int)
        assert rows["pre-0"]["started_at"].endswith("Z")

    def test_the_store_may_come_from_anywhere(self, run, folder, monkeypatch):
        expected = run("runs", folder)
        assert run("runs", "--store", folder) == expected
        assert run("runs", folder, "--store", folder) == expected
        monkeypatch.setenv("DEPTHSCOPE_STORE", str(folder))
        assert run("runs") == expected

    def test_the_default_store_is_in_the_working_folder(self, run, folder, tmp_path):
        (tmp_path / "depthscope-runs").symlink_to(folder)
        assert run("runs")[0] == 0


class TestDiagnose:
    def test_a_critical_finding_exits_3(self, run, folder):
        status, out, _ = run("diagnose", folder)
        assert status == 3 and "✖ critical  Non-finite values" in out and "3 runs: 1 critical" in out

    def test_one_run_alone(self, run, folder):
        status, out, _ = run("diagnose", folder, "--run", "pre-0", "--run", "pre-0")
        assert status == 0 and out.startswith("pre-0") and "lns-0" not in out

    def test_no_line_is_wider_than_the_terminal_or_ends_in_blanks(self, run, folder, monkeypatch):
        monkeypatch.setenv("COLUMNS", "80")
        lines = run("diagnose", folder)[1].splitlines()
        assert lines and all(len(line) <= 80 and line == line.rstrip() for line in lines)

    def test_json_carries_everything(self, run, folder):
        status, out, _ = run("diagnose", folder, "--json")
        found = json.loads(out)
        assert status == 3 and found["format"] == 1 and found["worst"] == "critical"
        assert [entry["run"] for entry in found["runs"]] == ["pre-0", "lns-0", HOSTILE]
        first = found["runs"][1]["findings"][0]
        assert first["name"] == "nonfinite" and first["evidence"]["steps"] == [100, 190]
        assert first["evidence"]["layers"] and first["rule"] and first["source"] and first["advice"]


class TestBundles:
    def test_export_and_import_round_trip(self, run, folder, tmp_path):
        status, _, errors = run("export", folder, "--run", "pre-0", "-o", "bundle")
        assert status == 0 and "Exported 1 run to bundle" in errors
        assert run("import", "bundle", "--store", "copy", "--rename", "again")[0] == 0
        assert list(run_table(open_store(tmp_path / "copy"))["run"]) == ["again"]
        status, _, errors = run("import", "bundle", "--store", "copy", "--rename", "again")
        assert status == 2 and one_line(errors) and "again" in errors
        assert run("import", "bundle", "--store", "copy", "--replace")[0] == 0
        status, _, errors = run("export", folder, "-o", "bundle")
        assert status == 2 and one_line(errors)


class TestProcess:
    """As it is started in a shell."""

    def command(self, *arguments: object, **options) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "depthscope.app", *map(str, arguments)], capture_output=True, text=True, **options
        )

    def test_the_module_is_the_command(self):
        result = self.command("--version")
        assert result.returncode == 0 and result.stdout.startswith("depthscope ") and not result.stderr

    def test_alone_it_explains_itself(self):
        result = self.command()
        assert result.returncode == 0 and "demo" in result.stdout and "diagnose" in result.stdout

    def test_a_closed_pipe_is_no_error(self, folder):
        read, write = os.pipe()
        os.close(read)
        result = subprocess.run(
            [sys.executable, "-m", "depthscope.app", "runs", str(folder)], stdout=write, stderr=subprocess.PIPE
        )
        os.close(write)
        assert result.returncode in (0, 1) and result.stderr == b""  # 1 is rich's way


class TestOutput:
    @pytest.mark.parametrize(
        ("value", "said"), [(None, ""), (1.23456, "1.2346"), (float("nan"), "NaN"), (float("-inf"), "-Inf")]
    )
    def test_numbers(self, value, said):
        assert number(value) == said

    @pytest.mark.parametrize(
        ("value", "said"), [(None, ""), (7, "7"), (999, "999"), (12_345, "12.3k"), (1.5e6, "1.5M"), (7.1e9, "7.1B")]
    )
    def test_counts(self, value, said):
        assert count(value) == said

    def test_json_keeps_nan_and_drops_nothing(self):
        value = {"a": [float("nan"), float("inf"), -float("inf")], "b": None, "c": (1, "x")}
        assert jsonable(value) == {"a": ["NaN", "Infinity", "-Infinity"], "b": None, "c": [1, "x"]}


def test_the_demo_promises_what_it_does(run):
    """The help names the defaults of run_demo, which is not imported for it."""
    import inspect

    from depthscope.sample_runs import run_demo

    usual = {name: parameter.default for name, parameter in inspect.signature(run_demo).parameters.items()}
    out = run("demo", "--help")[1]
    for name in ("layers", "steps", "seed"):
        line = next(line for line in out.splitlines() if f"--{name}" in line)
        assert f"[default: {usual[name]}]" in line
    assert ",".join(usual["strategies"]) in out
