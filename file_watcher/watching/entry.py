"""What is known of one dirty path while it waits, is in flight or rests in the background. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from file_watcher.model import FileStat, Library, Source, Ticket

NOBODY: Final[frozenset[bytes]] = frozenset()


@dataclass(slots=True)
class Entry:
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
    moved_from: frozenset[bytes] = NOBODY
    taken_from: frozenset[bytes] = NOBODY
    """The paths that what is in flight was moved from."""
    last_stat: FileStat | None = None
    told_growing: float | None = None
    in_flight: bool = False
    is_being_read: bool = False
    """Whether what is in flight is to be read, and may not have been so far."""
    under_way: FileStat | None = None
    """What it was when its reading began, where that takes a while, also while it waits for its turn to be read;
    None before and afterwards."""
    hinted_again: float | None = None
    """When the first of the hints was noticed that came while in flight."""
    look_later: float | None = None
    """When somebody who hinted while it was in flight wants another look in the background."""
    background: bool = False
    is_first: bool = False
    """It matches a priority pattern."""
    is_unrecorded: bool = False
    """A scan found it, and no row can be of it."""

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
            self.is_first,
            is_unrecorded=self.is_unrecorded,
        )
        self.in_flight = True
        self.is_being_read = self.closed or self.must_hash
        self.is_folder = self.closed = self.must_hash = self.is_unrecorded = False
        self.taken_from, self.moved_from = self.moved_from, NOBODY
        self.source = Source.RECHECK
        return ticket

    def note(self, stat: FileStat | None, now: float) -> None:
        """A look saw this stat; it holds still since the first look that saw the same size, mtime and inode."""
        before = self.last_stat
        if stat is None or (before and before.inode == stat.inode and before.same_bytes_likely(stat)):
            return
        self.last_stat, self.still_since = stat, now

    def put_back(self, ticket: Ticket) -> None:
        """The ticket was not decided: what it told still holds."""
        self.is_folder |= ticket.is_folder
        self.closed |= ticket.closed
        self.must_hash |= ticket.must_hash
        self.moved_from |= ticket.moved_from
        self.source = stronger(self.source, ticket.source)

    def date_back(self, noticed: float) -> None:
        """A hint from that time stands for this path too, also while it is in flight: it is undecided since then."""
        self.noticed = min(self.noticed, noticed)
        if self.in_flight:
            self.hinted_again = noticed if self.hinted_again is None else min(self.hinted_again, noticed)

    def keeps_waiting(self, since: float) -> bool:
        """Whether looks at the file since then have found that somebody still writes."""
        return self.last_stat is not None and not self.in_flight and self.waited_since < since

    @property
    def origins(self) -> frozenset[bytes]:
        """All paths that it was moved from, by hints that are undecided."""
        return self.moved_from | self.taken_from

    @property
    def is_known_now(self) -> bool:
        """Whether its reading is under way and nobody has hinted at it since: it is what it was when that began."""
        return self.under_way is not None and self.hinted_again is None

    @property
    def wants_reading(self) -> bool:
        """Whether its content is to be read, even if its stat proves nothing new (rule 5)."""
        return self.closed or self.must_hash or self.is_being_read


def stronger(one: Source, other: Source) -> Source:
    """The source that tells more: the kernel's word, then a scan's finding, then our own wish to make sure."""
    return min(one, other, key=list(Source).index)
