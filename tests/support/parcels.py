"""Recorded messages, and the parcels that they become."""

from __future__ import annotations

import json

from file_watcher.embedding.event import event_of
from file_watcher.embedding.handover import Parcel
from file_watcher.model import (
    EventType,
    FileEvent,
    FileStat,
    Fingerprint,
    Library,
    Notice,
    OutboxMessage,
)
from file_watcher.publishing.message import encode_event, encode_notice

LIBRARY = Library(1, "data", "production", b"/data")
STAT = FileStat(3, 1_700_000_000_123_456_789, 1_700_000_000_123_456_789, 1, 7)
FINGERPRINT = Fingerprint(b"\x01" * 32, b"\x02" * 16)


def message(
    sequence: int,
    kind: str = "created",
    path: bytes = b"/data/file",
    old_path: bytes | None = None,
    queue: str | None = None,
    library: Library = LIBRARY,
    fingerprint: Fingerprint | None = FINGERPRINT,
    stat: FileStat | None = STAT,
) -> OutboxMessage:
    """The message of a file's event, as the relay reads it from the outbox."""
    event = FileEvent(
        event_type=EventType(kind),
        path=path,
        library=library,
        file_id=f"file-{sequence}",
        version=1,
        previous_version=None,
        stat=stat,
        fingerprint=fingerprint,
        metadata=None,
        old_path=old_path,
        event_id=f"event-{sequence}",
        timestamp_ns=1_700_000_001_000_000_000,
    )
    body = encode_event(event, "here")
    return OutboxMessage(
        sequence, event.event_id, kind, f"file.{kind}", library.name, path, old_path, body, 0, queue
    )


def notice(sequence: int, kind: str, library: Library = LIBRARY) -> OutboxMessage:
    """The message of a notice."""
    told = Notice(kind, library, {}, f"event-{sequence}", 1_700_000_001_000_000_000)
    body = encode_notice(told, "here")
    return OutboxMessage(sequence, told.event_id, kind, kind, library.name, library.root, None, body, 0)


def parcel(sequence: int, kind: str = "created") -> Parcel:
    """The parcel of a file's event."""
    recorded = message(sequence, kind)
    return Parcel(recorded, event_of(recorded, json.loads(recorded.body), LIBRARY.root))
