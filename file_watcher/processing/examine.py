"""Examine one path: look, settle, hash. What comes out is an observation for the decider.

Free of threads: the pool (`processing.pool`) calls it from its workers. Nothing is decided here; a catalog
row only saves the reading of what it proves (rule 5).
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
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
from file_watcher.processing.evidence import may_stay_unread
from file_watcher.processing.fingerprint import (
    ChangedWhileReading,
    NotRegular,
    Reading,
    Unreadable,
    Vanished,
)
from file_watcher.processing.settle import SettleConfig, Verdict, told_at, verdict

_FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM})

MetadataFuture = Future[Metadata | None]


class Surroundings(Protocol):
    """What an examination asks of the outside. Every call may block on the disk or the catalog."""

    def look(self, path: bytes, library: Library | None) -> Sight:
        """What is at the path now."""

    def find(self, path: bytes, inode: int) -> Sequence[FileRecord]:
        """Rows at the path or with the inode. Raises CatalogUnavailable."""

    def is_open_for_writing(self, path: bytes) -> bool | None:
        """Whether anybody can write to it now; None where that cannot be known."""

    def inode_with_other_names(self, path: bytes) -> int:
        """The inode of what is at the path if it has other names, else 0."""

    def read(self, path: bytes) -> Reading:
        """Read and hash the file. Raises the errors of `processing.fingerprint`."""

    def read_tags(self, path: bytes, stat: FileStat) -> MetadataFuture | None:
        """Begin to read the medium's tags; None where the file is no medium."""


@dataclass(frozen=True, slots=True)
class Examination:
    """One path examined: either an `observation`, or (None) the wish to look again after `again_after` seconds.

    `keep_watching_after` asks for another look in the background once the observation is decided, since
    the file is still open. `other_links` are rows of the same inode that the same write changed.
    `read_again` asks for another reading in the background, since the tags could not be had for a reason that
    may pass.
    """

    observation: Observation | None
    stat: FileStat | None = None
    again_after: float = 0.0
    keep_watching_after: float | None = None
    other_links: tuple[bytes, ...] = ()
    tags: MetadataFuture | None = None
    read_again: bool = False


class Examiner:
    """Examines paths, one call a path; safe to call from several threads."""

    def __init__(self, config: SettleConfig, surroundings: Surroundings) -> None:
        self._config = config
        self._at = surroundings

    def examine(self, ticket: Ticket, now: float) -> Examination:
        """Look at the ticket's path, and read the file where needed and settled.

        Blocks as long as the disk takes. Raises CatalogUnavailable and `fingerprint.Interrupted`.
        """
        sight = self._at.look(ticket.path, ticket.library)
        if not isinstance(sight, FileStat):
            rows = self._at.find(ticket.path, 0)
            links = self._links(ticket, None, rows) + self._wanted_names(ticket)
            return Examination(_observation(ticket, sight), other_links=links)
        rows = self._at.find(ticket.path, sight.inode)
        links = self._links(ticket, sight, rows)
        if not ticket.must_hash and not self._must_read(ticket, sight, rows):
            keep = self._keep_watching(ticket)
            return Examination(_observation(ticket, sight), None, 0.0, keep, links)
        is_open = self._at.is_open_for_writing(ticket.path)
        judged = verdict(self._config, ticket, sight, is_open, now)
        if judged is Verdict.WAIT:
            return Examination(None, sight, self._config.quiet)
        if judged is Verdict.GROWING:
            growing = _observation(ticket, sight, growing=True)
            return Examination(growing, sight, keep_watching_after=self._config.quiet, other_links=links)
        keep = self._config.max_wait if judged is Verdict.READY_BUT_OPEN else None
        return self._read(ticket, sight, links, keep, now)

    def _links(self, ticket: Ticket, sight: FileStat | None, rows: Sequence[FileRecord]) -> tuple[bytes, ...]:
        """Other names of the file that is here, and of the one that was: a write under this name hints at none
        of them. Only the kernel's hints are passed on; names that wait for their decision would hint at
        each other for ever."""
        if ticket.source is not Source.KERNEL:
            return ()
        links = [row for row in rows if sight and not row.stat.same_bytes_likely(sight)]
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
        if ticket.closed:
            return True
        return not any(may_stay_unread(row, sight, ticket.moved_from, ticket.path) for row in rows)

    def _keep_watching(self, ticket: Ticket) -> float | None:
        """What is looked at without a hint may be known to be open: its next growth raises no hint either."""
        is_open = ticket.source is Source.RECHECK and self._at.is_open_for_writing(ticket.path)
        return self._config.max_wait if is_open else None

    def _read(
        self,
        ticket: Ticket,
        sight: FileStat,
        links: tuple[bytes, ...],
        keep_watching_after: float | None,
        now: float,
    ) -> Examination:
        tags = self._at.read_tags(ticket.path, sight)
        try:
            reading = self._at.read(ticket.path)
        except (Vanished, NotRegular):
            return Examination(None, sight)
        except ChangedWhileReading:
            if now - told_at(ticket) < self._config.max_wait:
                return Examination(None, None, self._config.quiet)
            growing = _observation(ticket, sight, growing=True)
            return Examination(growing, sight, keep_watching_after=self._config.quiet, other_links=links)
        except Unreadable as exc:
            if exc.errno not in _FORBIDDEN:
                return Examination(_observation(ticket, UNKNOWN))
            return Examination(_observation(ticket, sight, error=str(exc)), sight, other_links=links)
        observation = _observation(ticket, reading.stat, reading=reading)
        return Examination(observation, reading.stat, 0.0, keep_watching_after, links, tags)


def _observation(
    ticket: Ticket,
    sight: Sight,
    *,
    reading: Reading | None = None,
    growing: bool = False,
    error: str | None = None,
) -> Observation:
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
    )
