"""Examine one path: look, settle, hash. What comes out is an observation for the decider.

Free of threads: the pool (`processing.pool`) calls it from its workers. Nothing is decided here; a catalog
row only saves the reading of what it proves (rule 5).
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Final, Protocol

from file_watcher.model import (
    UNKNOWN,
    FileRecord,
    FileStat,
    Library,
    Metadata,
    Observation,
    Sight,
    Source,
    Ticket,
)
from file_watcher.processing.evidence import is_as_told, may_stay_unread, only_attributes_changed
from file_watcher.processing.fingerprint import (
    ChangedWhileReading,
    Crowded,
    NotRegular,
    Reading,
    Unreadable,
    Vanished,
)
from file_watcher.processing.idle import Look, StreamConfig, Turn, idle_for, next_look, turn, until_told
from file_watcher.processing.settle import SettleConfig, Verdict, told_at, verdict
from file_watcher.processing.tags.whole import WholeFuture

_FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM})
_LONG_BYTES: Final = 1 << 20
"""From 1 MiB on a reading is announced: it may take long on a slow disk, and always longer than the announcement."""
_WHOLE_BELOW: Final = 1 << 20
"""Media below 1 MiB are left to the child processes that read tags. Measured on two cores in files/s of an import,
beside threads that hash: 28 of 100 more at 0.7 MB, 10 more at 2 MB, 9 fewer at 4 MB."""

MetadataFuture = Future[Metadata | None]


class InHand(Protocol):
    """A file while it is examined. Every call may block on the disk."""

    def is_open_for_writing(self) -> bool | None:
        """Whether anybody can write to it; None where that cannot be known."""

    def read(self) -> Reading:
        """Read and hash it. Raises the errors of `processing.fingerprint`."""


class Surroundings(Protocol):
    """What an examination asks of the outside. Every call may block on the disk or the catalog."""

    def look(self, path: bytes, library: Library) -> Sight:
        """What is at the path now."""

    def find(self, path: bytes, inode: int) -> Sequence[FileRecord]:
        """Rows at the path or with the inode. Raises CatalogUnavailable."""

    def in_hand(self, path: bytes, library: Library, device: int) -> AbstractContextManager[InHand]:
        """The file that was seen there on that device; it is let go of at the end of the block."""

    def inode_with_other_names(self, path: bytes) -> int:
        """The inode of what is at the path if it has other names, else 0."""

    def attributes(self, path: bytes, library: Library) -> str | None:
        """Mode and owner now (`model.attributes_of`); None where nobody wants to know, or the file is gone."""

    def read_tags(self, path: bytes, stat: FileStat) -> MetadataFuture | None:
        """Begin to read the medium's tags; None where the file is no medium."""

    def read_whole(self, path: bytes, stat: FileStat) -> WholeFuture | None:
        """Begin to read and hash the small medium, and to read its tags; None where the file is no medium, or read it
        yourself."""


@dataclass(frozen=True, slots=True)
class Examination:
    """One path examined: either an `observation`, or (None) the wish to look again after `again_after` seconds;
    so it is put off, too, where the `tags` are of another file than was read.

    With `rests` it waits for that in the background, since nothing is owed to it until then.
    `keep_watching_after` asks for another look in the background once the observation is decided, since
    the file is still open. `other_links` are rows of the same inode that the same write changed.
    `read_again` asks for another reading in the background, since the tags could not be had for a reason that
    may pass.
    Of a `whole` file the observation has neither hashes nor metadata yet: a child process reads both.
    """

    observation: Observation | None
    stat: FileStat | None = None
    again_after: float = 0.0
    keep_watching_after: float | None = None
    other_links: tuple[bytes, ...] = ()
    tags: MetadataFuture | None = None
    whole: WholeFuture | None = None
    read_again: bool = False
    rests: bool = False


