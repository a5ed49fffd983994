"""What the report page hands out is what the command line writes."""

import io
import json
import zipfile

import pandas as pd

from depthscope.app.downloads import csv_zip, html_report, json_report, parquet_zip
from depthscope.app.report import Wishes, write_report
from depthscope.store import import_bundle, open_store

FEW = Wishes(sections=("findings", "notes", "loss"), notes="# Mine")


def test_the_report_is_that_of_the_command(five, tmp_path):
    write_report(five, ["pre-0"], tmp_path / "r.html", wishes=FEW)
    assert html_report(five, ["pre-0"], FEW) == (tmp_path / "r.html").read_bytes()
    told = json.loads(json_report(five, ["pre-0"], FEW))
    assert told["notes"] == "# Mine" and [part["name"] for part in told["sections"]] == ["loss"]


def test_the_bundle_comes_in_again(five, tmp_path):
    content = parquet_zip(five, ["pre-0", "post-0"])
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(tmp_path)
    import_bundle(tmp_path / "depthscope-runs", tmp_path / "store")
    assert set(open_store(tmp_path / "store").runs()["run"]) == {"pre-0", "post-0"}


def test_the_tables_hold_the_runs_that_were_chosen(five):
    with zipfile.ZipFile(io.BytesIO(csv_zip(five, ["pre-0"]))) as archive:
        tables = {name: pd.read_csv(archive.open(name)) for name in archive.namelist()}
    assert set(tables["depthscope-runs/interventions.csv"]["run"]) == {"pre-0"}
    assert {name.rpartition("/")[2] for name in tables} >= {"runs.csv", "layer_stats.csv", "sparsity.csv"}
