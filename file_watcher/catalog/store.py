"""The catalog's files: what was last told about each of them.

Owns no thread. The decider's thread commits; the decider, the workers and the scanner read, each from
its own thread and at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final

import structlog
from sqlalchemy import Connection

from file_watcher.catalog.batch import Batch, BatchWriter, Refusal
from file_watcher.catalog.database import Database
from file_watcher.catalog.failures import is_poison
from file_watcher.catalog.leases import NO_LEASES, LeaseGuard
from file_watcher.catalog.messages import NewMessage, Span
from file_watcher.catalog.questions import FileQuestions, questions_for
from file_watcher.catalog.rows import RootDevices, entries_of, record_of, signed, unsigned
from file_watcher.errors import CatalogUnavailable
from file_watcher.model import CatalogEntry, FileRecord, Library, display

__all__ = ["Batch", "CatalogStore", "NewMessage", "Refusal"]

log = structlog.get_logger(__name__)

OnRefused = Callable[[Sequence[Refusal]], None]
"""Called on the committing thread, after the commit, with what was left out of it."""

_EVERY: Final = 1 << 31
"""A limit that limits nothing."""
_CHUNK: Final = 256
"""Values asked for in one statement: SQLite keeps the plans of statements that come again, and older
versions allow 999 values."""


class _Poisoned(Exception):
    """Leaves a transaction so that it is undone; the batch is tried again file by file."""


class CatalogStore:
    """Reads and commits records. Nothing is seen before `own` has said which libraries are ours.

    All methods raise CatalogUnavailable (the same call may succeed later) or CatalogError.
    """

    def __init__(
        self, database: Database, on_refused: OnRefused | None = None, leases: LeaseGuard = NO_LEASES
    ) -> None:
        self._database = database
        self._devices = RootDevices()
        self._writer = BatchWriter(database, self._devices, leases)
        self._on_refused = on_refused
        self._ask: FileQuestions = questions_for(database, ())
        self._outcome_unknown = False

    def own(self, libraries: Iterable[Library], *, learns_attributes: Collection[int] = ()) -> None:
        """Restrict everything that is read to these libraries, from now on; may be called while others read.

        `learns_attributes`: numbers of those whose entries are not trusted where mode and owner are not known,
        so that a scan has the files looked at.
        """
        self._ask = questions_for(
            self._database,
            sorted({library.id for library in libraries}),
            learns_attributes=learns_attributes,
        )

    def set_root_device(self, library_id: int, device: int) -> None:
        """Say which st_dev the library's root has now; to be called before its records are read.

        Records on the root's device are stored without its number, which changes between boots.
        """
        self._devices.set(library_id, device)

    def find(self, path: bytes, inode: int) -> list[FileRecord]:
        """The records at this path or with this inode number."""
        rows = self._database.ask(self._ask.by_path_or_inode, (path, signed(inode)))
        return [record_of(row, self._devices) for row in rows]

    def load(
        self, paths: Collection[bytes], inodes: Collection[int], contents: Collection[tuple[int, bytes]]
    ) -> list[FileRecord]:
        """All records at one of the paths, with one of the inode numbers, or one of the (size, sha256).

        Each record once, in no order. After a commit whose outcome is unknown this waits until the
        database has decided it, so that what is read is what the next decision stands on.
        """
        self._settle_unknown_outcome()
        found: dict[int, Sequence[Any]] = {}
        self._gather(found, self._ask.by_paths, list(paths))
        self._gather(found, self._ask.by_inodes, [signed(inode) for inode in inodes])
        self._gather(found, self._ask.by_contents, list(contents))
        return [record_of(row, self._devices) for row in found.values()]

    def below(self, folder: bytes, after: bytes = b"", limit: int = 1000) -> list[CatalogEntry]:
        """One page of what lies below the folder with a path greater than `after`, ordered by path bytes."""
        first, end = _range_below(folder)
        rows = self._database.ask(self._ask.entries_in, (max(first, after), end, limit))
        return entries_of(rows, self._devices)

    def recorded_inodes(self, inodes: Collection[int]) -> set[int]:
        """Those of the inode numbers that any row has, of whatever library."""
        numbers = [signed(inode) for inode in inodes]
        found: set[int] = set()
        for start in range(0, len(numbers), _CHUNK):
            question = self._ask.recorded_inodes(numbers[start : start + _CHUNK])
            found.update(unsigned(row[0]) for row in self._database.ask(*question))
        return found

    def records_below(self, folder: bytes, limit: int) -> list[FileRecord]:
        """The first records below the folder, ordered by path bytes, at most `limit`."""
        first, end = _range_below(folder)
        rows = self._database.ask(self._ask.records_in, (first, end, limit))
        return [record_of(row, self._devices) for row in rows]

    def records_below_any(self, folders: Collection[bytes]) -> dict[bytes, list[FileRecord]]:
        """All records below each of these paths, for those that have any: where folders once were."""
        intervals = {_range_below(folder): folder for folder in folders}
        found: list[bytes] = []
        for start in range(0, len(intervals), _CHUNK):
            question = self._ask.folders_among(list(intervals)[start : start + _CHUNK])
            found.extend(bytes(row[0]) for row in self._database.ask(*question))
        by_first = {first: folder for (first, _), folder in intervals.items()}
        return {by_first[first]: self.records_below(by_first[first], _EVERY) for first in set(found)}

    def outside(self, library: Library, after: bytes, limit: int) -> list[bytes]:
        """Paths of the library's records that do not lie below its root, since that was another one before:
        one page of those greater than `after`, in the order of their bytes. Reads a whole index."""
        rows = self._database.ask(self._ask.outside, (library.id, after, *_range_below(library.root), limit))
        return [bytes(row[0]) for row in rows]

    def exists_below(self, folder: bytes) -> bool:
        """Whether any record lies below the folder."""
        return bool(self.below(folder, limit=1))

    def count(self, library_id: int) -> int:
        """How many files of the library are catalogued. Reads its whole index: not for hot paths."""
        with self._database.reading() as connection:
            result: int = connection.exec_driver_sql(self._ask.count, (library_id,)).scalar_one()
        return result

    def commit(self, batch: Batch) -> Span | None:
        """Carry out the whole batch in one transaction; returns the first and last sequence of its messages.

        A file whose rows or messages the database refuses is left out with all that belongs to it,
        logged and reported to `on_refused`; the others are committed. Raises CatalogUnavailable when
        nothing was committed or it is not known: load again and decide from scratch; LeaseLost, which is
        one, where another instance owns one of the libraries.
        """
        try:
            return self._commit(batch)
        except CatalogUnavailable:
            self._outcome_unknown = True
            raise

    def _commit(self, batch: Batch) -> Span | None:
        try:
            with self._database.writing() as connection:
                return self._write(connection, batch)
        except _Poisoned:
            with self._database.writing() as connection:
                span, refusals = self._writer.write_acceptable(connection, batch)
        self._report(refusals)
        return span

    def _write(self, connection: Connection, batch: Batch) -> Span | None:
        try:
            return self._writer.write(connection, batch)
        except Exception as exc:
            if is_poison(exc):
                raise _Poisoned from exc
            raise

    def _report(self, refusals: Sequence[Refusal]) -> None:
        for refusal in refusals:
            log.error("file_refused_by_catalog", paths=[*map(display, refusal.paths)], reason=refusal.reason)
        if refusals and self._on_refused is not None:
            self._on_refused(refusals)

    def _settle_unknown_outcome(self) -> None:
        if self._outcome_unknown:
            with self._database.writing() as connection:
                self._writer.take_turn(connection)
            self._outcome_unknown = False

    def _gather(
        self,
        found: dict[int, Sequence[Any]],
        question: Callable[[Sequence[Any]], tuple[str, tuple[Any, ...]]],
        values: Sequence[Any],
    ) -> None:
        for start in range(0, len(values), _CHUNK):
            for row in self._database.ask(*question(values[start : start + _CHUNK])):
                found[row[0]] = row


def _range_below(folder: bytes) -> tuple[bytes, bytes]:
    """The open interval of the paths below a folder: "/" is followed by "0" in every byte order."""
    stem = folder.rstrip(b"/")
    return stem + b"/", stem + b"0"
