"""Bits of paths: never forgotten, rarely invented, and never more than a fixed amount of memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from file_watcher.watching.path_bits import PathBits


@given(st.lists(st.binary(min_size=1)))
def test_a_path_that_was_added_is_never_forgotten(paths: list[bytes]) -> None:
    kept = PathBits()
    for path in paths:
        kept.add(path)
    assert all(kept.may_hold(path) for path in paths)


def test_few_others_are_taken_for_one_of_many() -> None:
    kept = PathBits()
    for number in range(100_000):
        kept.add(b"/lib/%d" % number)
    mistaken = sum(kept.may_hold(b"/other/%d" % number) for number in range(10_000))
    assert mistaken < 100, "in theory 5 of 100,000"


def test_nothing_is_kept_in_the_beginning_and_after_all_was_forgotten() -> None:
    kept = PathBits()
    assert not kept.may_hold(b"/lib/a")
    kept.add(b"/lib/a")
    kept.clear()
    assert not kept.may_hold(b"/lib/a")
