"""Targets elsewhere, as far as they can be tested without one; tests/lake has a real one."""

import importlib.util
from pathlib import Path

import duckdb
import pytest
from stores import write_run

from depthscope.store import DepthscopeError, compact, ingest, open_store, target_url
from depthscope.store.targets.extensions import ExtensionMissing, load


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("runs", None),
        ("/data/ducklake", None),
        ("ducklake:postgres:dbname=lake host=db", "ducklake:postgres:dbname=lake host=db"),
        (Path("ducklake:postgres:postgresql://db/lake"), "ducklake:postgres:postgresql://db/lake"),
        (Path("ducklake:metadata.ducklake"), "ducklake:metadata.ducklake"),
        ("quack://host:9494", "quack:host:9494"),
        (Path("quack://host:9494/"), "quack:host:9494"),
    ],
)
def test_what_is_a_target(given, expected):
    assert target_url(given) == expected


@pytest.mark.parametrize(
    "url", ["ducklake:postgres:dbname=lake PASSWORD = x", "ducklake:postgres:postgresql://me:x@db/lake"]
)
def test_a_password_in_a_target_is_refused_and_not_repeated(url):
    with pytest.raises(DepthscopeError, match=r"without a password.*PGPASSWORD or use ~/.pgpass") as error:
        open_store(url)
    assert "x@db" not in str(error.value)


@pytest.mark.parametrize("url", ["postgres:dbname=lake", "s3://bucket/runs", "quack://host", "quack://me:x@host:1"])
def test_other_urls_are_refused(url):
    with pytest.raises(DepthscopeError, match="expected a folder, ducklake:postgres:dbname=NAME or quack://HOST:PORT"):
        target_url(url)


def test_a_folder_may_have_a_colon_in_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(Path("runs:old"))
    assert target_url("runs:old") is None
    assert len(open_store("runs:old").layer_stats()) == 6


def test_a_missing_extension_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with duckdb.connect() as connection, pytest.raises(ExtensionMissing) as error:
        load(connection, "no_such_extension")
    assert "pip install 'duckdb==1.5.5' 'duckdb-extension-no-such-extension==1.5.5'" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_store_that_is_delivered_elsewhere_is_not_folded_here(root):
    write_run(root)
    (root / "target").write_text("ducklake:postgres:dbname=lake\n")
    assert ingest(root).skipped == f"the segments of {root} go to ducklake:postgres:dbname=lake"
    with pytest.raises(DepthscopeError, match="expected a store with rows of its own"):
        compact(root)
    assert len(list((root / "spool").glob("*.parquet"))) == 3
    assert len(open_store(root).layer_stats()) == 6
