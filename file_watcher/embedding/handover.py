"""The buffer between the relay and the program: what may be taken, what is in hand, what was handled.

Owns no thread. The relay's thread puts, the program's threads take, the relay's thread settles. An event is handled
when its taker asks for the next one; only then is it confirmed, and leaves the catalog's outbox.

It outlives a core whose start failed, and so was tried again: what is in hand or handled is not told once more,
although the outbox still holds it.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence

from file_watcher.embedding.event import FileEvent
from file_watcher.lifecycle import Deadline
from file_watcher.model import OutboxMessage

Confirm = Callable[[Sequence[OutboxMessage]], None]
"""Told what was handled; must not block."""


class Parcel:
    """One event on its way. Compared by identity."""

    __slots__ = ("event", "message")

    def __init__(self, message: OutboxMessage, event: FileEvent) -> None:
        self.message = message
        self.event = event


class Handover:
    """Thread-safe. How many parcels wait is bounded by the relay's window, which `put` fills."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[Parcel] = deque()
        self._in_hand: set[int] = set()
        self._handled: set[int] = set()
        """Confirmed, and perhaps not yet recorded as such."""
        self._left: list[Parcel] = []
        """What iterations that were given up had in hand."""
        self._confirm: Confirm | None = None
        self._ended = False
        self._taken: Counter[str] = Counter()

    # -- the relay's side ----------------------------------------------------------------------------

    def attach(self, confirm: Confirm) -> None:
        """A core begins to put. What an earlier one had put is forgotten: it is put again."""
        with self._changed:
            self._waiting.clear()
            self._confirm = confirm

    def put(self, parcels: Sequence[Parcel]) -> None:
        """Offer these, in this order. What was handled already is confirmed, what is in hand stays there."""
        with self._changed:
            known = [each.message for each in parcels if each.message.sequence in self._handled]
            apart = self._handled | self._in_hand
            self._waiting.extend(each for each in parcels if each.message.sequence not in apart)
            self._changed.notify_all()
            confirm = self._confirm
        if known and confirm is not None:
            confirm(known)

    def settled(self, message: OutboxMessage) -> None:
        """The outbox has recorded it: it will not be put again."""
        with self._changed:
            self._handled.discard(message.sequence)

    # -- the program's side --------------------------------------------------------------------------

    def take(self, handled: Parcel | None, timeout: float | None) -> Parcel | None:
        """The next one, after `handled` and what was left behind count as handled.

        Blocks until there is one; None at the end, or after `timeout` seconds.
        """
        deadline = None if timeout is None else Deadline(timeout)
        self._note_handled(handled)
        with self._changed:
            while not self._waiting and not self._ended:
                if deadline is not None and not deadline.remaining():
                    return None
                self._changed.wait(None if deadline is None else deadline.remaining())
            if self._ended:
                return None
            parcel = self._waiting.popleft()
            self._in_hand.add(parcel.message.sequence)
            self._taken[parcel.event.kind] += 1
        return parcel

    def leave(self, parcel: Parcel) -> None:
        """An iteration was given up with this in hand. It counts as handled when anybody asks for another."""
        with self._changed:
            self._left.append(parcel)

    def end(self) -> None:
        """Nothing is handed out any more; whoever waits gets None."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def has_ended(self) -> bool:
        """Whether `end` was called."""
        return self._ended

    def taken(self) -> Mapping[str, int]:
        """How many events were handed out, by kind."""
        with self._changed:
            return dict(self._taken)

    def _note_handled(self, parcel: Parcel | None) -> None:
        with self._changed:
            handled = [*self._left, *([] if parcel is None else [parcel])]
            self._left.clear()
            for each in handled:
                self._in_hand.discard(each.message.sequence)
                self._handled.add(each.message.sequence)
            confirm = self._confirm
        if handled and confirm is not None:
            confirm([each.message for each in handled])
