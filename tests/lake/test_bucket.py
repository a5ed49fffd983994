"""A lake whose Parquet files lie in a bucket: of a server in this process that speaks S3."""

import importlib.util
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import pytest
from deliveries import REQUIRED, hostile, rows
from stores import write_run

from depthscope.store import Delivery, DepthscopeError, StoreBusy, deliver, ingest, open_store
from depthscope.store.targets.extensions import ExtensionMissing, load

pytestmark = pytest.mark.usefixtures("started")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The address of a server with the bucket `team`."""
    if importlib.util.find_spec("moto") is None:
        missing = "no S3 server: pip install 'moto[s3]' flask flask-cors"
        pytest.fail(missing) if REQUIRED else pytest.skip(missing)
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    request = urllib.request.Request(f"http://{host}:{port}/team", method="PUT")
    with urllib.request.urlopen(request, timeout=60):
        pass
    yield f"{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint, tmp_path, monkeypatch) -> str:
    """A folder of the bucket, which DuckDB knows how to reach as a user tells it: by a persistent secret."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with closing(duckdb.connect()) as connection:
        load(connection, "httpfs")
        connection.execute(
            "CREATE PERSISTENT SECRET team (TYPE s3, KEY_ID 'me', SECRET 'not to be shown', "
            f"ENDPOINT '{endpoint}', URL_STYLE 'path', USE_SSL false, SCOPE 's3://team')"
        )
    return "s3://team/lake of ours"


def filled(store: Path) -> Path:
    """More rows of a run than a lake keeps in its catalog, where the first few of a table stay."""
    hostile(store)
    write_run(store, "long", range(50))
    return store


def test_a_lake_in_a_bucket_answers_as_a_store_does(url, bucket, endpoint, tmp_path):
    assert deliver(filled(tmp_path / "s"), url, bucket).folded == 6
    assert deliver(tmp_path / "s", url) == Delivery()
    with urllib.request.urlopen(f"http://{endpoint}/team", timeout=60) as listed:
        assert b".parquet" in listed.read()
    ingest(filled(tmp_path / "own"))
    lake, own = open_store(url), open_store(tmp_path / "own")
    assert {table: len(frame) for table, frame in rows(lake).items()} == {t: len(f) for t, f in rows(own).items()}
    assert lake.steps().loss.tolist() == own.steps().loss.tolist()


def test_nothing_else_of_the_bucket_is_read_and_no_secret_is_shown(url, bucket, tmp_path):
    deliver(filled(tmp_path / "s"), url, bucket)
    lake = open_store(url)
    with pytest.raises(DepthscopeError):
        lake.sql("SELECT * FROM read_text('s3://team/other/*')")
    with pytest.raises(DepthscopeError):
        lake.sql("SELECT * FROM read_text('s3://elsewhere/x')")
    assert "not to be shown" not in lake.sql("SELECT * FROM duckdb_secrets()").to_string()


def test_a_bucket_without_httpfs_says_how_to_get_it(url, bucket, tmp_path, monkeypatch):
    filled(tmp_path / "s")
    found = importlib.util.find_spec
    with monkeypatch.context() as patch:
        patch.setattr(
            importlib.util, "find_spec", lambda name: None if name == "duckdb_extension_httpfs" else found(name)
        )
        with pytest.raises(ExtensionMissing) as missing:
            deliver(tmp_path / "s", url, bucket)
    assert "pip install 'duckdb==1.5.5' 'duckdb-extension-httpfs==1.5.5'" in str(missing.value)
    assert "\n" not in str(missing.value)
    assert deliver(tmp_path / "s", url, bucket).folded == 6, "nothing was lost, nothing half made"


def test_a_bucket_that_is_not_there_is_one_line(url, bucket, tmp_path):
    with pytest.raises(StoreBusy) as absent:
        deliver(filled(tmp_path / "s"), url, bucket.replace("team", "team-of-others"))
    assert "bucket does not exist" in str(absent.value)
    assert "\n" not in str(absent.value)
    assert open_store(tmp_path / "s").layer_stats().groupby("run").size().to_dict() == {"it's <b>": 3, "long": 100}