class Examiner:
    """Examines paths, one call a path; safe to call from several threads."""

    def __init__(
        self,
        settling_of: Callable[[Library], SettleConfig],
        surroundings: Surroundings,
        stream_of: Callable[[Library], StreamConfig | None] = lambda _: None,
        wall_clock: Callable[[], int] = time.time_ns,
        hashes: Callable[[Library], bool] = lambda _: True,
        begins_reading: Callable[[Ticket, FileStat], None] = lambda *_: None,
    ) -> None:
        """`stream_of(library)`: how files settle that are written for minutes, None where `file.idle` is not wanted;
        `hashes(library)`: whether its files are read, else only what their stat says counts; `begins_reading`
        learns of files whose reading may take long."""
        self._settling_of = settling_of
        self._at = surroundings
        self._stream_of = stream_of
        self._wall_clock = wall_clock
        self._hashes = hashes
        self._begins_reading = begins_reading

    def examine(self, ticket: Ticket, now: float) -> Examination:
        """Look at the ticket's path, and read the file where needed and settled.

        Blocks as long as the disk takes. Raises CatalogUnavailable and `fingerprint.Interrupted`.
        """
        sight = self._at.look(ticket.path, ticket.library)
        if not isinstance(sight, FileStat):
            rows = self._at.find(ticket.path, 0)
            links = self._links(ticket, None, rows) + self._wanted_names(ticket)
            return Examination(self._observation(ticket, sight), other_links=links)
        rows = () if self._needs_no_row(ticket) else self._at.find(ticket.path, sight.inode)
        links = self._links(ticket, sight, rows)
        if not ticket.must_hash and not self._must_read(ticket, sight, rows):
            return self._leave_unread(ticket, sight, rows, links, now)
        with self._at.in_hand(ticket.path, ticket.library, sight.device) as file:
            return self._examine_in_hand(ticket, sight, rows, links, file, now)

    def _examine_in_hand(
        self,
        ticket: Ticket,
        sight: FileStat,
        rows: Sequence[FileRecord],
        links: tuple[bytes, ...],
        file: InHand,
        now: float,
    ) -> Examination:
        is_open = file.is_open_for_writing()
        if (stream := self._stream_of(ticket.library)) is not None:
            look = self._look(ticket, sight, rows, is_open, now)
            return self._examine_stream(stream, look, links, file)
        config = self._settling_of(ticket.library)
        judged = verdict(config, ticket, sight, is_open, now)
        if judged is Verdict.WAIT:
            return Examination(None, sight, config.quiet)
        if judged is Verdict.GROWING:
            return self._growing(ticket, sight, links, config.quiet)
        keep = config.max_wait if judged is Verdict.READY_BUT_OPEN else None

        def if_it_changes() -> Examination:
            if now - told_at(ticket) < config.max_wait:
                return Examination(None, None, config.quiet)
            return self._growing(ticket, sight, links, config.quiet)

        return self._take(ticket, sight, links, file, keep, if_it_changes)

    # -- streams -------------------------------------------------------------------------------------

    def _look(
        self, ticket: Ticket, sight: FileStat, rows: Sequence[FileRecord], is_open: bool | None, now: float
    ) -> Look:
        known = [row for row in rows if row.path == ticket.path]
        known += [row for row in rows if row.path in ticket.moved_from and row.stat.same_file(sight)]
        return Look(ticket, sight, known[0] if known else None, is_open, now, self._wall_clock())

    def _examine_stream(
        self, config: StreamConfig, look: Look, links: tuple[bytes, ...], file: InHand
    ) -> Examination:
        judged, later = turn(config, look), next_look(config, look)
        if judged is Turn.WAIT:
            return Examination(None, look.stat, config.quiet)

        def grows(*, is_told: bool) -> Examination:
            if is_told:
                return self._growing(look.ticket, look.stat, links, later)
            return Examination(None, look.stat, later, rests=True)

        if judged is not Turn.READ:
            return grows(is_told=judged is Turn.TELL_GROWTH)
        is_news = look.known is None or bool(look.ticket.moved_from) or until_told(config, look) <= 0
        left = config.idle - idle_for(look)
        keep = max(config.quiet, left) if left > 0 else config.max_wait if look.is_open else None
        read = self._take(look.ticket, look.stat, links, file, keep, lambda: grows(is_told=is_news))
        seen = read.observation
        if seen is None or read.stat is None:
            return read
        if seen.fingerprint is None and read.whole is None and not seen.unhashed:
            return read
        if not read.stat.same_bytes_likely(look.stat):  # written to since the look
            return replace(read, keep_watching_after=config.idle)
        return replace(read, observation=replace(seen, idle=left <= 0))

    def _leave_unread(
        self,
        ticket: Ticket,
        sight: FileStat,
        rows: Sequence[FileRecord],
        links: tuple[bytes, ...],
        now: float,
    ) -> Examination:
        """A row proves its content; in a stream library there may be left to tell that it is idle."""
        keep, observation = self._keep_watching(ticket, sight), self._observation(ticket, sight)
        stream = self._stream_of(ticket.library)
        if stream is not None and any(row.awaits_idle for row in rows):
            is_open = self._is_open_for_writing(ticket, sight)
            left = stream.idle - idle_for(self._look(ticket, sight, rows, is_open, now))
            observation = replace(observation, idle=left <= 0)
            if left > 0:
                left = max(stream.quiet, left)
                keep = left if keep is None else min(keep, left)
        return Examination(observation, sight, 0.0, keep, links)

    # -- rows and names ------------------------------------------------------------------------------

    def _needs_no_row(self, ticket: Ticket) -> bool:
        """A row that came since the scan would save a reading, and the decider asks for it; but the turn of a stream
        depends on what was told of it."""
        return ticket.is_unrecorded and self._stream_of(ticket.library) is None

    def _links(self, ticket: Ticket, sight: FileStat | None, rows: Sequence[FileRecord]) -> tuple[bytes, ...]:
        """Other names of the file that is here, and of the one that was: a write under this name hints at none
        of them. Only the kernel's hints are passed on; names that wait for their decision would hint at
        each other for ever."""
        if ticket.source is not Source.KERNEL:
            return ()
        # A close of what was written counts as a write although size and mtime are as before.
        wrote = ticket.closed or ticket.must_hash
        links = [
            row
            for row in rows
            if sight and row.stat != sight and (wrote or not row.stat.same_bytes_likely(sight))
        ]
        for own in rows:
            if own.path == ticket.path and not (sight and own.stat.same_file(sight)):
                links.extend(self._at.find(ticket.path, own.stat.inode))
        return tuple(row.path for row in links if row.path != ticket.path)

    def _wanted_names(self, ticket: Ticket) -> tuple[bytes, ...]:
        """Names of a file that was written under one that the filters leave out, and is no file for us there."""
        if ticket.source is not Source.KERNEL:
            return ()
        inode = self._at.inode_with_other_names(ticket.path)
        rows = self._at.find(ticket.path, inode) if inode else ()
        return tuple(row.path for row in rows if row.path != ticket.path)

    def _must_read(self, ticket: Ticket, sight: FileStat, rows: Sequence[FileRecord]) -> bool:
        """A write that was closed always counts as a change; otherwise a row may prove the content."""
        if not self._hashes(ticket.library):
            return not any(is_as_told(row, sight, ticket.path) for row in rows)
        if ticket.closed:
            return True
        if any(may_stay_unread(row, sight, ticket.moved_from, ticket.path) for row in rows):
            return False
        return not self._is_explained(ticket, sight, rows)

    def _is_explained(self, ticket: Ticket, sight: FileStat, rows: Sequence[FileRecord]) -> bool:
        """Whether the kernel's hint means a change of mode or owner: of a write it would have told the close."""
        own = next((row for row in rows if row.path == ticket.path and row.attributes is not None), None)
        if own is None or ticket.source is not Source.KERNEL:
            return False
        return only_attributes_changed(own, sight, self._at.attributes(ticket.path, ticket.library))

    def _keep_watching(self, ticket: Ticket, sight: FileStat) -> float | None:
        """What is looked at without a hint may be known to be open: its next growth raises no hint either."""
        if ticket.source is not Source.RECHECK:
            return None
        is_open = self._is_open_for_writing(ticket, sight)
        return self._settling_of(ticket.library).max_wait if is_open else None

    def _is_open_for_writing(self, ticket: Ticket, sight: FileStat) -> bool | None:
        with self._at.in_hand(ticket.path, ticket.library, sight.device) as file:
            return file.is_open_for_writing()

    def _take(
        self,
        ticket: Ticket,
        sight: FileStat,
        links: tuple[bytes, ...],
        file: InHand,
        keep_watching_after: float | None,
        if_it_changes: Callable[[], Examination],
    ) -> Examination:
        """The file has settled: read it, where its library wants hashes, and its tags in any case."""
        quiet = self._settling_of(ticket.library).quiet
        if not self._hashes(ticket.library):
            tags = self._at.read_tags(ticket.path, sight)
            return Examination(
                self._observation(ticket, sight), sight, quiet, keep_watching_after, links, tags
            )
        is_small = sight.size < _WHOLE_BELOW and not ticket.by_worker
        if is_small and (whole := self._at.read_whole(ticket.path, sight)) is not None:
            seen = self._observation(ticket, sight)
            return Examination(seen, sight, quiet, keep_watching_after, links, whole=whole)
        return self._read(ticket, sight, links, file, keep_watching_after, if_it_changes)

    def _read(
        self,
        ticket: Ticket,
        sight: FileStat,
        links: tuple[bytes, ...],
        file: InHand,
        keep_watching_after: float | None,
        if_it_changes: Callable[[], Examination],
    ) -> Examination:
        tags, quiet = self._at.read_tags(ticket.path, sight), self._settling_of(ticket.library).quiet
        if sight.size >= _LONG_BYTES:
            self._begins_reading(ticket, sight)
        try:
            reading = file.read()
        except (Vanished, NotRegular):
            return Examination(None, sight)
        except Crowded:
            return Examination(None, sight, quiet)
        except ChangedWhileReading:
            return if_it_changes()
        except Unreadable as exc:
            if exc.errno not in _FORBIDDEN:
                return Examination(self._observation(ticket, UNKNOWN))
            return Examination(self._observation(ticket, sight, error=str(exc)), sight, other_links=links)
        observation = self._observation(ticket, reading.stat, reading=reading)
        return Examination(observation, reading.stat, quiet, keep_watching_after, links, tags)

    def _growing(
        self, ticket: Ticket, sight: FileStat, links: tuple[bytes, ...], later: float
    ) -> Examination:
        growing = self._observation(ticket, sight, growing=True)
        return Examination(growing, sight, keep_watching_after=later, other_links=links)

    def _observation(
        self,
        ticket: Ticket,
        sight: Sight,
        *,
        reading: Reading | None = None,
        growing: bool = False,
        error: str | None = None,
    ) -> Observation:
        """What was seen. Mode and owner are asked for last: if they change after that, so does the ctime."""
        return Observation(
            path=ticket.path,
            library=ticket.library,
            sight=sight,
            fingerprint=reading.fingerprint if reading else None,
            read_at_ns=reading.read_at_ns if reading else 0,
            growing=growing,
            error=error,
            moved_from=ticket.moved_from,
            owed=ticket.closed or ticket.must_hash,
            source=ticket.source,
            noticed=ticket.noticed,
            changed_ns=ticket.changed_ns,
            idle=None if self._stream_of(ticket.library) is None else False,
            unhashed=isinstance(sight, FileStat) and not self._hashes(ticket.library),
            attributes=self._at.attributes(ticket.path, ticket.library)
            if isinstance(sight, FileStat)
            else None,
        )
