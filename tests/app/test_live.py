"""The dashboard keeps the spool of a live store short, without starting a process every time it looks."""

from unittest import mock

import pytest

from depthscope.app import live


@pytest.mark.parametrize(
    ("cost", "cores", "free", "busy"),
    [(0.0, 2, 2.0, 2.0), (0.06, 2, 3.0, 3.0), (0.4, 2, 5.0, 20.0), (0.4, 16, 2.5, 2.5), (4.0, 2, 5.0, 60.0)],
)
def test_the_more_of_a_machine_a_page_takes_the_rarer_it_is_drawn(cost, cores, free, busy):
    assert live.rest(cost, cores, busy=False) == pytest.approx(free)
    assert live.rest(cost, cores, busy=True) == pytest.approx(busy)


@pytest.mark.parametrize(("load", "busy"), [(1.9, False), (2.0, True)])
def test_cores_are_busy_when_as_many_processes_want_them(load, busy, monkeypatch):
    monkeypatch.setattr(live.os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(live.os, "cpu_count", lambda: 2)
    assert live.all_cores_busy() is busy


def test_a_store_is_folded_once_in_a_while():
    live.keep_folded.clear()
    with mock.patch("depthscope.app.live.start_ingest") as start:
        for _ in range(3):
            live.keep_folded("/runs/a")
        live.keep_folded("/runs/b")
    assert start.call_args_list == [mock.call("/runs/a"), mock.call("/runs/b")]
    live.keep_folded.clear()
