"""The contract on the wire: body, routing key and AMQP properties of every message.

Pure functions that any thread may call. Additive changes only; the shipped JSON Schemas (`schema`)
say the same in another language, and the tests hold the two together.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote

import pika

from file_watcher.jobs.job import Job
from file_watcher.model import EventType, FileEvent, Fingerprint, Library, Notice, OutboxMessage, display
from file_watcher.paths import native_bytes

BODY_LIMIT: Final = 1024 * 1024
"""Bytes of a body above which tags, then all metadata, are left out. Far below the 16 MiB that
RabbitMQ 4 takes by default, and enough for any path (PATH_MAX is 4 KiB) with sensible tags."""

APP_ID: Final = "file_watcher"
_HEADER_CHARACTERS: Final = 1024
"""A library's name in a header is cut here: a header frame must fit into the negotiated frame (128 KiB)."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PERSISTENT: Final = 2


def encode_event(event: FileEvent, instance_id: str) -> bytes:
    """The body of a file event: UTF-8 JSON with every key of the contract, null where unknown.

    A body over `BODY_LIMIT` loses its tags, then all its metadata, and says `"truncated": true` there;
    paths are never cut. Raises TypeError where metadata holds what JSON cannot.
    """
    document = _event_document(event, instance_id)
    body = _to_json(document)
    if len(body) > BODY_LIMIT and event.metadata is not None:
        document["metadata"] = {**event.metadata, "tags": {}, "truncated": True}
        body = _to_json(document)
    if len(body) > BODY_LIMIT and event.metadata is not None:
        document["metadata"] = {"truncated": True}
        body = _to_json(document)
    return body


def cut_to(body: bytes, limit: int) -> bytes | None:
    """The recorded body of a file event, cut to at most `limit` bytes, as `encode_event` cuts at `BODY_LIMIT`.

    None where nothing that may be left out makes it fit: paths are never cut, and notices have no metadata.
    """
    document = json.loads(body)
    metadata = document.get("metadata")
    if metadata is None:
        return None
    for less in ({**metadata, "tags": {}, "truncated": True}, {"truncated": True}):
        document["metadata"] = less
        shorter = _to_json(document)
        if len(shorter) <= limit:
            return shorter
    return None


def encode_notice(notice: Notice, instance_id: str) -> bytes:
    """The body of a notice: the envelope of an event, the library, and the notice's own fields.

    A field cannot take the place of a key of the envelope.
    """
    return _to_json(
        {
            **notice.fields,
            "event_id": notice.event_id,
            "event_type": notice.kind,
            "timestamp": utc_text(notice.timestamp_ns),
            "instance_id": instance_id,
            "library": _library(notice.library),
        }
    )


def encode_job(job: Job, instance_id: str) -> bytes:
    """The body of a job: what is asked for, where, and which events it stands for."""
    document: dict[str, Any] = {
        "job_id": job.job_id,
        "dedupe_key": job.dedupe_key,
        "source": APP_ID,
        "type": job.type,
        "queue": job.queue,
        "path": None,
        "trigger": job.trigger,
        "library": _library(job.library),
        "events": dict(job.events),
        "count": job.count,
        "window_start": utc_text(job.start_ns),
        "window_end": utc_text(job.end_ns),
        "instance_id": instance_id,
        "timestamp": utc_text(job.end_ns),
    }
    _put_path(document, "path", job.path)
    return _to_json(document)


def routing_key(told: FileEvent | Notice | Job) -> str:
    """`file.<type>` for an event, a notice's kind, `<queue>.<type>` with `:` as `.` for a job. Never holds a path."""
    if isinstance(told, Job):
        return f"{told.queue}.{told.type.replace(':', '.')}"
    return told.kind if isinstance(told, Notice) else f"file.{told.event_type.value}"


def queue_of_job(key: str) -> str:
    """The queue that a job's routing key names: neither queues nor types have a dot in their names."""
    return key.partition(".")[0]


def properties(message: OutboxMessage, instance_id: str) -> pika.BasicProperties:
    """AMQP properties of a recorded message, with the attributes of CloudEvents as headers.

    The header names follow the AMQP binding of CloudEvents 1.0 in its `cloudEvents_` spelling.
    """
    return pika.BasicProperties(
        content_type="application/json",
        delivery_mode=_PERSISTENT,
        message_id=message.event_id,
        timestamp=message.created_ns // 1_000_000_000,
        type=_type_of(message),
        app_id=APP_ID,
        headers={
            "instance_id": instance_id,
            "library": _header_text(message.library),
            "cloudEvents_specversion": "1.0",
            "cloudEvents_id": message.event_id,
            "cloudEvents_source": _source(instance_id),
            "cloudEvents_type": message.routing_key,
            "cloudEvents_time": utc_text(message.created_ns),
        },
    )


