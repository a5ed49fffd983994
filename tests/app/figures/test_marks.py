"""Phases and resumes, under the figures over training."""

from dataclasses import replace

import pandas as pd
from synthetic import SyntheticRun, make_store

from depthscope.app.figures.loss import LOSS, loss_info
from depthscope.app.figures.marks import Mark, marks_of, with_marks
from depthscope.app.theme import LIGHT
from depthscope.app.view import View
from depthscope.store import Event, RunInfo, open_run, open_store

VIEW = View(runs=("a", "b"))


class Told:
    """A store that knows these events."""

    def __init__(self, *events):
        self._events = pd.DataFrame(events, columns=["run", "step", "kind", "text"])

    def events(self, runs):
        return self._events[self._events.run.isin(runs)]


def frame(*rows):
    return pd.DataFrame(rows, columns=["run", "step", "x"]).assign(
        strategy="pre", low=1.0, high=1.0, last=1.0, nonfinite=0
    )


def test_an_event_lies_in_the_bucket_that_holds_its_step():
    store = Told(("a", 5, "phase", "warm-up ends"), ("a", 10, "resume", "again"), ("b", 99, "phase", "never reached"))
    marked = with_marks(store, VIEW, frame(("a", 4, 40), ("a", 10, 100), ("b", 7, 70)))
    assert marked.mark.tolist() == ["", "warm-up ends; again", ""]
    assert marks_of(marked, 10.0) == (Mark(10.0, "a", "warm-up ends; again"),)


def test_warnings_are_no_marks_and_frames_without_events_have_none():
    store = Told(("a", 1, "warning", "x"))
    assert marks_of(with_marks(store, VIEW, frame(("a", 4, 4))), 1.0) == ()
    assert marks_of(frame(("a", 4, 4)), 1.0) == ()
    assert with_marks(store, VIEW, frame()).mark.tolist() == []


def test_marks_are_drawn_once_each_and_what_they_say_is_text():
    store = Told(("a", 4, "phase", "<b>lr re-warm</b>"), ("b", 7, "phase", "second"))
    info = loss_info(with_marks(store, VIEW, frame(("a", 4, 4), ("b", 7, 7))), VIEW)
    figure = LOSS.draw(info, LIGHT)
    assert [shape.x0 for shape in figure.layout.shapes] == [4, 7]
    texts = [note.text for note in figure.layout.annotations]
    assert texts == ["a: &lt;b&gt;lr re-warm&lt;/b&gt;", "b: second"]


def test_a_loop_that_tells_something_at_every_step_gets_evenly_picked_marks_and_a_sentence():
    told = [("a", step, "phase", f"epoch {step}") for step in range(5000)]
    marked = with_marks(Told(*told), VIEW, frame(*(("a", step, step) for step in range(5000))))
    info = loss_info(marked, VIEW)
    figure = LOSS.draw(info, LIGHT)
    assert [shape.x0 for shape in figure.layout.shapes] == list(range(0, 5000, 50))
    assert [note.text for note in figure.layout.annotations] == [f"epoch {50 * i}" for i in range(12)]
    assert "One in 50 of 5,000 marks of phases and resumes is drawn." in info.note


def test_what_came_before_a_stretch_has_no_mark_in_it():
    store = Told(("a", 3, "phase", "before"), ("a", 6, "phase", "within"), ("b", 6, "phase", "not on screen"))
    marked = with_marks(store, replace(VIEW, zoom=(4.0, 8.0)), frame(("a", 4, 4), ("a", 8, 8)))
    assert marked.mark.tolist() == ["", "within"]


def test_what_a_loop_says_reaches_the_figure(tmp_path):
    make_store(tmp_path / "s", [SyntheticRun("a", "pre")], layers=2, steps=6)
    writer = open_run(tmp_path / "s", RunInfo("a"), resume=True)
    writer.write(Event(3, "phase", "lr re-warm"))
    writer.close()
    view = View(runs=("a",))
    info = LOSS.info(LOSS.query(open_store(tmp_path / "s"), view), view)
    assert [mark.text for mark in info.marks] == ["lr re-warm"]
    assert [note.text for note in LOSS.draw(info, LIGHT).layout.annotations] == ["lr re-warm"]
