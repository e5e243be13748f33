"""The wire form of events and notices, held against the shipped schemas."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from file_watcher.model import EventType, FileEvent, FileStat, Notice, OutboxMessage, Previous, uuid7
from file_watcher.publishing.message import (
    BODY_LIMIT,
    encode_event,
    encode_job,
    encode_notice,
    properties,
    queue_of_job,
    routing_key,
    utc_text,
)
from tests.support.jobs import job, recorded_job
from tests.support.messages import LIBRARY, METADATA, NOW_NS, PRINT, event, validated


def test_a_job_has_every_key_of_the_contract_and_nothing_else() -> None:
    subject = job()
    assert validated(encode_job(subject, "abc12345"), routing_key(subject)) == {
        "job_id": subject.job_id,
        "dedupe_key": f"{'a' * 40}-1767268800123456",
        "source": "file_watcher",
        "type": "media:scan",
        "queue": "maintenance",
        "path": "/m",
        "trigger": "new_file_added",
        "library": {"id": 1, "name": "music", "type": "production"},
        "events": {"created": 2, "moved": 1},
        "count": 3,
        "window_start": "2026-01-01T12:00:00.123456Z",
        "window_end": "2026-01-01T12:00:05.123456Z",
        "instance_id": "abc12345",
        "timestamp": "2026-01-01T12:00:05.123456Z",
    }


def test_a_job_s_path_that_is_no_text_has_its_bytes_beside_it_and_stands_in_no_key() -> None:
    subject = job(path=b"/m/caf\xe9", type="a:b:c", queue="q_1")
    document = validated(encode_job(subject, "abc12345"), routing_key(subject))
    assert document["path"] == "/m/caf\ufffd"
    assert base64.b64decode(document["path_base64"]) == b"/m/caf\xe9"
    assert routing_key(subject) == "q_1.a.b.c"


def test_a_job_s_properties_name_its_type_and_its_id() -> None:
    recorded = recorded_job(1, job(type="a:b:c"))
    sent = properties(recorded, "abc12345")
    assert (sent.type, sent.message_id) == ("a:b:c", recorded.event_id)
    assert sent.headers["cloudEvents_type"] == recorded.routing_key == "maintenance.a.b.c"
    assert queue_of_job(recorded.routing_key) == "maintenance"


def told(value: FileEvent) -> dict[str, Any]:
    return validated(encode_event(value, "abc12345"), routing_key(value))


def test_an_event_has_every_key_of_the_contract_and_nothing_else() -> None:
    subject = event()

    assert told(subject) == {
        "event_id": subject.event_id,
        "event_type": "created",
        "file_path": "/m/a.mp3",
        "old_path": None,
        "timestamp": "2026-01-01T12:00:00.123456Z",
        "instance_id": "abc12345",
        "sha256_hash": PRINT.sha256.hex(),
        "xxh128_hash": PRINT.xxh128.hex(),
        "file_id": subject.file_id,
        "version": 1,
        "previous_version": None,
        "size": 5_123_456,
        "modified_at": "2025-12-31T23:59:59.000000Z",
        "library": {"id": 1, "name": "music", "type": "production"},
        "operation": "put",
        "reason": None,
        "previous": None,
        "evidence": None,
        "changed": None,
        "snapshot": None,
        "growing": False,
        "metadata": METADATA,
    }


@pytest.mark.parametrize("event_type", list(EventType))
def test_every_type_of_event_fits_the_schema_and_has_its_routing_key(event_type: EventType) -> None:
    subject = event(event_type)

    assert told(subject)["event_type"] == event_type.value
    assert routing_key(subject) == f"file.{event_type.value}"


def test_a_move_tells_where_the_file_was_and_what_proved_it() -> None:
    document = told(event(EventType.MOVED))

    assert document["old_path"] == "/m/old.mp3"
    assert document["evidence"] == "inode"
    assert document["operation"] == "put"
    assert document["previous"] == {
        "file_path": "/m/old.mp3",
        "sha256_hash": PRINT.sha256.hex(),
        "xxh128_hash": PRINT.xxh128.hex(),
    }


def test_a_deletion_is_a_delete_with_the_last_known_hashes_and_its_reason() -> None:
    document = told(event(EventType.DELETED, reason="unmatched"))

    assert document["operation"] == "delete"
    assert document["reason"] == "unmatched"
    assert document["sha256_hash"] == PRINT.sha256.hex()
    assert document["metadata"] == METADATA


def test_a_growing_file_has_no_hashes() -> None:
    document = told(event(growing=True, fingerprint=None, metadata=None))

    assert document["growing"] is True
    assert document["sha256_hash"] is None
    assert document["xxh128_hash"] is None
    assert document["metadata"] is None


def test_what_is_unknown_is_null() -> None:
    document = told(event(EventType.DELETED, stat=None, fingerprint=None, metadata=None))

    assert document["size"] is None
    assert document["modified_at"] is None


def test_a_name_that_is_not_utf8_travels_exactly_beside_its_readable_form() -> None:
    old, new = b"/m/caf\xe9.mp3", b"/m/\xff\xfe.mp3"

    document = told(event(EventType.RENAMED, path=new, old_path=old, previous=Previous(old, None)))

    assert document["file_path"] == "/m/��.mp3"
    assert base64.b64decode(document["file_path_base64"]) == new
    assert base64.b64decode(document["old_path_base64"]) == old
    assert base64.b64decode(document["previous"]["file_path_base64"]) == old


@given(st.binary(min_size=1).map(lambda name: b"/" + name))
def test_any_path_can_be_restored_from_the_message(path: bytes) -> None:
    document = told(event(path=path))

    if "file_path_base64" in document:
        restored = base64.b64decode(document["file_path_base64"])
    else:
        restored = document["file_path"].encode()
    assert restored == path


@given(st.text())
def test_any_text_in_a_tag_survives(title: str) -> None:
    body = encode_event(event(metadata={"tags": {"title": title}}), "abc12345")

    assert json.loads(body.decode("utf-8"))["metadata"]["tags"]["title"] == title


def test_half_a_character_in_a_tag_or_a_name_becomes_a_replacement_character() -> None:
    library = replace(LIBRARY, name="mus\udcffic")
    document = told(event(metadata={"tags": {"title": "a\ud800b", "note": "\ud83d\ude00"}}, library=library))

    assert document["metadata"]["tags"] == {"title": "a�b", "note": "😀"}
    assert document["library"]["name"] == "mus�ic"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_becomes_null(number: float) -> None:
    document = told(event(metadata={**METADATA, "duration": number, "list": [number, (1.5,)]}))

    assert document["metadata"]["duration"] is None
    assert document["metadata"]["list"] == [None, [1.5]]
    assert document["metadata"]["bitrate"] == 320_000


def test_read_only_metadata_is_taken_as_it_is() -> None:
    metadata = MappingProxyType({**METADATA, "tags": MappingProxyType({"title": "x"})})

    assert told(event(metadata=metadata))["metadata"]["tags"] == {"title": "x"}


def test_metadata_that_json_cannot_hold_is_an_error_of_ours() -> None:
    with pytest.raises(TypeError, match="bytes has no form in JSON"):
        encode_event(event(metadata={"format": b"raw"}), "abc12345")


def test_too_large_a_message_loses_its_tags_first() -> None:
    metadata = {**METADATA, "tags": {"comment": "x" * BODY_LIMIT}}

    body = encode_event(event(metadata=metadata), "abc12345")

    document = validated(body)
    assert len(body) <= BODY_LIMIT
    assert document["metadata"] == {**METADATA, "tags": {}, "truncated": True}


def test_a_message_still_too_large_loses_all_its_metadata_and_never_its_paths() -> None:
    metadata = {"format": "x" * BODY_LIMIT, "tags": {}}
    path = b"/m/" + b"y" * 4000

    document = told(event(metadata=metadata, path=path))

    assert document["metadata"] == {"truncated": True}
    assert document["file_path"] == path.decode()


def test_a_notice_has_the_envelope_its_library_and_its_own_fields() -> None:
    notice = Notice(
        "library.suspended",
        LIBRARY,
        {"reason": "the root is missing", "event_id": "forged"},
        event_id=uuid7(),
        timestamp_ns=NOW_NS,
    )

    document = validated(encode_notice(notice, "abc12345"), routing_key(notice))

    assert document == {
        "event_id": notice.event_id,
        "event_type": "library.suspended",
        "timestamp": "2026-01-01T12:00:00.123456Z",
        "instance_id": "abc12345",
        "library": {"id": 1, "name": "music", "type": "production"},
        "reason": "the root is missing",
    }


def outbox_message(library: str = "music") -> OutboxMessage:
    return OutboxMessage(
        7, "0191-id", "created", "file.created", library, "/m/gr\xfc\xdfe".encode(), None, b"{}", NOW_NS
    )


def test_a_message_is_persistent_and_names_itself_in_its_properties() -> None:
    found = properties(outbox_message(), "abc12345")

    assert (found.content_type, found.delivery_mode) == ("application/json", 2)
    assert (found.message_id, found.type, found.app_id) == ("0191-id", "created", "file_watcher")
    assert found.timestamp == NOW_NS // 10**9
    assert found.headers == {
        "instance_id": "abc12345",
        "library": "music",
        "cloudEvents_specversion": "1.0",
        "cloudEvents_id": "0191-id",
        "cloudEvents_source": "/file_watcher/abc12345",
        "cloudEvents_type": "file.created",
        "cloudEvents_time": "2026-01-01T12:00:00.123456Z",
    }


def test_no_path_goes_into_a_header() -> None:
    assert "größe" not in repr(properties(outbox_message(), "abc12345").encode())


def test_a_library_with_an_impossible_name_still_fits_into_a_header() -> None:
    headers = properties(outbox_message("\ud800" + "ä" * 200_000), "abc 12345/ü").headers

    assert len(headers["library"].encode()) < 4096
    assert headers["library"].startswith("�ä")
    assert headers["cloudEvents_source"] == "/file_watcher/abc%2012345%2F%C3%BC"


@given(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001
def test_any_moment_is_written_to_the_microsecond(moment: datetime) -> None:
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    microseconds = (since.days * 86_400 + since.seconds) * 10**6 + since.microseconds

    text = utc_text(microseconds * 1000 + 999)

    assert text is not None
    assert text.endswith("Z")
    assert datetime.fromisoformat(text) == moment


@pytest.mark.parametrize("nanoseconds", [10**30, -(10**30), 253_402_300_800 * 10**9])
def test_a_moment_beyond_the_calendar_is_unknown(nanoseconds: int) -> None:
    assert utc_text(nanoseconds) is None
    stat = FileStat(1, nanoseconds, 0, 0, 0)
    assert told(event(stat=stat))["modified_at"] is None
