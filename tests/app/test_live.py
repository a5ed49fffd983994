"""The dashboard keeps the spool of a live store short, without starting a process every time it looks."""

from unittest import mock

from depthscope.app import live


def test_a_store_is_folded_once_in_a_while():
    live.keep_folded.clear()
    with mock.patch("depthscope.app.live.start_ingest") as start:
        for _ in range(3):
            live.keep_folded("/runs/a")
        live.keep_folded("/runs/b")
    assert start.call_args_list == [mock.call("/runs/a"), mock.call("/runs/b")]
    live.keep_folded.clear()
