"""The stretch of the training that was zoomed into."""

import pytest
import streamlit as st

from depthscope.app.stretch import ZOOM, choose_stretch, rounded, stretch_words


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        ((998.2317, 1399.71), (998.0, 1400.0)),
        ((0.123456, 0.2), (0.1234, 0.2)),
        ((-3.7, 90210.0), (-100.0, 90300.0)),
        ((1.234567e9, 2.345678e9), (1.23e9, 2.35e9)),
    ],
)
def test_the_ends_are_told_in_few_digits_outwards(ends, told):
    assert rounded(ends) == pytest.approx(told)


@pytest.mark.parametrize("ends", [(), (1.0,), (2.0, 1.0), (1.0, float("inf")), (float("nan"), 1.0), (1.0, 1.0)])
def test_what_is_no_stretch_is_all_of_it(ends, monkeypatch):
    session = {ZOOM: (1.0, 2.0)}
    monkeypatch.setattr(st, "session_state", session)
    choose_stretch(ends)
    assert session[ZOOM] == ()


def test_a_stretch_is_told_in_the_units_of_its_axis():
    assert stretch_words("step", (1000.0, 2000.0)) == "Zoomed into: optimizer step 1,000 to 2,000."
    assert stretch_words("wall_time", (3600.0, 14400.0)) == "Zoomed into: time since the first step (h) 1 to 4."
