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


@pytest.mark.parametrize(("busy", "least"), [(False, 1), (True, live.WORTH_FOLDING)])
def test_a_store_is_folded_once_in_a_while(busy, least, monkeypatch):
    monkeypatch.setattr(live, "all_cores_busy", lambda: busy)
    live.keep_folded.clear()
    with mock.patch("depthscope.app.live.start_ingest") as start:
        for _ in range(3):
            live.keep_folded("/runs/a")
        live.keep_folded("/runs/b")
    assert start.call_args_list == [mock.call(store, at_least=least) for store in ("/runs/a", "/runs/b")]
    live.keep_folded.clear()


def test_the_first_look_after_the_reader_did_something_is_soon(monkeypatch):
    monkeypatch.setattr(live.st, "session_state", state := {})
    assert live._usual(4.0) is None
    for cost, usual in [(0.2, 0.2), (3.0, 1.6), (0.4, 0.4), (0.6, 0.6)]:
        state["_followed"] = True
        assert live._usual(cost) == pytest.approx(usual)
    assert live._usual(4.0) is None
    state["_followed"] = True
    assert live._usual(0.5) == 0.5
