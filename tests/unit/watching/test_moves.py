"""The two halves of a move are paired as soon as the second one is there."""

from __future__ import annotations

import threading

import pytest
from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent, Mask, WatchDescriptor
from watchdog.observers.inotify_move_event_grouper import GroupedInotifyEvent, PathedInotifyEvent

from file_watcher.watching.moves import MovePairs
from tests.support.waiting import wait_for


def event(mask: int, name: bytes, cookie: int = 0) -> PathedInotifyEvent:
    return PathedInotifyEvent(InotifyEvent(WatchDescriptor(1), Mask(mask), cookie, name), b"/lib/" + name)


FIRST = event(InotifyConstants.IN_MOVED_FROM, b"old", 7)
SECOND = event(InotifyConstants.IN_MOVED_TO, b"new", 7)
OTHER = event(InotifyConstants.IN_CREATE, b"other")


@pytest.fixture
def pairs(monkeypatch: pytest.MonkeyPatch) -> MovePairs:
    """First halves wait for an hour, so that nothing comes for its time."""
    monkeypatch.setattr(MovePairs, "delay", 3600.0)
    return MovePairs()


class Emitter:
    """Takes one item on a thread of its own."""

    def __init__(self, pairs: MovePairs) -> None:
        self.taken: list[GroupedInotifyEvent | None] = []
        self._thread = threading.Thread(target=lambda: self.taken.append(pairs.read_event()), daemon=True)
        self._thread.start()
        wait_for(lambda: len(pairs._queue._not_empty._waiters) == 1, "the emitter to wait")  # type: ignore[attr-defined]

    def wait(self) -> list[GroupedInotifyEvent | None]:
        self._thread.join(10)
        return self.taken


def test_an_emitter_that_saw_the_first_half_alone_takes_the_pair_once_the_second_is_there(
    pairs: MovePairs,
) -> None:
    pairs.put_event(FIRST)
    emitter = Emitter(pairs)
    pairs.put_event(SECOND)
    assert emitter.wait() == [(FIRST, SECOND)]


def test_what_comes_behind_a_first_half_waits_with_it(pairs: MovePairs) -> None:
    pairs.put_event(FIRST)
    pairs.put_event(OTHER)
    emitter = Emitter(pairs)
    pairs.put_event(SECOND)
    assert emitter.wait() == [OTHER], "the pair stands where its second half came"
    assert pairs.read_event() == (FIRST, SECOND)


def test_a_first_half_whose_second_never_comes_is_taken_alone_after_its_delay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(MovePairs, "delay", 0.05)
    pairs = MovePairs()
    pairs.put_event(FIRST)
    assert pairs.read_event() == FIRST
    pairs.put_event(SECOND)
    assert pairs.read_event() == SECOND


@pytest.mark.parametrize("waits_for", [[], [FIRST]])
def test_the_end_wakes_whoever_waits(pairs: MovePairs, waits_for: list[PathedInotifyEvent]) -> None:
    for each in waits_for:
        pairs.put_event(each)
    emitter = Emitter(pairs)
    pairs.close()
    assert emitter.wait() == [None]
