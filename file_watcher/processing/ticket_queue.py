"""The bounded queue between the scheduler and the workers. Owns no thread.

Unlike queue.Queue it wakes a producer that found it full once for many places, not for each: at a thousand
files a second a wake-up per file costs as much as deciding about it.

What matches a priority pattern has a lane of its own, with a bound of its own, so that a queue full of other files
does not hold it up. One of every four that are handed out is from the others, so that these get on, too.

While many small files wait, they are handed out to one worker only (`processing.parallel`).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Final

from file_watcher.model import Ticket
from file_watcher.processing.parallel import STUCK_SECONDS, Parallelism

_SHARE: Final = 4
"""Of so many that are handed out, one is from those that do not go first, while such wait."""
_MANY: Final = 8
"""Where fewer wait, each is begun as soon as a worker is free."""


class TicketQueue:
    """First in, first out in each of two lanes, for any number of threads."""

    def __init__(self, size: int) -> None:
        """Holds at most `size` tickets in each lane."""
        self._size = size
        self._refill_at = _refill_at(size)
        self._tickets: deque[Ticket] = deque()
        self._first: deque[Ticket] = deque()
        self._in_a_row = 0
        """How many went first since the last of the others was handed out, while one waited."""
        lock = threading.Lock()
        self._has_ticket = threading.Condition(lock)
        self._has_room = threading.Condition(lock)
        self._parallelism = Parallelism()
        self._idle = 0
        """Workers that wait for a ticket."""
        self._closed = False
        self._called_off = 0
        """How often all who wait for a ticket were sent away."""

    def __len__(self) -> int:
        return len(self._tickets) + len(self._first)

    @property
    def is_left_to_one(self) -> bool:
        """Whether files are handed out to one worker only, as small ones are where many wait, and at first."""
        return self._parallelism.is_alone

    def put(self, ticket: Ticket, timeout: float) -> bool:
        """Queue a ticket; False where its lane stayed full for `timeout` seconds."""
        lane = self._first if ticket.is_first else self._tickets
        with self._has_room:
            if len(lane) >= self._size:
                self._has_room.wait_for(lambda: len(lane) <= self._refill_at, timeout)
                if len(lane) >= self._size:
                    return False
            lane.append(ticket)
            if self._idle and self._may_be_taken():
                self._has_ticket.notify()
        return True

    def put_back(self, ticket: Ticket) -> None:
        """Queue one that was taken, before all others of its lane and even where that is full. Never blocks."""
        lane = self._first if ticket.is_first else self._tickets
        with self._has_ticket:
            lane.appendleft(ticket)
            if self._idle and self._may_be_taken():
                self._has_ticket.notify()

    def resize(self, size: int) -> None:
        """Hold at most so many in each lane from now on; what is more than that stays until it is taken."""
        with self._has_room:
            self._size, self._refill_at = size, _refill_at(size)
            self._has_room.notify_all()

    def call_off(self) -> None:
        """Let those who wait for a ticket now go without one."""
        with self._has_ticket:
            self._called_off += 1
            self._has_ticket.notify_all()

    def close(self) -> None:
        """Let nobody wait for a ticket any more."""
        with self._has_ticket:
            self._closed = True
            self._has_ticket.notify_all()

    def get(self, timeout: float) -> Ticket | None:
        """Take the ticket whose turn it is; None where none came for `timeout` seconds, or it is closed.

        Who took one says when it is `done`.
        """
        with self._has_ticket:
            if not self._may_be_taken() and not self._wait_for_one(timeout):
                return None
            lane = self._lane()
            ticket = lane.popleft()
            if len(lane) == self._refill_at:
                self._has_room.notify_all()
            self._parallelism.begin(time.monotonic())
        return ticket

    def done(self, began: float, bytes_read: int) -> None:
        """A worker is done with the ticket that it took at that time, for which it read so much."""
        with self._has_ticket:
            was_alone = self._parallelism.is_alone
            self._parallelism.end(began, time.monotonic(), bytes_read)
            if was_alone and not self._parallelism.is_alone:
                self._has_ticket.notify_all()

    def _may_be_taken(self) -> bool:
        """Whether a ticket waits that one more worker may begin with."""
        waiting = len(self)
        return 0 < waiting < _MANY or (waiting > 0 and self._parallelism.may_begin(time.monotonic()))

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
        end, called_off = time.monotonic() + timeout, self._called_off
        self._idle += 1
        try:
            while not self._may_be_taken():
                if self._closed or self._called_off != called_off or (left := end - time.monotonic()) <= 0:
                    return False
                # While another one works alone nobody wakes us: it may be stuck.
                self._has_ticket.wait(min(left, STUCK_SECONDS) if len(self) else left)
        finally:
            self._idle -= 1
        return True


def _refill_at(size: int) -> int:
    """So few are left when a producer that found the queue full is woken."""
    return size * 3 // 4
