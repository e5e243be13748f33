"""Records messages in the outbox, inside a transaction that somebody else opened.

Owns no thread. The sequence rises in commit order: on SQLite because there is one writer, on PostgreSQL
because every transaction that records holds one advisory lock until it ends, also one whose client was
lost during its commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from file_watcher.catalog.database import Database
from file_watcher.catalog.inserting import Insert
from file_watcher.model import display

_OUTBOX_LOCK: Final = 0x6677_0002
"""Key of PostgreSQL's advisory lock; any constant number does ("fw")."""

_COLUMNS: Final = (
    "event_id",
    "library_id",
    "file_id",
    "event_type",
    "routing_key",
    "path",
    "old_path",
    "path_text",
    "created_ns",
    "unrouted",
    "body",
    "queue",
    "snapshot",
    "exchange",
)

Span = tuple[int, int]
"""First and last sequence of what was recorded, both included."""


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to record. `body` is its exact wire form, `created_ns` when the change was noticed."""

    event_id: str
    event_type: str
    routing_key: str
    library_id: int
    path: bytes
    body: bytes
    created_ns: int
    file_id: str | None = None
    old_path: bytes | None = None
    queue: str | None = None
    """The one queue that gets it; None for the exchange."""
    snapshot: str | None = None
    """The snapshot that it belongs to."""
    exchange: str | None = None
    """The exchange of jobs, which do not go to the one of events."""


class MessageWriter:
    """Inserts messages for one database."""

    def __init__(self, database: Database) -> None:
        self._must_lock = not database.is_sqlite
        self._insert = Insert(database, "fw_events", _COLUMNS)
        self._span = database.driver_sql(
            "SELECT min(sequence), max(sequence) FROM fw_events WHERE sequence > ?"
        )

    def take_turn(self, connection: Connection) -> None:
        """Wait for the earlier transactions that record, and keep later ones waiting until this one ends."""
        if self._must_lock:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_OUTBOX_LOCK})").close()

    def write(self, connection: Connection, messages: Sequence[NewMessage]) -> Span | None:
        """Insert in the given order and tell the span. The caller has taken its turn."""
        if not messages:
            return None
        before = connection.exec_driver_sql("SELECT max(sequence) FROM fw_events").scalar() or 0
        self._insert.run(
            connection,
            [
                (
                    message.event_id,
                    message.library_id,
                    message.file_id,
                    message.event_type,
                    message.routing_key,
                    message.path,
                    message.old_path,
                    display(message.path),
                    message.created_ns,
                    False,
                    message.body,
                    message.queue,
                    message.snapshot,
                    message.exchange,
                )
                for message in messages
            ],
        )
        first, last = connection.exec_driver_sql(self._span, (before,)).one()
        return first, last
