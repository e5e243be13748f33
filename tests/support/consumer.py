"""A consumer as SPEC describes it: applies every message in order, drops an `event_id` that it has seen.

It has a queue of its own from before the service starts, validates each message against the shipped schemas,
checks the version chains, and keeps the mirror of the disk that the messages describe.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

import jsonschema
import pika
from pika.adapters.blocking_connection import BlockingChannel

from file_watcher.publishing.schema import load

_VALIDATORS = {
    name: jsonschema.Draft202012Validator(
        load(name), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    for name in ("event", "notice")
}


@dataclass(frozen=True, slots=True)
class Message:
    """One delivery."""

    routing_key: str
    body: dict[str, Any]
    properties: Any
    redelivered: bool

    @property
    def kind(self) -> str:
        """created, modified, … or the notice's kind."""
        return str(self.body["event_type"])


@dataclass
class Mirror:
    """What a consumer knows of the disk: (SHA-256, XXH128) by path, and (file_id, version) by path."""

    files: dict[bytes, tuple[str | None, str | None]] = field(default_factory=dict)
    identities: dict[bytes, tuple[str, int]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    duplicates: int = 0
    problems: list[str] = field(default_factory=list)

    def apply(self, body: dict[str, Any]) -> None:
        """Apply one event; what contradicts earlier messages is noted in `problems`."""
        if body["event_id"] in self.seen:
            self.duplicates += 1
            return
        self.seen.add(body["event_id"])
        path, old = path_of(body, "file_path"), path_of(body, "old_path")
        assert path is not None
        source = path if old is None else old
        known = self.identities.get(source)
        if body["event_type"] == "created":
            if path in self.files:
                self.problems.append(f"created twice: {path!r}")
        elif known is None:
            self.problems.append(f"{body['event_type']} of what was never told: {source!r}")
        elif known != (body["file_id"], body["previous_version"]):
            self.problems.append(f"broken chain at {source!r}: {known} then {body['previous_version']}")
        self._put(body, path, source)

    def _put(self, body: dict[str, Any], path: bytes, source: bytes) -> None:
        self.files.pop(source, None)
        self.identities.pop(source, None)
        if body["operation"] == "put":
            self.files[path] = (body["sha256_hash"], body["xxh128_hash"])
            self.identities[path] = (body["file_id"], body["version"])


def path_of(body: dict[str, Any], key: str) -> bytes | None:
    """The exact path of a message."""
    if (encoded := body.get(f"{key}_base64")) is not None:
        return base64.b64decode(encoded)
    text = body[key]
    return None if text is None else text.encode()


class Consumer:
    """Subscribes with an own durable queue, so that nothing is missed while it is not reading."""

    def __init__(self, url: str, exchange: str, queue: str = "", keys: tuple[str, ...] = ("#",)) -> None:
        self._url = url
        self._exchange = exchange
        self._queue = queue or f"{exchange}.mirror"
        self._keys = keys
        self.messages: list[Message] = []
        self.mirror = Mirror()

    def subscribe(self) -> None:
        """Declare exchange, queue and bindings; before the service starts, so that nothing is lost."""
        with _channel(self._url) as channel:
            channel.exchange_declare(self._exchange, "topic", durable=True)
            channel.queue_declare(self._queue, durable=True)
            for key in self._keys:
                channel.queue_bind(self._queue, self._exchange, key)

    def drain(self) -> list[Message]:
        """Take everything that is in the queue now; returns the new messages."""
        new: list[Message] = []
        with _channel(self._url) as channel:
            while True:
                method, properties, body = channel.basic_get(self._queue)
                if method is None:
                    break
                new.append(self._take(method, properties, body))
                channel.basic_ack(method.delivery_tag)
        self.messages.extend(new)
        return new

    def events(self, kind: str | None = None) -> list[Message]:
        """The file events taken so far, of one kind or of all."""
        return [
            message
            for message in self.messages
            if message.routing_key.startswith("file.") and (kind is None or message.kind == kind)
        ]

    def _take(self, method: Any, properties: Any, body: bytes) -> Message:
        document = json.loads(body)
        is_event = method.routing_key.startswith("file.")
        _VALIDATORS["event" if is_event else "notice"].validate(document)
        assert properties.message_id == document["event_id"]
        assert properties.delivery_mode == 2
        if is_event:
            self.mirror.apply(document)
        return Message(method.routing_key, document, properties, method.redelivered)


class _channel:
    """A channel whose connection is closed behind it."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> BlockingChannel:
        self._connection = pika.BlockingConnection(pika.URLParameters(self._url))
        return self._connection.channel()

    def __exit__(self, *_: object) -> None:
        if self._connection.is_open:
            self._connection.close()
