"""Debounce: many hints for a path become one look at it, once the path has been quiet.

Pure: time is an argument, nothing here has a thread or touches the disk. The scheduler
(`watching.schedule`) owns the thread that feeds it.

A path is *waiting* until it has been quiet for the window, then *in flight* (a worker and the decider
have it) until `done` or `again`. There is never more than one ticket in flight for a path: hints that
come meanwhile make the path wait once more. *Background* paths wait too, but are not dirty: what they
were is told already, and they are looked at only to make sure (a file that stays open, a carried hash).

Memory is bounded whatever comes. Where too many paths wait, as while the database is away, they are
*folded*: the folder waits in their place, and a scan of it finds what has changed below. Nothing is lost by
that: the folder keeps the time of the earliest hint, a name that was closed after writing is still owed its
reading (`watching.path_bits`), and what the kernel said of moves is only evidence, which the inode gives too.
Of background looks, those that find no room are left to a sweep: the catalog's rows say what is doubtful.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from typing import Final

from file_watcher.model import FileStat, Hint, HintKind, Library, Source, Ticket, Undecided
from file_watcher.watching.dirty import DebounceBounds, DirtyPaths, TimingOf
from file_watcher.watching.entry import NOBODY, Entry, stronger
from file_watcher.watching.origins import with_earlier_ones
from file_watcher.watching.readings import LongReadings

_SHARE: Final = 4
"""Of so many that are handed out together, one is from those that do not go first, while such are due."""
_BACKGROUND_AT_ONCE: Final = 2
_BACKGROUND_IN_FLIGHT: Final = 16
"""Background looks handed out together, and not yet decided; more would let them hold up fresh changes."""


class Debouncer:
    """Trailing-edge debounce per path, with the timing of its library: another one holds for hints from then on."""

    def __init__(
        self,
        timing_of: TimingOf,
        bounds: DebounceBounds | None = None,
        goes_first: Callable[[bytes, Library], bool] | None = None,
    ) -> None:
        """`goes_first(path, library)`: whether what is due there is handed out before others."""
        self._goes_first = goes_first
        self._timing_of = timing_of
        self._bounds = bounds or DebounceBounds()
        self._dirty = DirtyPaths(self._bounds, timing_of)
        self._background: dict[bytes, Entry] = {}
        self._background_in_flight: set[bytes] = set()
        self._readings = LongReadings()
        self._waiting: list[tuple[float, int, bytes]] = []
        self._first: list[tuple[float, int, bytes]] = []
        """Those of the waiting ones that go first."""
        self._resting: list[tuple[float, int, bytes]] = []
        self._pushed = 0
        self._folders_in_flight = 0
        self._parked: deque[bytes] = deque()
        """Folders that are due, but that nobody could scan yet."""
        self._unrested: set[Library] = set()
        self.suppressed = 0
        """Hints that fell into an open window, since the start."""

    def __len__(self) -> int:
        """How many paths are dirty: waiting or in flight. Background paths do not count."""
        return len(self._dirty)

    @property
    def folded(self) -> int:
        """Dirty paths that were folded into their folder, since the start."""
        return self._dirty.folded

    def files(self) -> int:
        """How many of the dirty paths are no folders."""
        return self._dirty.files()

    def resize(self, bounds: DebounceBounds) -> None:
        """Keep so many from now on. What is too much leaves as it does otherwise: folded, or looked at."""
        self._bounds = bounds
        self._dirty.resize(bounds)

    def background_room(self) -> int:
        """How many more paths may rest in the background."""
        return max(0, self._bounds.background - len(self._background))

    def may_sweep(self) -> bool:
        """Whether so much room is in the background that a sweep is worth its walk."""
        return len(self._background) <= self._bounds.background // 2

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
        moved_from: frozenset[bytes] = NOBODY,
        is_unrecorded: bool = False,
    ) -> None:
        """Mark a path dirty. A kernel's hint starts its window anew; others are due after `delay` seconds.

        `background` only makes sure of what is told already. `noticed` dates the hint back where it
        stands for an earlier one, and `moved_from` adds to what the hint itself names. `is_unrecorded`: a scan found
        it, and no row of the catalog can be of it; it holds until the path is hinted at once more or taken.
        """
        noticed = now if noticed is None else noticed
        if background:
            self._rest(hint, library, now, now_ns, now + delay, must_hash=must_hash)
            return
        if hint.kind is HintKind.WRITTEN and self._will_look(hint.path):
            self.suppressed += 1
            return
        entry = self._dirty.get(hint.path)
        if entry is None and (folder := self._dirty.folder_of(hint.path, library)) is not None:
            self.suppressed += 1
            self._dirty.fold_hint(folder, hint, noticed, must_hash=must_hash)
            self._fold_where_crowded(now)
            return
        if entry is None:
            entry = self._open(hint, library, now, now_ns, delay, is_unrecorded=is_unrecorded)
            self._dirty.date_back(entry, noticed)
        else:
            self.suppressed += 1
            entry.is_unrecorded = False
            self._dirty.date_back(entry, noticed)
            if not entry.in_flight:
                self._readings.end(entry)
            self._postpone(entry, hint, now, delay)
        self._merge(entry, hint, moved_from)
        entry.must_hash |= must_hash
        self._fold_where_crowded(now)

    def due(self, now: float, limit: int) -> list[Ticket]:
        """Take up to `limit` tickets whose time has come; they are in flight until `done` or `again`."""
        room = _BACKGROUND_IN_FLIGHT - len(self._background_in_flight)
        tickets = self._pop_due(self._first, now, limit - limit // _SHARE)
        tickets += self._pop_due(self._waiting, now, limit - len(tickets))
        tickets += self._pop_due(self._first, now, limit - len(tickets))
        return tickets or self._pop_rested(now, min(limit, room, _BACKGROUND_AT_ONCE))

    def due_first(self, now: float, limit: int) -> list[Ticket]:
        """Of those that are due only what goes before others, for when there is no room for more."""
        return self._pop_due(self._first, now, limit)

    def next_due(self) -> float | None:
        """Monotonic time at which `due` may have something, None while nothing waits."""
        is_full = len(self._background_in_flight) >= _BACKGROUND_IN_FLIGHT
        heaps = [self._first, self._waiting] if is_full else [self._first, self._waiting, self._resting]
        return min((heap[0][0] for heap in heaps if heap), default=None)

    def done(
        self,
        ticket: Ticket,
        now: float,
        *,
        look_again_after: float | None = None,
        growing: bool = False,
        stat: FileStat | None = None,
    ) -> bool:
        """The path was decided, or nothing is owed to it. Hints that came meanwhile make it wait again.

        `look_again_after` keeps an eye on it in the background: it is looked at after so many seconds. `stat` is
        what the look saw that was decided. Returns whether anything may be due sooner than `next_due` said before.
        """
        pushed = self._pushed
        was_in_background = ticket.path in self._background_in_flight
        entry = self._dirty.pop(ticket.path)
        self._land(entry, ticket, now)
        self._readings.end(entry)
        entry.note(stat, now)
        if not entry.is_folder:
            self._dirty.leave(entry.path)
        later, entry.look_later = entry.look_later, None
        if growing:
            entry.told_growing = now
        if look_again_after is not None:
            later = now + look_again_after if later is None else min(later, now + look_again_after)
        if entry.hinted_again is not None:
            entry.noticed, entry.hinted_again = entry.hinted_again, None
            entry.waited_since = now
            self._dirty.add(entry)
            self._push(entry, max(entry.due, now))
        elif later is not None and not self.background_room():
            self._unrested.add(entry.library)
        elif later is not None:
            entry.background = True
            self._background[entry.path] = entry
            self._push(entry, later)
        return self._pushed != pushed or was_in_background

    def again(self, ticket: Ticket, now: float, stat: FileStat | None, after: float) -> None:
        """The path was not ready to be decided: look once more after so many seconds."""
        entry = self._dirty.get(ticket.path)
        assert entry is not None
        self._land(entry, ticket, now)
        if stat is None or stat != entry.under_way or entry.hinted_again is not None:
            self._readings.end(entry)
        entry.put_back(ticket)
        entry.note(stat, now)
        due = now + after if entry.hinted_again is None else max(entry.due, now)
        entry.hinted_again = None
        self._push(entry, due)

    def begin_reading(self, ticket: Ticket, stat: FileStat) -> None:
        """The ticket's file was seen with this stat, has settled, and reading it will take a while."""
        entry = self._dirty.get(ticket.path)
        if entry is not None and entry.in_flight:
            self._readings.begin(entry, stat)

    # -- what is undecided ---------------------------------------------------------------------------

    def oldest_noticed(self) -> float | None:
        """Monotonic time of the hint that waits longest for its decision; None when nothing is dirty."""
        return self._dirty.oldest(float("-inf"))

    def oldest_undecided(self, waited_at_most: float, now: float) -> float | None:
        """Monotonic time of the oldest hint that is undecided, leaving out files that keep us waiting.

        Left out are files that were looked at, found open or growing, and put off for more than
        `waited_at_most` seconds. What waits for its turn, or is being read, is never left out.
        """
        return self._dirty.oldest(now - waited_at_most)

    def undecided_now(self, waited_at_most: float, now: float) -> Undecided:
        """What is undecided, with what is known of files whose reading takes long; left out as above."""
        return Undecided(self._dirty.oldest_unknown(now - waited_at_most), self._readings.known(self._dirty))

    def undecided(self, noticed_before: float, waited_at_most: float, now: float) -> bool:
        """Whether a hint from before that time is undecided; see `oldest_undecided`."""
        oldest = self.oldest_undecided(waited_at_most, now)
        return oldest is not None and oldest <= noticed_before

    # -- folding -------------------------------------------------------------------------------------

    def is_folded(self, folder: bytes) -> bool:
        """Whether the dirty folder stands for paths below it."""
        return self._dirty.is_folded(folder)

    def may_owe_reading(self, path: bytes) -> bool:
        """Whether the content is to be read, whatever the stat says: its hint may have been folded."""
        return self._dirty.may_owe_reading(path)

    def may_be_hinted(self, path: bytes, library: Library) -> bool:
        """Whether a hint at the path, or at a folder above it, is undecided; it may have been folded."""
        return self._dirty.may_be_hinted(path, library)

    def take_unrested(self) -> set[Library]:
        """Libraries of which background looks found no room since the last call."""
        unrested, self._unrested = self._unrested, set()
        return unrested

    def _fold_where_crowded(self, now: float) -> None:
        """With each hint, also one that is folded itself: what was in flight may wait again."""
        if not self._dirty.is_crowded():
            return
        waiting = self._dirty.fold(now)
        ordered = [(entry, (entry.due, order, entry.path)) for order, entry in enumerate(waiting)]
        self._waiting = [item for entry, item in ordered if not entry.is_first]
        self._first = [item for entry, item in ordered if entry.is_first]
        heapq.heapify(self._waiting)
        heapq.heapify(self._first)
        self._parked.clear()

    # -- one path ------------------------------------------------------------------------------------

    def _will_look(self, path: bytes) -> bool:
        """Whether the path waits already: one write of many says nothing new, and must not put the look off."""
        entry = self._dirty.get(path)
        return path in self._background if entry is None else not entry.in_flight

    def _open(
        self, hint: Hint, library: Library, now: float, now_ns: int, delay: float, *, is_unrecorded: bool
    ) -> Entry:
        """What rested in the background was told, so it has a row."""
        due = now + (self._timing_of(library).window if _opens_window(hint) else delay)
        entry = self._background.pop(hint.path, None)
        if entry is None:
            entry = Entry(hint.path, library, hint.source, now, now_ns, now, now, due)
            entry.is_unrecorded = is_unrecorded
        entry.library, entry.source, entry.background = library, hint.source, False
        entry.noticed, entry.changed_ns, entry.waited_since = now, now_ns, now
        entry.is_first = self._goes_first is not None and self._goes_first(entry.path, library)
        self._dirty.add(entry)
        self._push(entry, due)
        return entry

    def _rest(
        self, hint: Hint, library: Library, now: float, now_ns: int, due: float, *, must_hash: bool
    ) -> None:
        """Look at the path in the background. A dirty one is looked at anyway; that is never put off."""
        entry = self._dirty.get(hint.path)
        if entry is not None:
            if entry.in_flight:
                entry.look_later = due if entry.look_later is None else min(entry.look_later, due)
        elif (entry := self._background.get(hint.path)) is not None:
            if due < entry.due:
                self._push(entry, due)
        elif self.background_room():
            entry = Entry(hint.path, library, hint.source, now, now_ns, now, now, due, background=True)
            self._background[entry.path] = entry
            self._push(entry, due)
        else:
            self._unrested.add(library)
            return
        entry.must_hash |= must_hash

    def _postpone(self, entry: Entry, hint: Hint, now: float, delay: float) -> None:
        """Move the due time of a path that is dirty already: a kernel's hint opens a new window."""
        window_is_open = entry.source is Source.KERNEL
        entry.source = stronger(entry.source, hint.source)
        if _opens_window(hint):
            timing = self._timing_of(entry.library)
            due = now + timing.window
            if not entry.in_flight:
                due = min(due, max(now, entry.waited_since + timing.longest))
        elif window_is_open:
            return
        else:
            due = now + delay
        if entry.in_flight or due >= entry.due:
            entry.due = due if _opens_window(hint) else max(entry.due, due)
        else:
            self._push(entry, due)

    def _merge(self, entry: Entry, hint: Hint, moved_from: frozenset[bytes]) -> None:
        if hint.is_folder:
            self._dirty.mark_folder(entry)
        entry.closed |= hint.kind is HintKind.CLOSED
        if hint.moved_from is not None:
            moved_from |= {hint.moved_from}
        if not moved_from:
            return
        origins = with_earlier_ones(moved_from, self._dirty.get)
        entry.moved_from |= origins
        # What was owed under a name before is owed under this one.
        entry.closed |= any(origin.closed for path in origins if (origin := self._dirty.get(path)))
        entry.must_hash |= any(self._dirty.owes_reading(path) for path in origins)

    # -- whose turn it is ----------------------------------------------------------------------------

    def _push(self, entry: Entry, due: float) -> None:
        entry.due = due
        self._pushed += 1
        heap = self._resting if entry.background else self._first if entry.is_first else self._waiting
        heapq.heappush(heap, (due, self._pushed, entry.path))

    def _pop_due(self, heap: list[tuple[float, int, bytes]], now: float, limit: int) -> list[Ticket]:
        tickets: list[Ticket] = []
        while len(tickets) < limit and (entry := self._pop(heap, self._dirty, now)) is not None:
            if entry.is_folder and self._folders_in_flight >= self._bounds.folders:
                self._parked.append(entry.path)
            else:
                tickets.append(self._take(entry))
        return tickets

    def _pop_rested(self, now: float, limit: int) -> list[Ticket]:
        tickets: list[Ticket] = []
        while len(tickets) < limit and (entry := self._pop(self._resting, self._background, now)) is not None:
            del self._background[entry.path]
            entry.background = False
            entry.source = Source.RECHECK
            entry.noticed = entry.waited_since = now
            self._dirty.add(entry)
            self._background_in_flight.add(entry.path)
            tickets.append(self._take(entry))
        return tickets

    def _pop(
        self, heap: list[tuple[float, int, bytes]], entries: DirtyPaths | dict[bytes, Entry], now: float
    ) -> Entry | None:
        """The next one that is due. An item whose path moved on (later, in flight, other lane) is dropped or put back."""
        while heap and heap[0][0] <= now:
            entry = entries.get(heapq.heappop(heap)[2])
            if entry is None or entry.in_flight:
                continue
            if entry.due <= now:
                return entry
            self._push(entry, entry.due)
        return None

    def _take(self, entry: Entry) -> Ticket:
        self._dirty.in_flight += 1
        self._folders_in_flight += entry.is_folder
        return entry.take()

    def _land(self, entry: Entry, ticket: Ticket, now: float) -> None:
        """The ticket is no longer in flight; a folder that waited for its place has its turn."""
        entry.in_flight = entry.is_being_read = False
        entry.taken_from = NOBODY
        self._dirty.in_flight -= 1
        self._background_in_flight.discard(entry.path)
        self._folders_in_flight -= ticket.is_folder
        while self._parked and self._folders_in_flight < self._bounds.folders:
            parked = self._dirty.get(self._parked.popleft())
            if parked is not None and not parked.in_flight:
                self._push(parked, max(parked.due, now))
                break


def _opens_window(hint: Hint) -> bool:
    """Whether the kernel has just told of it; not so where a scan hints in the kernel's name."""
    return hint.source is Source.KERNEL and hint.kind is not HintKind.SCANNED
