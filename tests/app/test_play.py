from depthscope.app.play import FRAMES, next_stop


def test_play_goes_from_stop_to_stop_and_ends_at_the_newest():
    assert next_stop((0, 10, 20), None) == 0
    assert next_stop((0, 10, 20), 0) == 10
    assert next_stop((0, 10, 20), 10) is None


def test_long_trainings_play_in_few_frames():
    steps, now, frames = tuple(range(1000)), 0, 0
    while now is not None:
        now, frames = next_stop(steps, now), frames + 1
    assert FRAMES - 2 <= frames <= FRAMES + 2
