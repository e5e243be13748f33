"""Whether small files are left to the children."""

from __future__ import annotations

from file_watcher.processing.tags.pace import Pace

MEGABYTE = 1_000_000


def slow(pace: Pace, now: float, times: int = 8) -> None:
    for _ in range(times):
        pace.note(MEGABYTE, 0.02, now)


def test_children_read_until_the_disk_has_let_them_wait_again_and_again() -> None:
    pace = Pace()
    assert pace.is_at_hand(0.0)
    slow(pace, 10.0, 7)
    assert pace.is_at_hand(10.0)
    slow(pace, 10.0, 1)
    assert not pace.is_at_hand(10.0)
    assert not pace.is_at_hand(11.9)
    assert pace.is_at_hand(12.0), "it is tried again"


def test_one_that_was_quick_among_them_shows_that_the_others_were_accidents() -> None:
    pace = Pace()
    for _ in range(20):
        slow(pace, 10.0, 7)
        pace.note(MEGABYTE, 0.001, 10.0)
    assert pace.is_at_hand(10.0)


def test_what_takes_long_is_measured_by_its_size() -> None:
    pace = Pace()
    for _ in range(20):
        pace.note(MEGABYTE, 0.009, 10.0)
    assert pace.is_at_hand(10.0)
    for _ in range(8):
        pace.note(1000, 0.009, 10.0)
    assert not pace.is_at_hand(10.0)


def test_it_is_tried_again_less_and_less_often_until_it_was_quick_once() -> None:
    pace, now, pauses = Pace(), 0.0, []
    for _ in range(7):
        slow(pace, now)
        began = now
        while not pace.is_at_hand(now):
            now += 1.0
        pauses.append(now - began)
    assert pauses == [2, 4, 8, 16, 32, 60, 60]
    pace.note(MEGABYTE, 0.001, now)
    slow(pace, now)
    assert pace.is_at_hand(now + 2.0)


def test_what_was_under_way_when_it_was_judged_makes_nothing_worse() -> None:
    pace = Pace()
    slow(pace, 10.0, 100)
    assert pace.is_at_hand(12.0)
