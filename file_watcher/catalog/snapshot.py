"""Records a snapshot: what the catalog knows of a library, as messages, in the transaction that reads it.

Owns no thread. Every message that was recorded before stands before the snapshot and every later one behind
it, because the transaction has its turn at the outbox before it reads the first row: what a snapshot says of a
file is what the messages before it said, and what those behind it go on from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from sqlalchemy import Connection, bindparam, select

from file_watcher.catalog.database import Database
from file_watcher.catalog.leases import NO_LEASES, LeaseGuard
from file_watcher.catalog.messages import MessageWriter, NewMessage
from file_watcher.catalog.requests import read_answer, write_answer
from file_watcher.catalog.rows import RECORD_COLUMNS, RootDevices, record_of
from file_watcher.catalog.tables import WAITING, library_state
from file_watcher.model import FileRecord

_PAGE: Final = 1000
"""Rows in memory at a time: about 3 MB with their messages."""

Interval = tuple[bytes, bytes]
"""The paths from the first, which is included, to the second, which is not."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which files a snapshot holds: those at or below `folder` whose row changed at `since_ns` or later.

    Rows change with what is told of their files, and now and then without (a touched file): with `since_ns`
    a file too many may come, never one too few. Nothing tells then what has gone since.
    """

    library_id: int
    folder: bytes
    since_ns: int | None = None


class Wording(Protocol):
    """What the messages of one snapshot say. Called inside the transaction: must not block."""

    def begin(self, suspended: str | None) -> NewMessage:
        """The first message; `suspended` is why the library is not watched at present."""

    def file(self, record: FileRecord) -> NewMessage:
        """The message about one file."""

    def end(self, count: int) -> NewMessage:
        """The last message; `count` files stand before it."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One snapshot that stands in the outbox. `first` and `last` are the sequences of its notices."""

    files: int
    first: int
    last: int
    suspended: str | None


Answer = Callable[[Sequence[Recorded]], Mapping[str, Any]]
"""The answer to the request, out of what was recorded for each scope; nothing is caught that it raises."""


class SnapshotWriter:
    """Records snapshots for one database."""

    def __init__(self, database: Database, leases: LeaseGuard = NO_LEASES) -> None:
        self._database = database
        self._leases = leases
        self._messages = MessageWriter(database)
        # The sum keeps planners from walking an index by library, which holds for nearly all rows.
        page = (
            f"SELECT {RECORD_COLUMNS} FROM fw_files WHERE library_id + 0 = ? AND path >= ? AND path < ? "  # noqa: S608
            "AND updated_ns >= ? ORDER BY path LIMIT ?"
        )
        self._page = database.driver_sql(page)

    def answer(
        self,
        request_id: int,
        told: Sequence[tuple[Scope, Wording]],
        answer: Answer,
        should_stop: Callable[[], bool],
    ) -> Mapping[str, Any] | None:
        """Record all snapshots and answer the request that wants them, in one transaction: all or nothing.

        Returns the answer, also where an earlier try had given it already although its caller heard of a
        failure; None where `should_stop` became true, and then nothing was recorded. Blocks for about 30 s for
        a million files, and nothing else is written meanwhile. Raises CatalogUnavailable or CatalogError.
        """
        try:
            with self._database.writing(is_long=True) as connection:
                self._messages.take_turn(connection)
                if (before := read_answer(connection, request_id)) is not None:
                    return before
                self._leases.confirm(connection, {scope.library_id for scope, _ in told})
                recorded = [self._record(connection, scope, wording, should_stop) for scope, wording in told]
                result = answer(recorded)
                write_answer(connection, request_id, result)
        except _Stopped:
            return None
        return result

    def _record(
        self, connection: Connection, scope: Scope, wording: Wording, should_stop: Callable[[], bool]
    ) -> Recorded:
        suspended = _suspension(connection, scope.library_id)
        first = self._write(connection, [wording.begin(suspended)])
        files = 0
        for records in self._pages(connection, scope):
            if should_stop():
                raise _Stopped
            self._write(connection, [wording.file(record) for record in records])
            files += len(records)
        return Recorded(files, first, self._write(connection, [wording.end(files)]), suspended)

    def _write(self, connection: Connection, messages: Sequence[NewMessage]) -> int:
        span = self._messages.write(connection, messages)
        assert span is not None, "there was something to write"
        return span[1]

    def _pages(self, connection: Connection, scope: Scope) -> Iterator[list[FileRecord]]:
        devices = RootDevices()  # no message tells a device
        since_ns = _EVER if scope.since_ns is None else scope.since_ns
        for first, end in at_and_below(scope.folder):
            after = first
            while True:
                values = (scope.library_id, after, end, since_ns, _PAGE)
                rows = connection.exec_driver_sql(self._page, values).all()
                if rows:
                    yield [record_of(row, devices) for row in rows]
                if len(rows) < _PAGE:
                    break
                after = rows[-1][1] + b"\0"  # no path holds it, so nothing lies between


_EVER: Final = -(1 << 63)


class Confirmation:
    """How far the messages between two sequences have come. Reads only."""

    def __init__(self, database: Database, first: int, last: int) -> None:
        self._database = database
        self._between = (first, last)
        count = "SELECT count(*) FROM fw_events WHERE sequence >= ? AND sequence <= ? AND "
        self._waiting = database.driver_sql(count + WAITING)
        self._unrouted = database.driver_sql(count + "unrouted")

    def waiting(self) -> int:
        """How many wait for their confirm. Raises CatalogUnavailable or CatalogError."""
        return self._count(self._waiting)

    def unrouted(self) -> int:
        """How many reached no queue. Raises CatalogUnavailable or CatalogError."""
        return self._count(self._unrouted)

    def _count(self, question: str) -> int:
        with self._database.reading() as connection:
            count: int = connection.exec_driver_sql(question, self._between).scalar_one()
        return count


class _Stopped(Exception):
    """Leaves the transaction so that it is undone."""


def at_and_below(folder: bytes) -> tuple[Interval, Interval]:
    """The paths at a folder, and those below it. Between the two stand others, such as `a b` and `a.mp3`."""
    stem = folder.rstrip(b"/")
    return (stem, stem + b"\0"), (stem + b"/", stem + b"0")


_STATE: Final = select(library_state.c.state, library_state.c.reason).where(
    library_state.c.library_id == bindparam("library")
)


def _suspension(connection: Connection, library_id: int) -> str | None:
    row = connection.execute(_STATE, {"library": library_id}).first()
    return row.reason or "suspended" if row is not None and row.state == "suspended" else None
