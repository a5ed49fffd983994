"""Nothing of ours prints: at a prompt and in notebooks DuckDB draws a progress bar, into the output of a training."""

from pathlib import Path

from stores import script, write_run

from depthscope.store import ingest


def test_connections_draw_no_progress_bar(root: Path) -> None:
    write_run(root)
    ingest(root)
    command = """
        import sys, duckdb
        from pathlib import Path
        from depthscope.store import spool
        from depthscope.store.connect import Deadline, opened

        def draws(connection):
            return connection.execute("SELECT current_setting('enable_progress_bar')").fetchall()[0][0]

        found = [draws(duckdb.connect()), draws(spool._connect())]
        for path in (None, Path(sys.argv[1])):
            with opened(path, Deadline(1.0), read_only=True) as connection:
                found.append(draws(connection))
        print(found)
    """
    assert script(command, root / "depthscope.duckdb").stdout == "[True, False, False, False]\n"
