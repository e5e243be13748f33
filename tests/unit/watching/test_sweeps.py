"""Sweeps go on where they were, take turns, and begin anew when there is more to find."""

from __future__ import annotations

from file_watcher.model import Library
from file_watcher.watching.sweeps import Sweeps

ONE, TWO = Library(1, "one", "production", b"/1"), Library(2, "two", "production", b"/2")


def test_no_sweep_is_wanted_in_the_beginning() -> None:
    assert Sweeps().next() is None


def test_a_sweep_goes_on_behind_what_it_reached_after_the_others_had_their_turn() -> None:
    sweeps = Sweeps()
    sweeps.want([ONE, TWO])
    assert sweeps.next() == (ONE, b"")
    sweeps.reached(ONE, b"/1/m")
    assert sweeps.next() == (TWO, b"")
    sweeps.finish(TWO)
    assert sweeps.next() == (ONE, b"/1/m")


def test_a_library_that_is_wanted_again_is_swept_from_its_beginning() -> None:
    sweeps = Sweeps()
    sweeps.want([ONE])
    sweeps.reached(ONE, b"/1/m")
    sweeps.want([ONE])
    assert sweeps.next() == (ONE, b"")
