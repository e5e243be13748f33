"""The messages that wait for their confirm, and the record of those that had it.

Owns no thread. The relay's thread reads and marks; the decider records through the store, everybody
else through `record`; pruning may run on any thread.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Sequence
from typing import Any, Final

from file_watcher.catalog.database import Database
from file_watcher.catalog.messages import MessageWriter, NewMessage, Span
from file_watcher.catalog.tables import WAITING
from file_watcher.model import OutboxMessage

_PRUNE_CHUNK: Final = 500
"""Rows deleted in one transaction: a few milliseconds, which is how long a commit may have to wait."""


class Outbox:
    """The outbox of some libraries. All methods raise CatalogUnavailable or CatalogError."""

    def __init__(self, database: Database, library_ids: Collection[int]) -> None:
        self._database = database
        self._writer = MessageWriter(database)
        self._is_sqlite = database.is_sqlite
        ours = f"library_id IN ({', '.join(map(str, sorted(library_ids))) or 'NULL'})"
        chosen = (
            "sequence IN (SELECT value FROM json_each(?))"
            if self._is_sqlite
            else "sequence = ANY(?::bigint[])"
        )
        sql = database.driver_sql
        self._pending = sql(
            "SELECT sequence, event_id, event_type, routing_key, coalesce(libraries.name, ''), fw_events.path, "  # noqa: S608
            "old_path, body, created_ns, queue FROM fw_events LEFT JOIN libraries ON libraries.id = library_id "
            f"WHERE sequence > ? AND {WAITING} AND {ours} ORDER BY sequence LIMIT ?"
        )
        self._publish = sql(f"UPDATE fw_events SET published_ns = ? WHERE {chosen}")  # noqa: S608
        self._unroute = sql(f"UPDATE fw_events SET unrouted = ? WHERE {chosen}")  # noqa: S608
        self._delete = sql(f"DELETE FROM fw_events WHERE {chosen}")  # noqa: S608
        self._count = f"SELECT count(*) FROM fw_events WHERE {WAITING} AND {ours}"  # noqa: S608
        self._count_up_to = sql(f"{self._count} AND sequence <= ?")
        self._oldest = (
            f"SELECT created_ns FROM fw_events WHERE {WAITING} AND {ours} ORDER BY sequence LIMIT 1"  # noqa: S608
        )
        self._last = f"SELECT max(sequence) FROM fw_events WHERE {ours}"  # noqa: S608
        self._aged = sql(
            "SELECT sequence FROM fw_events WHERE created_ns < ? ORDER BY created_ns DESC LIMIT 1"
        )
        self._settled = sql(
            f"SELECT sequence FROM fw_events WHERE sequence > ? AND sequence <= ? AND NOT ({WAITING}) AND {ours} "  # noqa: S608
            "ORDER BY sequence LIMIT ?"
        )

    def pending(self, after_sequence: int, limit: int) -> list[OutboxMessage]:
        """What waits, with a greater sequence than the given one, in commit order."""
        rows = self._database.ask(self._pending, (after_sequence, limit))
        return [OutboxMessage(*row) for row in rows]

    def mark_published(self, sequences: Sequence[int]) -> None:
        """Note that the broker confirmed these, in one transaction. Marking twice does no harm."""
        self._mark(self._publish, time.time_ns(), sequences)

    def mark_unrouted(self, sequences: Sequence[int]) -> None:
        """Note that no queue wanted these: they no longer wait, and are kept until they are pruned."""
        self._mark(self._unroute, True, sequences)  # noqa: FBT003 - a column's value

    def depth(self) -> tuple[int, int | None]:
        """How many messages wait, and when the first of them was created (ns; None where none waits)."""
        with self._database.reading() as connection:
            count: int = connection.exec_driver_sql(self._count).scalar_one()
            oldest: int | None = connection.exec_driver_sql(self._oldest).scalar()
        return count, oldest

    def last_sequence(self) -> int:
        """The sequence of the newest message that is kept; 0 where there is none."""
        with self._database.reading() as connection:
            return connection.exec_driver_sql(self._last).scalar() or 0

    def unpublished_up_to(self, sequence: int) -> int:
        """How many messages with this sequence or a smaller one still wait."""
        with self._database.reading() as connection:
            count: int = connection.exec_driver_sql(self._count_up_to, (sequence,)).scalar_one()
        return count

    def record(self, messages: Sequence[NewMessage]) -> Span | None:
        """Record messages that belong to no file's row (notices), in one transaction."""
        if not messages:
            return None
        with self._database.writing() as connection:
            self._writer.take_turn(connection)
            return self._writer.write(connection, messages)

    def prune(self, retention_seconds: float, keep: int) -> int:
        """Forget settled messages that are older than the retention or not among the newest `keep`.

        What waits is never forgotten. Newest are counted by sequence, over all libraries of the
        database. Works in short transactions, so that commits go on in between; returns how many
        were deleted.
        """
        bound = self._prunable_up_to(time.time_ns() - int(retention_seconds * 1e9), keep)
        deleted = after = 0
        while True:
            with self._database.reading() as connection:
                found = (
                    connection.exec_driver_sql(self._settled, (after, bound, _PRUNE_CHUNK)).scalars().all()
                )
            if not found:
                return deleted
            with self._database.writing() as connection:
                connection.exec_driver_sql(self._delete, (self._numbers(found),))
            deleted += len(found)
            after = found[-1]

    def _prunable_up_to(self, cutoff_ns: int, keep: int) -> int:
        with self._database.reading() as connection:
            aged = connection.exec_driver_sql(self._aged, (cutoff_ns,)).scalar() or 0
            last = connection.exec_driver_sql("SELECT max(sequence) FROM fw_events").scalar() or 0
        return max(aged, last - keep)

    def _mark(self, statement: str, value: int | bool, sequences: Sequence[int]) -> None:
        if sequences:
            with self._database.writing() as connection:
                connection.exec_driver_sql(statement, (value, self._numbers(sequences)))

    def _numbers(self, sequences: Sequence[int]) -> Any:
        """Many numbers as one parameter, so that the statement's text is always the same."""
        return json.dumps(list(sequences)) if self._is_sqlite else list(sequences)
