"""The messages that wait for their confirm, and the record of those that had it.

Owns no thread. The relay's thread reads, reserves and marks; the decider records through the store,
everybody else through `record`; pruning and merging (`compaction`) run on the thread that keeps house.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from file_watcher.catalog.database import Database
from file_watcher.catalog.leases import NO_LEASES, LeaseGuard
from file_watcher.catalog.messages import MessageWriter, NewMessage, Span
from file_watcher.catalog.tables import WAITING
from file_watcher.model import OutboxMessage

_WHOLE: Final = "library_id IS NOT NULL"
_PRUNE_CHUNK: Final = 500
"""Rows deleted in one transaction: a few milliseconds, which is how long a commit may have to wait."""


class Ours(NamedTuple):
    """Which libraries an outbox is of, at one moment."""

    condition: str
    """In SQL, on `library_id`."""
    library_ids: tuple[int, ...]


class Outbox:
    """The outbox of some libraries, or of all. Methods raise CatalogUnavailable or CatalogError."""

    def __init__(
        self, database: Database, library_ids: Collection[int] | None, leases: LeaseGuard = NO_LEASES
    ) -> None:
        """`library_ids` None: of all libraries, whatever `own` says."""
        self._database = database
        self._leases = leases
        self._writer = MessageWriter(database)
        self._is_sqlite = database.is_sqlite
        self._memory = threading.Lock()
        self._merged: list[Span] = []
        self._pruned_up_to = 0
        """All that is left up to here waits, or was marked since."""
        self._owns_all = library_ids is None
        self.own(library_ids or ())

    def own(self, library_ids: Collection[int]) -> None:
        """It is the outbox of these libraries from now on. May be called while others read and write: what is
        asked at that moment is asked of those before."""
        database = self._database
        self._library_ids = sorted(library_ids)
        ours = f"library_id IN ({', '.join(map(str, self._library_ids)) or 'NULL'})"
        ours = _WHOLE if self._owns_all else ours
        self.ours = Ours(ours, tuple(self._library_ids))
        chosen = (
            "sequence IN (SELECT value FROM json_each(?))"
            if self._is_sqlite
            else "sequence = ANY(?::bigint[])"
        )
        sql = database.driver_sql
        self._waiting = waiting = (
            "SELECT sequence, event_id, event_type, routing_key, coalesce(libraries.name, ''), fw_events.path, "  # noqa: S608
            "old_path, body, created_ns, queue, library_id, exchange FROM fw_events "
            "LEFT JOIN libraries ON libraries.id = library_id "
            f"WHERE sequence > ? AND {WAITING} AND {ours}"
        )
        self._pending = sql(f"{waiting} ORDER BY sequence LIMIT ?")
        self._pending_of = sql(f"{waiting} AND library_id = ? AND sequence <= ? ORDER BY sequence LIMIT ?")
        self._publish = sql(f"UPDATE fw_events SET published_ns = ? WHERE {chosen}")  # noqa: S608
        self._unroute = sql(f"UPDATE fw_events SET unrouted = ? WHERE {chosen}")  # noqa: S608
        self._delete = sql(f"DELETE FROM fw_events WHERE {chosen}")  # noqa: S608
        self._reserve = sql(
            "INSERT INTO fw_outbox_marks (library_id, sent_up_to) VALUES (?, ?) ON CONFLICT (library_id) DO UPDATE "
            "SET sent_up_to = excluded.sent_up_to WHERE excluded.sent_up_to > fw_outbox_marks.sent_up_to"
        )
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

    def pending(
        self, after_sequence: int, limit: int, left_behind: Collection[int] = ()
    ) -> list[OutboxMessage]:
        """What waits, with a greater sequence than the given one, in commit order.

        Of libraries that are `left_behind` only what tells of a move: the rest is not even read.
        """
        asked = self._pending
        if left_behind:
            others = (
                f"(library_id NOT IN ({', '.join(map(str, sorted(left_behind)))}) OR old_path IS NOT NULL)"
            )
            asked = self._database.driver_sql(f"{self._waiting} AND {others} ORDER BY sequence LIMIT ?")
        rows = self._database.ask(asked, (after_sequence, limit))
        return [OutboxMessage(*row) for row in rows]

    def pending_of(self, library_id: int, after_sequence: int, up_to: int, limit: int) -> list[OutboxMessage]:
        """What waits of one library with a sequence greater than the first one and up to the second one."""
        rows = self._database.ask(self._pending_of, (after_sequence, library_id, up_to, limit))
        return [OutboxMessage(*row) for row in rows]

    def reserve(self, up_to: int, library_ids: Collection[int]) -> None:
        """Note, in one small transaction, that everything of these libraries up to this sequence may have been
        sent. Never lowers."""
        if not library_ids:
            return
        with self._database.writing() as connection:
            self._writer.take_turn(connection)
            self._leases.confirm(connection, library_ids)
            connection.exec_driver_sql(self._reserve, [(each, up_to) for each in sorted(library_ids)])

    def sent_up_to(self, connection: Connection, of: Ours | None = None) -> int:
        """What lies above this sequence was never sent; 0 where nothing was. It stays so until the end of a
        transaction that has taken its turn; on another connection it is only a lower bound."""
        ours = (of or self.ours).condition
        marks = f"SELECT max(sent_up_to) FROM fw_outbox_marks WHERE {ours}"  # noqa: S608 - numbers
        return connection.exec_driver_sql(marks).scalar() or 0

    def remove_never_sent(self, messages: Sequence[tuple[int, int]], of: Ours) -> int:
        """Delete the messages, given by sequence and guard, whose guard lies above what may have been sent.

        `of` are the libraries that they belong to; raises LeaseLost where one of them is another's.

        In one transaction, after which none of them is sent; returns how many were deleted. The caller has
        told `note_merging`.
        """
        with self._database.writing() as connection:
            self._writer.take_turn(connection)
            self._leases.confirm(connection, of.library_ids)
            floor = self.sent_up_to(connection, of)
            chosen = [sequence for sequence, guard in messages if min(sequence, guard) > floor]
            if chosen:
                connection.exec_driver_sql(self._delete, (self._numbers(chosen),))
        return len(chosen)

    def note_merging(self, floor: int, upper: int) -> None:
        """Messages above `floor` may from now on be merged into later ones, none of them above `upper`."""
        with self._memory:
            if self._merged and floor < self._merged[-1][1]:
                floor = min(floor, self._merged.pop()[0])
            self._merged.append((floor, upper))

    def carrier_of(self, sequence: int) -> int:
        """The sequence up to which all must be published for what was recorded up to the given one to be told.

        A greater one where messages may have been merged into later ones since this process started.
        """
        with self._memory:
            return max((upper for floor, upper in self._merged if floor < sequence < upper), default=sequence)

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

    def record(
        self, messages: Sequence[NewMessage], only_if: Callable[[Connection], bool] = lambda _connection: True
    ) -> Span | None:
        """Record messages that belong to no file's row (notices), in one transaction.

        None where there are none, or `only_if`, which is asked in that transaction and may write, says no.
        """
        if not messages:
            return None
        with self._database.writing() as connection:
            self._writer.take_turn(connection)
            self._leases.confirm(connection, {message.library_id for message in messages})
            return self._writer.write(connection, messages) if only_if(connection) else None

    def prune(
        self, retention_seconds: float, keep: int, should_stop: Callable[[], bool] = lambda: False
    ) -> int:
        """Forget settled messages that are older than the retention or not among the newest `keep`.

        What waits is never forgotten. Newest are counted by sequence, over all libraries of the
        database. Works in short transactions, so that commits go on in between, and ends early where
        `should_stop` says so; returns how many were deleted. What was found waiting is looked at again only
        after a mark: a backlog of a million is read through once, not every time.
        """
        bound = self._prunable_up_to(time.time_ns() - int(retention_seconds * 1e9), keep)
        with self._memory:
            after, self._pruned_up_to = self._pruned_up_to, max(bound, self._pruned_up_to)
        try:
            deleted, done_up_to = self._prune_between(after, bound, should_stop)
        except BaseException:
            self._look_again_after(after)
            raise
        self._look_again_after(done_up_to)
        return deleted

    def _prune_between(self, after: int, bound: int, should_stop: Callable[[], bool]) -> tuple[int, int]:
        """How many were deleted, and up to where all was looked at."""
        deleted = 0
        while not should_stop():
            with self._database.reading() as connection:
                found = (
                    connection.exec_driver_sql(self._settled, (after, bound, _PRUNE_CHUNK)).scalars().all()
                )
            if not found:
                return deleted, bound
            with self._database.writing() as connection:
                connection.exec_driver_sql(self._delete, (self._numbers(found),))
            deleted += len(found)
            after = found[-1]
        return deleted, after

    def _look_again_after(self, sequence: int) -> None:
        with self._memory:
            self._pruned_up_to = min(self._pruned_up_to, sequence)

    def _prunable_up_to(self, cutoff_ns: int, keep: int) -> int:
        with self._database.reading() as connection:
            aged = connection.exec_driver_sql(self._aged, (cutoff_ns,)).scalar() or 0
            last = connection.exec_driver_sql("SELECT max(sequence) FROM fw_events").scalar() or 0
        return max(aged, last - keep)

    def _mark(self, statement: str, value: int | bool, sequences: Sequence[int]) -> None:
        if sequences:
            with self._database.writing() as connection:
                connection.exec_driver_sql(statement, (value, self._numbers(sequences)))
            self._look_again_after(min(sequences) - 1)

    def _numbers(self, sequences: Sequence[int]) -> Any:
        """Many numbers as one parameter, so that the statement's text is always the same."""
        return json.dumps(list(sequences)) if self._is_sqlite else list(sequences)
