import json
from pathlib import Path
from unittest import mock

import pytest

from depthscope.store import RunMissing, RunNameTaken
from depthscope.store.claims import attempts_of, claim, is_claimed, join, new_ulid, newest, release


def test_a_ulid_is_the_time_and_chance() -> None:
    with (
        mock.patch("time.time_ns", return_value=1_469_918_176_385_000_000),
        mock.patch("secrets.randbits", return_value=0),
    ):
        # The example of the specification: its time and no chance.
        assert new_ulid() == "01ARYZ6S41" + "0" * 16


def test_ulids_sort_even_when_the_clock_goes_back() -> None:
    first = new_ulid()
    with mock.patch("time.time_ns", return_value=0):
        second = new_ulid(first)
    assert first < second
    assert len(second) == 26


def test_a_name_is_claimed_once(tmp_path: Path) -> None:
    made = claim(tmp_path, "a")
    assert [a.from_step for a in made] == [0]
    with pytest.raises(RunNameTaken, match="the run name 'a' is taken"):
        claim(tmp_path, "a")
    assert attempts_of(tmp_path, "a") == made


def test_attempts_add_up(tmp_path: Path) -> None:
    first = claim(tmp_path, "a")
    with mock.patch("time.time_ns", return_value=0):
        second = join(tmp_path, "a", [7])
    assert attempts_of(tmp_path, "a") == [*first, *second]
    assert newest(tmp_path, "a") == second[0]
    assert second[0].from_step == 7


def test_joining_needs_no_earlier_attempt_but_ranks_do(tmp_path: Path) -> None:
    with pytest.raises(RunMissing, match="open it there first"):
        newest(tmp_path, "a")
    made = join(tmp_path, "a", [0])
    assert newest(tmp_path, "a") == made[0]


def test_a_claim_cut_short_holds_the_name(tmp_path: Path) -> None:
    claim(tmp_path, "a")
    next(tmp_path.iterdir()).write_text("")
    with pytest.raises(RunNameTaken):
        claim(tmp_path, "a")
    assert attempts_of(tmp_path, "a") == []
    assert join(tmp_path, "a", [0])[0].run == "a"


def test_a_released_name_is_free(tmp_path: Path) -> None:
    claim(tmp_path, "a")
    release(tmp_path, "a")
    assert not is_claimed(tmp_path, "a")


def test_file_names_do_not_carry_the_run(tmp_path: Path) -> None:
    claim(tmp_path, "../../etc/passwd")
    (file,) = tmp_path.iterdir()
    assert file.suffix == ".json"
    assert len(file.stem) == 64
    assert json.loads(file.read_text())["run"] == "../../etc/passwd"
