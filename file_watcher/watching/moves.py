"""Pairing the two halves of a move, in constant time.

watchdog's queue looks for the first half from its head, through everything that waits behind a file
which was moved away (half a second): thousands of renames then take seconds, on the thread that must
keep up with the kernel. Here the first halves are known by their cookie and sought from the tail.
No thread: the reader puts, the emitter takes.
"""

from __future__ import annotations

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
    """Finds the newest item first: the kernel queues both halves one after the other."""

    def _index_and_item(
        self, predicate: Callable[[GroupedInotifyEvent], bool]
    ) -> tuple[int, GroupedInotifyEvent] | None:
        for index in range(len(self._queue) - 1, -1, -1):
            item = self._queue[index][0]
            if predicate(item):
                return index, item
        return None
