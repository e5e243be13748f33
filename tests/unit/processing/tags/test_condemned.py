from __future__ import annotations

from file_watcher.model import FileStat
from file_watcher.processing.tags.condemned import Condemned

ONE, TWO, THREE = (FileStat(1, number, 2, 3, 4) for number in range(3))


def test_a_file_is_remembered_in_the_state_that_it_was_in() -> None:
    condemned = Condemned()
    condemned.add(ONE, "because")
    assert condemned.reason(ONE) == "because"
    assert condemned.reason(ONE._replace(ctime_ns=9)) is None


def test_of_too_many_those_that_nobody_asked_for_are_forgotten() -> None:
    condemned = Condemned(most=2)
    condemned.add(ONE, "one")
    condemned.add(TWO, "two")
    assert condemned.reason(ONE) == "one"
    condemned.add(THREE, "three")
    assert [condemned.reason(stat) for stat in (ONE, TWO, THREE)] == ["one", None, "three"]
