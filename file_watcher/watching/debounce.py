"""Debounce: many hints for a path become one look at it, once the path has been quiet.

Pure: time is an argument, nothing here has a thread or touches the disk. The scheduler
(`watching.schedule`) owns the thread that feeds it.

A path is *waiting* until it has been quiet for the window, then *in flight* (a worker and the decider
have it) until `done` or `again`. There is never more than one ticket in flight for a path: hints that
come meanwhile make the path wait once more. *Background* paths wait too, but are not dirty: what they
were is told already, and they are looked at only to make sure (a file that stays open, a carried hash).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from file_watcher.model import FileStat, Hint, HintKind, Library, Source, Ticket

_NOBODY: frozenset[bytes] = frozenset()
_BACKGROUND_AT_ONCE = 2
"""Background looks handed out together; more would let them hold up fresh changes."""


@dataclass(slots=True)
class _Entry:
    """The mutable state of one path."""

    path: bytes
    library: Library
    source: Source
    noticed: float
    changed_ns: int
    waited_since: float
    still_since: float
    due: float
    is_folder: bool = False
    closed: bool = False
    must_hash: bool = False
    moved_from: frozenset[bytes] = _NOBODY
    last_stat: FileStat | None = None
    told_growing: float | None = None
    in_flight: bool = False
    hinted_again: float | None = None
    """When the first of the hints was noticed that came while in flight."""
    background: bool = False

    def take(self) -> Ticket:
        """Hand out what is known; what the next hints tell is gathered anew."""
        ticket = Ticket(
            self.path,
            self.library,
            self.is_folder,
            self.closed,
            self.must_hash,
            self.moved_from,
            self.source,
            self.noticed,
            self.changed_ns,
            self.waited_since,
            self.last_stat,
            self.still_since,
            self.told_growing,
        )
        self.is_folder = self.closed = self.must_hash = False
        self.moved_from = _NOBODY
        self.source = Source.RECHECK
        return ticket

    def put_back(self, ticket: Ticket) -> None:
        """The ticket was not decided: what it told still holds."""
        self.is_folder |= ticket.is_folder
        self.closed |= ticket.closed
        self.must_hash |= ticket.must_hash
        self.moved_from |= ticket.moved_from
        self.source = _stronger(self.source, ticket.source)

    def keeps_waiting(self, since: float) -> bool:
        """Whether looks at the file since then have found that somebody still writes."""
        return self.last_stat is not None and not self.in_flight and self.waited_since < since


class Debouncer:
    """Trailing-edge debounce per path. `window` is in seconds."""

    def __init__(self, window: float, longest: float = 30.0) -> None:
        """`longest`: seconds after which a path is looked at although hints keep coming."""
        self._window = window
        self._longest = longest
        self._dirty: dict[bytes, _Entry] = {}
        self._background: dict[bytes, _Entry] = {}
        self._waiting: list[tuple[float, int, bytes]] = []
        self._resting: list[tuple[float, int, bytes]] = []
        self._pushed = 0
        self.suppressed = 0
        """Hints that fell into an open window, since the start."""

    def __len__(self) -> int:
        """How many paths are dirty: waiting or in flight. Background paths do not count."""
        return len(self._dirty)

    def hint(
        self,
        hint: Hint,
        library: Library,
        now: float,
        now_ns: int,
        *,
        delay: float = 0.0,
        must_hash: bool = False,
        background: bool = False,
        noticed: float | None = None,
        moved_from: frozenset[bytes] = _NOBODY,
    ) -> None:
        """Mark a path dirty. A kernel's hint starts its window anew; others are due after `delay` seconds.

        `background` only makes sure of what is told already. `noticed` dates the hint back where it
        stands for an earlier one, and `moved_from` adds to what the hint itself names.
        """
        entry = self._dirty.get(hint.path)
        if entry is not None:
            self.suppressed += 1
            self._date_back(entry, now if noticed is None else noticed)
            self._postpone(entry, hint.source, now, delay)
        else:
            entry = self._open(hint, library, now, now_ns, delay, background)
            self._date_back(entry, now if noticed is None else noticed)
        self._merge(entry, hint, moved_from)
        entry.must_hash |= must_hash

    def due(self, now: float, limit: int) -> list[Ticket]:
        """Take up to `limit` tickets whose time has come; they are in flight until `done` or `again`."""
        return self._pop(self._waiting, now, limit) or self._pop(
            self._resting, now, min(limit, _BACKGROUND_AT_ONCE)
        )

    def next_due(self) -> float | None:
        """Monotonic time at which `due` may have something, None while nothing waits."""
        return min((heap[0][0] for heap in (self._waiting, self._resting) if heap), default=None)

    def done(
        self, ticket: Ticket, now: float, *, look_again_after: float | None = None, growing: bool = False
    ) -> None:
        """The path was decided. Hints that came meanwhile make it wait again.

        `look_again_after` keeps an eye on it in the background: it is looked at after so many seconds.
        """
        entry = self._dirty.pop(ticket.path)
        entry.in_flight = False
        if growing:
            entry.told_growing = now
        if entry.hinted_again is not None:
            entry.noticed, entry.hinted_again = entry.hinted_again, None
            entry.waited_since = now
            self._dirty[entry.path] = entry
            self._push(entry, max(entry.due, now))
        elif look_again_after is not None:
            entry.background = True
            self._background[entry.path] = entry
            self._push(entry, now + look_again_after)

    def again(self, ticket: Ticket, now: float, stat: FileStat | None, after: float) -> None:
        """The path was not ready to be decided: look once more after so many seconds."""
        entry = self._dirty[ticket.path]
        entry.in_flight = False
        entry.put_back(ticket)
        if stat is not None and not _still(entry.last_stat, stat):
            entry.last_stat, entry.still_since = stat, now
        due = now + after if entry.hinted_again is None else max(entry.due, now)
        entry.hinted_again = None
        self._push(entry, due)

    def oldest_noticed(self) -> float | None:
        """Monotonic time of the hint that waits longest for its decision; None when nothing is dirty."""
        return min((entry.noticed for entry in self._dirty.values()), default=None)

    def undecided(self, noticed_before: float, waited_at_most: float, now: float) -> bool:
        """Whether a hint from before that time is undecided, leaving out files that keep us waiting.

        Left out are files that were looked at, found open or growing, and put off for more than
        `waited_at_most` seconds. What waits for its turn, or is being read, is never left out.
        """
        return any(
            entry.noticed <= noticed_before and not entry.keeps_waiting(now - waited_at_most)
            for entry in self._dirty.values()
        )

    def _open(
        self, hint: Hint, library: Library, now: float, now_ns: int, delay: float, background: bool
    ) -> _Entry:
        due = now + (self._window if hint.source is Source.KERNEL else delay)
        entry = self._background.pop(hint.path, None)
        if entry is None:
            entry = _Entry(hint.path, library, hint.source, now, now_ns, now, now, due)
        elif background:
            due = min(due, entry.due)
        entry.library, entry.source, entry.background = library, hint.source, background
        entry.noticed, entry.changed_ns, entry.waited_since = now, now_ns, now
        (self._background if background else self._dirty)[entry.path] = entry
        self._push(entry, due)
        return entry

    def _date_back(self, entry: _Entry, noticed: float) -> None:
        if entry.in_flight:
            entry.hinted_again = noticed if entry.hinted_again is None else min(entry.hinted_again, noticed)
        else:
            entry.noticed = min(entry.noticed, noticed)

    def _postpone(self, entry: _Entry, source: Source, now: float, delay: float) -> None:
        """Move the due time of a path that is dirty already: a kernel's hint opens a new window."""
        window_is_open = entry.source is Source.KERNEL
        entry.source = _stronger(entry.source, source)
        if source is Source.KERNEL:
            due = now + self._window
            if not entry.in_flight:
                due = min(due, max(now, entry.waited_since + self._longest))
        elif window_is_open:
            return
        else:
            due = now + delay
        if entry.in_flight or due >= entry.due:
            entry.due = due if source is Source.KERNEL else max(entry.due, due)
        else:
            self._push(entry, due)

    def _merge(self, entry: _Entry, hint: Hint, moved_from: frozenset[bytes]) -> None:
        entry.is_folder |= hint.is_folder
        entry.closed |= hint.kind is HintKind.CLOSED
        entry.moved_from |= moved_from
        if hint.moved_from is not None:
            entry.moved_from |= {hint.moved_from}
            if origin := self._dirty.get(hint.moved_from):
                entry.moved_from |= origin.moved_from
                entry.closed |= origin.closed

    def _push(self, entry: _Entry, due: float) -> None:
        entry.due = due
        self._pushed += 1
        heapq.heappush(self._resting if entry.background else self._waiting, (due, self._pushed, entry.path))

    def _pop(self, heap: list[tuple[float, int, bytes]], now: float, limit: int) -> list[Ticket]:
        """Pop what is due. An item whose path moved on (later, in flight, other lane) is dropped or put back."""
        background = heap is self._resting
        paths = self._background if background else self._dirty
        tickets: list[Ticket] = []
        while heap and heap[0][0] <= now and len(tickets) < limit:
            entry = paths.get(heapq.heappop(heap)[2])
            if entry is None or entry.in_flight:
                continue
            if entry.due > now:
                self._push(entry, entry.due)
                continue
            if background:
                self._wake(entry, now)
            entry.in_flight = True
            tickets.append(entry.take())
        return tickets

    def _wake(self, entry: _Entry, now: float) -> None:
        del self._background[entry.path]
        self._dirty[entry.path] = entry
        entry.background = False
        entry.source = Source.RECHECK
        entry.noticed = entry.waited_since = now


def _stronger(one: Source, other: Source) -> Source:
    """The source that tells more: the kernel's word, then a scan's finding, then our own wish to make sure."""
    return min(one, other, key=list(Source).index)


def _still(before: FileStat | None, now: FileStat) -> bool:
    return before is not None and before[:2] == now[:2] and before.inode == now.inode
