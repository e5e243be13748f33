"""Owed readings: never forgotten, rarely invented, and never more than a fixed amount of memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from file_watcher.watching.owed import OwedReadings


@given(st.lists(st.binary(min_size=1)))
def test_a_path_that_was_added_is_never_forgotten(paths: list[bytes]) -> None:
    owed = OwedReadings()
    for path in paths:
        owed.add(path)
    assert all(owed.may_hold(path) for path in paths)


def test_few_others_are_taken_for_one_of_many() -> None:
    owed = OwedReadings()
    for number in range(100_000):
        owed.add(b"/lib/%d" % number)
    mistaken = sum(owed.may_hold(b"/other/%d" % number) for number in range(10_000))
    assert mistaken < 100, "in theory 5 of 100,000"


def test_nothing_is_owed_in_the_beginning_and_after_all_was_read() -> None:
    owed = OwedReadings()
    assert not owed.may_hold(b"/lib/a")
    owed.add(b"/lib/a")
    owed.clear()
    assert not owed.may_hold(b"/lib/a")