def _type_of(message: OutboxMessage) -> str:
    """An event's or a notice's own type; a job's out of its routing key."""
    if message.exchange is None:
        return message.event_type
    return message.routing_key.partition(".")[2].replace(".", ":")


def utc_text(nanoseconds: int) -> str | None:
    """Nanoseconds since the epoch as RFC 3339 in UTC with microseconds; None beyond the years 1 to 9999.

    A file's times are whatever somebody set them to, so they may well lie out of that range.
    """
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    whole = _whole_seconds(seconds)
    return None if whole is None else f"{whole}.{rest // 1000:06d}Z"


@lru_cache(maxsize=1024)
def _whole_seconds(seconds: int) -> str | None:
    """Messages made together share most of their times but for the fraction."""
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return None
    return moment.isoformat()[: -len("+00:00")]


def _event_document(event: FileEvent, instance_id: str) -> dict[str, Any]:
    stat, previous = event.stat, event.previous
    sha256, xxh128 = _hashes(event.fingerprint)
    document: dict[str, Any] = {
        "event_id": event.event_id,
        "event_type": event.event_type.value,
        "file_path": None,
        "old_path": None,
        "timestamp": utc_text(event.timestamp_ns),
        "instance_id": instance_id,
        "sha256_hash": sha256,
        "xxh128_hash": xxh128,
        "file_id": event.file_id,
        "version": event.version,
        "previous_version": event.previous_version,
        "size": None if stat is None else stat.size,
        "modified_at": None if stat is None else utc_text(stat.mtime_ns),
        "library": _library(event.library),
        "operation": "delete" if event.event_type is EventType.DELETED else "put",
        "reason": event.reason,
        "previous": None,
        "evidence": None if event.evidence is None else event.evidence.value,
        "changed": None if event.changed is None else list(event.changed),
        "snapshot": event.snapshot,
        "growing": event.growing,
        "metadata": event.metadata,
    }
    _put_path(document, "file_path", event.path)
    if event.old_path is not None:
        _put_path(document, "old_path", event.old_path)
    if previous is not None:
        before: dict[str, Any] = {}
        _put_path(before, "file_path", previous.path)
        before["sha256_hash"], before["xxh128_hash"] = _hashes(previous.fingerprint)
        document["previous"] = before
    return document


def _put_path(document: dict[str, Any], key: str, path: bytes) -> None:
    """Set the path as text, and its exact bytes beside it only where the text cannot carry them."""
    spelled = native_bytes(path)
    try:
        document[key] = spelled.decode("utf-8")
    except UnicodeDecodeError:
        document[key] = display(path)
        document[f"{key}_base64"] = base64.b64encode(spelled).decode("ascii")


def _hashes(fingerprint: Fingerprint | None) -> tuple[str | None, str | None]:
    if fingerprint is None:
        return None, None
    return fingerprint.sha256.hex(), fingerprint.xxh128.hex()


def _library(library: Library) -> dict[str, Any]:
    return {"id": library.id, "name": library.name, "type": library.type}


def _as_dict(value: object) -> dict[str, Any]:
    """Let read-only mappings pass; anything else that JSON does not know is a mistake of ours."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


_ENCODER: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"), default=_as_dict
)


def _to_json(document: dict[str, Any]) -> bytes:
    try:
        return _ENCODER.encode(document).encode("utf-8")
    except UnicodeEncodeError:  # a lone surrogate in a tag or a library's name
        return _mended(_ENCODER.encode(document)).encode("utf-8")
    except ValueError:  # NaN or an infinity in the metadata: unknown is null
        return _to_json(_finite(document))


def _mended(text: str) -> str:
    """Replace lone surrogates by U+FFFD (pairs become the character that they stand for)."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _finite(value: Any) -> Any:
    """A copy in which every number that is not finite is None."""
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


@lru_cache(maxsize=256)
def _header_text(text: str) -> str:
    return _mended(text)[:_HEADER_CHARACTERS]


@lru_cache(maxsize=16)
def _source(instance_id: str) -> str:
    """CloudEvents wants a URI reference; an instance id is free text."""
    return f"/{APP_ID}/{quote(instance_id, safe='', errors='replace')}"
