"""Pairing the two halves of a move, in constant time.

watchdog's queue looks for the first half from its head, through everything that waits behind a file
which was moved away (half a second): thousands of renames then take seconds, on the thread that must
keep up with the kernel. Here the first halves are known by their cookie and sought from the tail.
And whoever waits for a second half sleeps the half second to its end there, with all that is behind it, though
the second half came a moment later: here it wakes.
No thread: the reader puts, the emitter takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from watchdog.observers.inotify_move_event_grouper import (
    GroupedInotifyEvent,
    InotifyMoveEventGrouper,
    PathedInotifyEvent,
)
from watchdog.utils.delayed_queue import DelayedQueue


class MovePairs(InotifyMoveEventGrouper):
    """Holds a first half back for up to half a second, until its second half comes."""

    def __init__(self) -> None:
        super().__init__()
        self._queue = _TailFirstQueue(self.delay)
        self._sources: dict[int, PathedInotifyEvent] = {}

    def put_event(self, event: PathedInotifyEvent) -> None:
        """Add an event, paired with its first half where that still waits."""
        if event.ev.is_moved_from:
            self._sources[event.ev.cookie] = event
        super().put_event(event)

    def read_event(self) -> GroupedInotifyEvent | None:
        """Wait for the next event or pair; None once closed."""
        event = super().read_event()
        if isinstance(event, PathedInotifyEvent) and event.ev.is_moved_from:
            self._sources.pop(event.ev.cookie, None)
        return event

    def get_queued_moved_from_event(self, cookie: int) -> PathedInotifyEvent | None:
        """The first half with this cookie, which was put and not yet taken or paired."""
        return self._sources.get(cookie)

    def _group_moved_to_event(self, to_event: PathedInotifyEvent) -> GroupedInotifyEvent:
        if self._sources.pop(to_event.ev.cookie, None) is None:
            return to_event
        return super()._group_moved_to_event(to_event)


class _TailFirstQueue(DelayedQueue[GroupedInotifyEvent]):
    """Finds the newest item first: the kernel queues both halves one after the other.

    A wait for a second half ends with whatever is put, and with `close`.
    """

    def get(self) -> GroupedInotifyEvent | None:
        """Take the first item, once it has waited its delay or needs none; None once closed."""
        with self._not_empty:
            while not self._closed:
                left = self._seconds_left()
                if left is not None and left <= 0:
                    return self._queue.popleft()[0]
                self._not_empty.wait(left)
        return None

    def _seconds_left(self) -> float | None:
        """Until the first item may be taken; None where there is none."""
        if not self._queue:
            return None
        _, put_at, is_delayed = self._queue[0]
        return put_at + self.delay - time.monotonic() if is_delayed else 0.0

    def _index_and_item(
        self, predicate: Callable[[GroupedInotifyEvent], bool]
    ) -> tuple[int, GroupedInotifyEvent] | None:
        for index in range(len(self._queue) - 1, -1, -1):
            item = self._queue[index][0]
            if predicate(item):
                return index, item
        return None
