"""The face: what it names, and that the recorded runs are found on a machine without torch."""

import subprocess
import sys
from pathlib import Path

import pytest

import depthscope.sample_runs
from depthscope.sample_runs.recorded import recorded_bundles

FORBID = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, Absent())
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_every_name_of_the_face_is_there() -> None:
    assert depthscope.sample_runs.__all__ == sorted(depthscope.sample_runs.__all__)
    assert all(getattr(depthscope.sample_runs, name) is not None for name in depthscope.sample_runs.__all__)
    assert dir(depthscope.sample_runs) == depthscope.sample_runs.__all__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = depthscope.sample_runs.nothing


def test_recorded_runs_are_found_without_torch() -> None:
    done = run(FORBID + "from depthscope.sample_runs import recorded_bundles\nprint(len(recorded_bundles()))")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(recorded_bundles())


@pytest.mark.parametrize("name", ["STRATEGIES", "build_model", "run_demo"])
def test_without_torch_the_rest_names_the_extra(name: str) -> None:
    done = run(FORBID + f"from depthscope.sample_runs import {name}")
    assert done.stderr.splitlines()[-1].endswith(
        f"expected PyTorch for sample_runs.{name}, but it is not installed: pip install 'depthscope[train]'"
    )


def test_no_dashboard_library_is_loaded() -> None:
    done = run("import sys, depthscope.sample_runs as s; [getattr(s, n) for n in s.__all__]; print(*sys.modules)")
    assert done.returncode == 0, done.stderr
    assert not {"streamlit", "plotly"} & set(done.stdout.split())


def test_a_bundle_is_a_folder_with_parquet_files(tmp_path: Path) -> None:
    for name in ("b", "a", "empty"):
        (tmp_path / name).mkdir()
    for name in ("b", "a"):
        (tmp_path / name / "runs.parquet").touch()
    (tmp_path / "record.py").touch()
    assert recorded_bundles(tmp_path) == [tmp_path / "a", tmp_path / "b"]
