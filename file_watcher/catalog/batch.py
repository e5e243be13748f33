"""A decided batch: what it holds, how it is written, and how one bad row in it is set apart.

Owns no thread; everything here runs on the thread of whoever commits.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.exc import DBAPIError

from file_watcher.catalog.database import Database
from file_watcher.catalog.failures import is_poison
from file_watcher.catalog.inserting import Insert
from file_watcher.catalog.job_windows import WindowWriter
from file_watcher.catalog.leases import NO_LEASES, LeaseGuard
from file_watcher.catalog.messages import MessageWriter, NewMessage, Span
from file_watcher.catalog.rows import STORED_COLUMNS, RootDevices, values_of
from file_watcher.catalog.tables import files
from file_watcher.jobs.job import WindowChange
from file_watcher.model import FileRecord


@dataclass(frozen=True, slots=True)
class Batch:
    """What one commit changes, carried out in the order of the fields and, within each, as given.

    `deletes` are row ids; `updates` have their `row_id`. In a chain of moves the update that frees a
    path comes before the one that takes it.
    """

    deletes: Sequence[int] = ()
    updates: Sequence[FileRecord] = ()
    inserts: Sequence[FileRecord] = ()
    messages: Sequence[NewMessage] = ()
    deletes_of: Collection[int] = ()
    """The numbers of the libraries that the `deletes` belong to."""
    windows: Sequence[WindowChange] = ()
    """What the messages add to the windows of jobs."""

    def libraries(self) -> set[int]:
        """All libraries that the batch changes or tells of."""
        rows: list[FileRecord | NewMessage | WindowChange] = [
            *self.updates,
            *self.inserts,
            *self.messages,
            *self.windows,
        ]
        return {row.library_id for row in rows} | set(self.deletes_of)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A file whose rows and messages the database refused, so that they were left out of the commit."""

    paths: tuple[bytes, ...]
    reason: str


class BatchWriter:
    """Writes batches inside transactions that the store opens."""

    def __init__(self, database: Database, devices: RootDevices, leases: LeaseGuard = NO_LEASES) -> None:
        self._devices = devices
        self._leases = leases
        self._messages = MessageWriter(database)
        self._windows = WindowWriter(database)
        assignments = ", ".join(f"{column} = ?" for column in STORED_COLUMNS)
        self._delete = database.driver_sql("DELETE FROM fw_files WHERE id = ?")
        self._update = database.driver_sql(f"UPDATE fw_files SET {assignments} WHERE id = ?")  # noqa: S608 - constants
        self._insert = Insert(database, "fw_files", STORED_COLUMNS)

    def take_turn(self, connection: Connection) -> None:
        """Wait until every earlier commit is decided, also one whose outcome was never heard."""
        self._messages.take_turn(connection)

    def write(self, connection: Connection, batch: Batch) -> Span | None:
        """Write everything; what `is_poison` recognises is raised where a row was refused, LeaseLost where a
        library is another's."""
        self.take_turn(connection)
        self._leases.confirm(connection, batch.libraries())
        return self._write(connection, batch)

    def write_acceptable(self, connection: Connection, batch: Batch) -> tuple[Span | None, list[Refusal]]:
        """Write all files of the batch that the database accepts, and tell the others.

        The culprits are found by halving, in savepoints that are undone again; what is good is then
        written in the batch's own order, because messages of different files depend on one another.
        """
        self.take_turn(connection)
        self._leases.confirm(connection, batch.libraries())
        grouped = _Grouped(batch, _file_ids(connection, batch.deletes))
        trial = connection.begin_nested()
        refused = self._culprits(connection, grouped, grouped.keys)
        trial.rollback()
        accepted = grouped.only([key for key in grouped.keys if key not in refused])
        span = self._write(connection, accepted)
        return span, [Refusal(grouped.paths(key), reason) for key, reason in refused.items()]

    def _write(self, connection: Connection, batch: Batch) -> Span | None:
        now_ns = time.time_ns()
        if batch.deletes:
            connection.exec_driver_sql(self._delete, [(row_id,) for row_id in batch.deletes])
        if batch.updates:
            connection.exec_driver_sql(
                self._update, [self._changed(record, now_ns) for record in batch.updates]
            )
        if batch.inserts:
            new = [values_of(record, self._devices, now_ns) for record in batch.inserts]
            self._insert.run(connection, new)
        self._windows.write(connection, batch.windows)
        return self._messages.write(connection, batch.messages)

    def _changed(self, record: FileRecord, now_ns: int) -> tuple[Any, ...]:
        if record.row_id is None:
            raise ValueError("an update needs the number of its row")
        return (*values_of(record, self._devices, now_ns), record.row_id)

    def _culprits(self, connection: Connection, grouped: _Grouped, keys: Sequence[str]) -> dict[str, str]:
        """Which files are refused, and why; the others stay written within the trial."""
        part = connection.begin_nested()
        try:
            self._write(connection, grouped.only(keys))
        except Exception as exc:
            if not is_poison(exc):
                raise  # the savepoint is left alone: a full disk has undone the whole transaction
            part.rollback()
            if len(keys) == 1:
                return {keys[0]: _reason(exc)}
        else:
            part.commit()
            return {}
        half = len(keys) // 2
        first = self._culprits(connection, grouped, keys[:half])
        return first | self._culprits(connection, grouped, keys[half:])


class _Grouped:
    """A batch whose rows and messages are known by file, so that they stay or fall together."""

    def __init__(self, batch: Batch, deleted: Mapping[int, str]) -> None:
        self._batch = batch
        self._deleted = deleted
        ordered = [
            *map(self._of_delete, batch.deletes),
            *map(_of_record, batch.updates),
            *map(_of_record, batch.inserts),
            *map(_of_message, batch.messages),
            *(change.file_id for change in batch.windows),
        ]
        self.keys = list(dict.fromkeys(ordered))

    def only(self, keys: Collection[str]) -> Batch:
        """The batch with nothing but these files, in its own order."""
        kept = frozenset(keys)
        return Batch(
            [row_id for row_id in self._batch.deletes if self._of_delete(row_id) in kept],
            [record for record in self._batch.updates if _of_record(record) in kept],
            [record for record in self._batch.inserts if _of_record(record) in kept],
            [message for message in self._batch.messages if _of_message(message) in kept],
            windows=[change for change in self._batch.windows if change.file_id in kept],
        )

    def paths(self, key: str) -> tuple[bytes, ...]:
        """All paths that the file has in the batch."""
        mine = self.only([key])
        rows: list[FileRecord | NewMessage] = [*mine.updates, *mine.inserts, *mine.messages]
        return tuple(dict.fromkeys(row.path for row in rows))

    def _of_delete(self, row_id: int) -> str:
        return self._deleted.get(row_id, f"row {row_id}")


def _of_record(record: FileRecord) -> str:
    return record.file_id


def _of_message(message: NewMessage) -> str:
    return message.file_id or message.event_id


def _file_ids(connection: Connection, row_ids: Sequence[int]) -> dict[int, str]:
    question = select(files.c.id, files.c.file_id).where(files.c.id.in_(bindparam("ids", expanding=True)))
    rows = connection.execute(question, {"ids": list(row_ids)})
    return {row.id: row.file_id for row in rows}


def _reason(error: Exception) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return str(cause).partition("\n")[0]
