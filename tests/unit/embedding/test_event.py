from __future__ import annotations

import json
import os
import pickle
from datetime import UTC, datetime
from pathlib import Path

import pytest

from file_watcher.embedding.event import FileEvent, Hashes, event_of
from file_watcher.model import Metadata, OutboxMessage
from tests.support.parcels import message


def read(recorded: OutboxMessage) -> FileEvent:
    return event_of(recorded, json.loads(recorded.body), b"/data")


def test_an_event_says_what_the_message_says() -> None:
    event = read(message(1, "moved", b"/data/b/file", b"/data/a/file"))
    assert (event.kind, event.operation, event.path, event.old_path) == (
        "moved",
        "put",
        Path("/data/b/file"),
        Path("/data/a/file"),
    )
    assert event.hashes == Hashes("01" * 32, "02" * 16)
    assert event.size == 3
    assert event.time == datetime(2023, 11, 14, 22, 13, 21, tzinfo=UTC)
    assert event.modified_at == datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)
    assert event.path.relative_to(event.root) == Path("b/file")
    assert (event.event_id, event.file_id, event.version) == ("event-1", "file-1", 1)
    assert str(event) == "moved /data/a/file → /data/b/file"


def test_what_is_unknown_is_none() -> None:
    event = read(message(1, "deleted", fingerprint=None, stat=None))
    assert (event.operation, event.hashes, event.size, event.modified_at) == ("delete", None, None, None)
    assert event.metadata is None


def test_a_path_keeps_its_bytes_and_can_be_shown() -> None:
    event = read(message(1, path=b"/data/\xff"))
    assert os.fsencode(event.path) == b"/data/\xff"
    assert str(event) == "created /data/�"


def test_metadata_are_read_once_and_only_when_asked_for() -> None:
    asked: list[FileEvent] = []

    def source(event: FileEvent) -> Metadata:
        asked.append(event)
        return {"duration": 1.0}

    recorded = message(1)
    event = event_of(recorded, json.loads(recorded.body), b"/data", source)
    assert asked == []
    assert (event.metadata, event.metadata) == ({"duration": 1.0}, {"duration": 1.0})
    assert asked == [event]


def test_an_event_can_go_to_another_process_with_the_metadata_that_were_asked_for() -> None:
    recorded = message(1)
    event = event_of(recorded, json.loads(recorded.body), b"/data", lambda event: {"duration": 1.0})
    assert pickle.loads(pickle.dumps(event)).metadata is None
    assert event.metadata is not None
    there = pickle.loads(pickle.dumps(event))
    assert there == event
    assert there.metadata == {"duration": 1.0}


def test_an_event_is_frozen() -> None:
    with pytest.raises(AttributeError):
        read(message(1)).size = 4  # type: ignore[misc]
