"""Samples of events, and the check that every message which a test sees keeps the shipped schemas."""

from __future__ import annotations

import json
import time
from typing import Any

from jsonschema import Draft202012Validator

from file_watcher.model import (
    EventType,
    Evidence,
    FileEvent,
    FileStat,
    Fingerprint,
    Library,
    OutboxMessage,
    Previous,
    uuid7,
)
from file_watcher.publishing import schema
from file_watcher.publishing.message import encode_event, routing_key

_VALIDATORS = {name: Draft202012Validator(schema.load(name)) for name in schema.NAMES}


def validated(body: bytes, routing_key: str | None = None) -> dict[str, Any]:
    """The document in the body. Raises jsonschema.ValidationError where it breaks the contract, and
    AssertionError where the routing key is another one than its type's."""
    document: dict[str, Any] = json.loads(body)
    if "job_id" in document:
        _VALIDATORS["job"].validate(document)
        assert routing_key in (None, f"{document['queue']}.{document['type'].replace(':', '.')}")
        return document
    kind = document.get("event_type", "")
    is_notice = "." in kind
    _VALIDATORS["notice" if is_notice else "event"].validate(document)
    if routing_key is not None:
        assert routing_key == (kind if is_notice else f"file.{kind}")
    return document


LIBRARY = Library(1, "music", "production", b"/m")
STAT = FileStat(5_123_456, 1_767_225_599_000_000_000, 1, 2, 3)
PRINT = Fingerprint(bytes(range(32)), bytes(range(16)))
METADATA = {
    "duration": 180.5,
    "bitrate": 320_000,
    "sample_rate": 44_100,
    "channels": 2,
    "format": "audio/mpeg",
    "tags": {"title": "Grüße", "track": "3"},
}
NOW_NS = 1_767_268_800_123_456_789


def event(event_type: EventType = EventType.CREATED, **changes: Any) -> FileEvent:
    """An event as the decider would make it, with `changes` to its fields."""
    values: dict[str, Any] = {
        "event_type": event_type,
        "path": b"/m/a.mp3",
        "library": LIBRARY,
        "file_id": uuid7(),
        "version": 1,
        "previous_version": None,
        "stat": STAT,
        "fingerprint": PRINT,
        "metadata": METADATA,
        "event_id": uuid7(),
        "timestamp_ns": NOW_NS,
    }
    if event_type in (EventType.MOVED, EventType.RENAMED):
        previous = Previous(b"/m/old.mp3", PRINT)
        values |= {"old_path": b"/m/old.mp3", "evidence": Evidence.INODE, "previous": previous}
    if event_type is EventType.MODIFIED:
        values |= {"changed": ("content",), "previous": Previous(b"/m/a.mp3", PRINT)}
    return FileEvent(**(values | changes))


def recorded(
    sequence: int, path: bytes = b"", old_path: bytes | None = None, **changes: Any
) -> OutboxMessage:
    """A message as the outbox holds it, with a body that keeps the contract."""
    path = path or b"/m/%d.mp3" % sequence
    told = event(EventType.MOVED if old_path else EventType.CREATED, path=path)
    values: dict[str, Any] = {
        "sequence": sequence,
        "event_id": told.event_id,
        "event_type": told.event_type.value,
        "routing_key": routing_key(told),
        "library": told.library.name,
        "path": path,
        "old_path": old_path,
        "body": encode_event(told, "abc12345"),
        "created_ns": time.time_ns(),
    }
    return OutboxMessage(**(values | changes))
