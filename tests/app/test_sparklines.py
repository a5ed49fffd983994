from depthscope.app.sparklines import POINTS, sparklines, sparklines_query
from depthscope.app.view import View
from depthscope.store import RunInfo, Step, ingest, open_run, open_store


def test_every_run_has_a_curve_over_all_its_steps(tmp_path):
    for name, count in (("long", 400), ("'short'", 3)):
        writer = open_run(tmp_path / "s", RunInfo(name))
        losses = [float("nan") if step == 0 else float(step) for step in range(count)]
        writer.write(*(Step(step, 0.0, loss=loss) for step, loss in enumerate(losses)))
        writer.close("finished")
    ingest(tmp_path / "s")
    curves = sparklines(sparklines_query(open_store(tmp_path / "s"), View()))
    assert curves["'short'"] == [1.0, 2.0]
    assert len(curves["long"]) == POINTS and curves["long"][-1] == 399.0
    assert curves["long"] == sorted(curves["long"])
