"""One worker for small files that are at hand, all of them for what is large or slow."""

from __future__ import annotations

import pytest

from file_watcher.processing.parallel import STUCK_SECONDS, Parallelism

QUICK, SLOW = 0.0001, 0.002
SMALL, LARGE = 500, 700_000


class Desk:
    """A clock, and files that one worker does one after the other."""

    def __init__(self) -> None:
        self.now = 100.0
        self.parallelism = Parallelism()

    def do(self, seconds: float, bytes_read: int, times: int = 1) -> None:
        for _ in range(times):
            began = self.now
            self.parallelism.begin(began)
            self.now += seconds
            self.parallelism.end(began, self.now, bytes_read)


def test_small_files_at_hand_are_left_to_one() -> None:
    desk = Desk()
    assert desk.parallelism.may_begin(desk.now)
    desk.do(QUICK, SMALL, 1000)
    assert desk.parallelism.is_alone


def test_one_large_file_is_enough_for_all_to_work() -> None:
    desk = Desk()
    desk.do(QUICK, LARGE)
    assert not desk.parallelism.is_alone


def test_a_slow_disk_has_all_of_them_work() -> None:
    desk = Desk()
    desk.do(SLOW, SMALL, 15)
    assert desk.parallelism.is_alone
    desk.do(SLOW, SMALL, 5)
    assert not desk.parallelism.is_alone


def test_what_waits_for_the_interpreters_lock_now_and_then_is_not_slow() -> None:
    desk = Desk()
    for _ in range(50):
        desk.do(SLOW, SMALL, 10)
        desk.do(QUICK, SMALL)
    assert desk.parallelism.is_alone


def test_who_is_stuck_is_not_waited_for() -> None:
    desk = Desk()
    desk.parallelism.begin(desk.now)
    assert not desk.parallelism.may_begin(desk.now + STUCK_SECONDS / 2)
    assert desk.parallelism.may_begin(desk.now + 1.1 * STUCK_SECONDS)
    assert not desk.parallelism.is_alone


@pytest.mark.parametrize(("seconds", "is_alone"), [(0.2, False), (1.5, False), (2.1, True)])
def test_it_is_tried_again_after_two_seconds(seconds: float, *, is_alone: bool) -> None:
    desk = Desk()
    desk.do(QUICK, LARGE)
    desk.now += seconds
    desk.do(QUICK, SMALL)
    assert desk.parallelism.is_alone == is_alone


@pytest.mark.parametrize("seconds", [QUICK, SLOW])
def test_each_trial_finds_out_anew(seconds: float) -> None:
    desk = Desk()
    desk.do(QUICK, LARGE)
    desk.now += 2.1
    desk.do(seconds, SMALL, 20)
    assert desk.parallelism.is_alone == (seconds == QUICK)


def test_what_was_begun_beside_others_says_nothing() -> None:
    desk = Desk()
    desk.do(QUICK, LARGE)
    long_ago = desk.now
    desk.now += 3
    for _ in range(4):
        desk.parallelism.begin(long_ago)
    desk.parallelism.end(long_ago, desk.now, SMALL)
    assert desk.parallelism.is_alone
    desk.now += 0.01
    for _ in range(3):
        desk.parallelism.end(long_ago, desk.now, LARGE)
    assert desk.parallelism.is_alone
