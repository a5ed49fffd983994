"""The dashboard keeps the spool of a live store short, without starting a process every time it looks."""

from unittest import mock

import pytest

from depthscope.app import live


@pytest.mark.parametrize(("cost", "seconds"), [(0.0, 2.0), (0.15, 3.0), (4.0, 5.0)])
def test_the_more_a_page_costs_the_rarer_it_is_drawn(cost, seconds):
    assert live.rest(cost) == pytest.approx(seconds)


def test_a_store_is_folded_once_in_a_while():
    live.keep_folded.clear()
    with mock.patch("depthscope.app.live.start_ingest") as start:
        for _ in range(3):
            live.keep_folded("/runs/a")
        live.keep_folded("/runs/b")
    assert start.call_args_list == [mock.call("/runs/a"), mock.call("/runs/b")]
    live.keep_folded.clear()
