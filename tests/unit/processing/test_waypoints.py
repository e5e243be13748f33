"""Where files stood that moved on before anybody looked."""

from __future__ import annotations

from file_watcher.model import GONE, UNKNOWN, FileStat, Observation, Sight
from file_watcher.processing.waypoints import Waypoints
from tests.support.world import LIBRARY

A, B, C, D = b"/lib/a", b"/lib/b", b"/lib/c", b"/lib/d"
STAT = FileStat(size=3, mtime_ns=1_000, ctime_ns=2_000, device=7, inode=100)


def seen(path: bytes, *moved_from: bytes, sight: Sight = GONE) -> Observation:
    return Observation(path, LIBRARY, sight, moved_from=frozenset(moved_from))


def origins(waypoints: Waypoints, path: bytes, *moved_from: bytes) -> frozenset[bytes]:
    return waypoints.with_earlier_ones(seen(path, *moved_from, sight=STAT)).moved_from


def test_what_moved_on_came_from_where_it_had_been_before() -> None:
    waypoints = Waypoints()
    waypoints.note(seen(B, A), 10.0)
    waypoints.note(seen(C, B), 10.5)
    assert origins(waypoints, D, C) == {A, B, C}
    assert origins(waypoints, D, A) == {A}
    assert origins(waypoints, D) == frozenset()


def test_files_that_went_round_have_an_end() -> None:
    waypoints = Waypoints()
    waypoints.note(seen(B, A), 10.0)
    waypoints.note(seen(A, B), 10.5)
    assert origins(waypoints, C, A) == {A, B}


def test_a_path_is_a_waypoint_only_where_something_was_moved_to_it_and_is_gone() -> None:
    waypoints = Waypoints()
    waypoints.note(seen(B), 10.0)
    waypoints.note(seen(C, A, sight=UNKNOWN), 10.0)
    waypoints.note(seen(D, A, sight=STAT), 10.0)
    assert len(waypoints) == 0
    waypoints.note(seen(B, A), 10.0)
    waypoints.note(seen(B, sight=STAT), 11.0)
    assert len(waypoints) == 0, "another file is there now"


def test_they_are_forgotten_in_time_but_for_what_is_awaited_still() -> None:
    waypoints = Waypoints()
    waypoints.note(seen(B, A), 10.0)
    waypoints.note(seen(C, A), 12.0)
    waypoints.forget(9.0, lambda _: False)
    assert len(waypoints) == 2
    waypoints.forget(11.0, lambda path: path == A)
    assert len(waypoints) == 2
    waypoints.forget(11.0, lambda _: False)
    assert origins(waypoints, D, B, C) == {A, B, C}
    waypoints.note(seen(C, A), 13.0)
    waypoints.forget(12.5, lambda _: False)
    assert len(waypoints) == 1
