"""The bounded queue between the scheduler and the workers. Owns no thread.

Unlike queue.Queue it wakes a producer that found it full once for many places, not for each: at a thousand
files a second a wake-up per file costs as much as deciding about it.

What matches a priority pattern has a lane of its own, with a bound of its own, so that a queue full of other files
does not hold it up. One of every four that are handed out is from the others, so that these get on, too.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Final

from file_watcher.model import Ticket

_SHARE: Final = 4
"""Of so many that are handed out, one is from those that do not go first, while such wait."""


class TicketQueue:
    """First in, first out in each of two lanes, for any number of threads."""

    def __init__(self, size: int) -> None:
        """Holds at most `size` tickets in each lane."""
        self._size = size
        self._refill_at = size * 3 // 4
        self._tickets: deque[Ticket] = deque()
        self._first: deque[Ticket] = deque()
        self._in_a_row = 0
        """How many went first since the last of the others was handed out, while one waited."""
        lock = threading.Lock()
        self._has_ticket = threading.Condition(lock)
        self._has_room = threading.Condition(lock)
        self._idle = 0
        """Workers that wait for a ticket."""
        self._closed = False

    def __len__(self) -> int:
        return len(self._tickets) + len(self._first)

    def put(self, ticket: Ticket, timeout: float) -> bool:
        """Queue a ticket; False where its lane stayed full for `timeout` seconds."""
        lane = self._first if ticket.is_first else self._tickets
        with self._has_room:
            if len(lane) >= self._size:
                self._has_room.wait_for(lambda: len(lane) <= self._refill_at, timeout)
                if len(lane) >= self._size:
                    return False
            lane.append(ticket)
            if self._idle:
                self._has_ticket.notify()
        return True

    def close(self) -> None:
        """Let nobody wait for a ticket any more."""
        with self._has_ticket:
            self._closed = True
            self._has_ticket.notify_all()

    def get(self, timeout: float) -> Ticket | None:
        """Take the ticket whose turn it is; None where none came for `timeout` seconds, or it is closed."""
        with self._has_ticket:
            if not self and not self._wait_for_one(timeout):
                return None
            lane = self._lane()
            ticket = lane.popleft()
            if len(lane) == self._refill_at:
                self._has_room.notify_all()
        return ticket

    def _lane(self) -> deque[Ticket]:
        """The lane whose turn it is; one of them holds a ticket."""
        if not self._first:
            return self._tickets
        if not self._tickets or self._in_a_row < _SHARE - 1:
            self._in_a_row = self._in_a_row + 1 if self._tickets else 0
            return self._first
        self._in_a_row = 0
        return self._tickets

    def _wait_for_one(self, timeout: float) -> bool:
        end = time.monotonic() + timeout
        self._idle += 1
        try:
            while not self:
                if self._closed or (left := end - time.monotonic()) <= 0:
                    return False
                self._has_ticket.wait(left)
        finally:
            self._idle -= 1
        return True
