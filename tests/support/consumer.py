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
_FILE_EVENTS = frozenset(load("event")["properties"]["event_type"]["enum"])


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
    """What a consumer knows of the disk: (SHA-256, XXH128) by path, and (file_id, version) by path.

    One that `is_late` began to listen when much had been told already, and says nothing about that until the
    first whole snapshot is complete.
    """

    files: dict[bytes, tuple[str | None, str | None]] = field(default_factory=dict)
    identities: dict[bytes, tuple[str, int]] = field(default_factory=dict)
    owners: dict[bytes, int] = field(default_factory=dict)
    """The number of each file's library."""
    seen: set[str] = field(default_factory=set)
    duplicates: int = 0
    problems: list[str] = field(default_factory=list)
    is_late: bool = False
    purged: list[bytes] = field(default_factory=list)
    """What snapshots did not know of."""
    _snapshots: dict[str, _OpenSnapshot] = field(default_factory=dict)

    def apply(self, body: dict[str, Any]) -> None:
        """Apply one event; what contradicts earlier messages is noted in `problems`."""
        if self._is_known(body):
            return
        path, old = path_of(body, "file_path"), path_of(body, "old_path")
        assert path is not None
        for snapshot in self._snapshots.values():
            snapshot.touched.update({path, old})
        source = path if old is None else old
        if body["snapshot"] is not None:
            self._check_told_again(body, path)
        elif not self.is_late:
            self._check_chain(body, path, source)
        self._put(body, path, source)

    def notice(self, body: dict[str, Any]) -> None:
        """Apply one notice: a snapshot that is complete tells what it would have told."""
        if not self._is_known(body):
            if body["event_type"] == "snapshot.begin":
                self._snapshots[body["snapshot"]] = _OpenSnapshot()
            elif body["event_type"] == "snapshot.end":
                self._complete(body)

    def _is_known(self, body: dict[str, Any]) -> bool:
        if body["event_id"] in self.seen:
            self.duplicates += 1
            return True
        self.seen.add(body["event_id"])
        return False

    def _check_told_again(self, body: dict[str, Any], path: bytes) -> None:
        known, told = self.identities.get(path), (body["file_id"], body["version"])
        if (snapshot := self._snapshots.get(body["snapshot"])) is None:
            self.problems.append(f"told again outside of its snapshot: {path!r}")
        else:
            snapshot.count += 1
        if known not in (None, told) and not self.is_late:
            self.problems.append(f"told again as something else: {path!r} was {known} and is {told}")

    def _complete(self, body: dict[str, Any]) -> None:
        snapshot, scope = self._snapshots.pop(body["snapshot"], None), body["scope"]
        if snapshot is None:
            self.problems.append("a snapshot ended that had not begun")
            return
        if snapshot.count != body["count"]:
            self.problems.append(f"a snapshot of {body['count']} files told {snapshot.count}")
        if scope["changed_since"] is None:
            self._purge(body["library"]["id"], path_of(scope, "path_prefix"), snapshot.touched)
            self.is_late = self.is_late and scope["path_prefix"] is not None

    def _purge(self, library: int, folder: bytes | None, touched: set[bytes | None]) -> None:
        for path in sorted(self.files.keys() - touched):
            is_inside = folder is None or path == folder or path.startswith(folder.rstrip(b"/") + b"/")
            if is_inside and self.owners[path] == library:
                self._forget(path)
                self.purged.append(path)

    def _check_chain(self, body: dict[str, Any], path: bytes, source: bytes) -> None:
        known = self.identities.get(source)
        if body["event_type"] == "created":
            if path in self.files:
                self.problems.append(f"created twice: {path!r}")
        elif known is None:
            self.problems.append(f"{body['event_type']} of what was never told: {source!r}")
        elif known != (body["file_id"], body["previous_version"]):
            self.problems.append(f"broken chain at {source!r}: {known} then {body['previous_version']}")

    def _put(self, body: dict[str, Any], path: bytes, source: bytes) -> None:
        self._forget(source)
        if body["operation"] == "put":
            self.files[path] = (body["sha256_hash"], body["xxh128_hash"])
            self.identities[path] = (body["file_id"], body["version"])
            self.owners[path] = body["library"]["id"]

    def _forget(self, path: bytes) -> None:
        for known in (self.files, self.identities, self.owners):
            known.pop(path, None)


@dataclass
class _OpenSnapshot:
    """What has come since its beginning."""

    count: int = 0
    touched: set[bytes | None] = field(default_factory=set)


def path_of(body: dict[str, Any], key: str) -> bytes | None:
    """The exact path of a message."""
    if (encoded := body.get(f"{key}_base64")) is not None:
        return base64.b64decode(encoded)
    text = body[key]
    return None if text is None else text.encode()


class Consumer:
    """Subscribes with an own durable queue, so that nothing is missed while it is not reading."""

    def __init__(
        self,
        url: str,
        exchange: str,
        queue: str = "",
        keys: tuple[str, ...] = ("#",),
        *,
        is_late: bool = False,
    ) -> None:
        self._url = url
        self._exchange = exchange
        self._queue = queue or f"{exchange}.mirror"
        self._keys = keys
        self.messages: list[Message] = []
        self.mirror = Mirror(is_late=is_late)

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
            if message.kind in _FILE_EVENTS and kind in (None, message.kind)
        ]

    def _take(self, method: Any, properties: Any, body: bytes) -> Message:
        document = json.loads(body)
        is_event = (
            properties.type in _FILE_EVENTS
        )  # the routing key is the queue's name where it came directly
        _VALIDATORS["event" if is_event else "notice"].validate(document)
        assert properties.message_id == document["event_id"]
        assert properties.delivery_mode == 2
        if is_event:
            self.mirror.apply(document)
        else:
            self.mirror.notice(document)
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
