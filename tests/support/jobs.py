"""Windows and jobs for tests, all alike unless the test says otherwise, and a worker who reads a queue of jobs."""

from __future__ import annotations

import time
from typing import Any

import pika
from pika.exceptions import ChannelClosedByBroker

from file_watcher.jobs.job import Job, WindowChange
from file_watcher.model import OutboxMessage, uuid7
from file_watcher.publishing.message import encode_job, routing_key
from tests.support.messages import LIBRARY, NOW_NS, validated


def change(**changes: Any) -> WindowChange:
    """A file that was created in `tests.support.catalog.music()`."""
    now_ns = time.time_ns()
    values: dict[str, Any] = {
        "file_id": uuid7(),
        "key": "a" * 40,
        "library_id": 1,
        "type": "media:scan",
        "queue": "maintenance",
        "path": b"/data/music",
        "trigger": "new_file_added",
        "event": "created",
        "at_ns": now_ns,
        "due_ns": now_ns,
    }
    return WindowChange(**(values | changes))


def job(**changes: Any) -> Job:
    """A job as a closed window gives it."""
    values: dict[str, Any] = {
        "job_id": uuid7(),
        "library": LIBRARY,
        "type": "media:scan",
        "queue": "maintenance",
        "path": b"/m",
        "trigger": "new_file_added",
        "events": {"created": 2, "moved": 1},
        "count": 3,
        "key": "a" * 40,
        "start_ns": NOW_NS,
        "end_ns": NOW_NS + 5_000_000_000,
    }
    return Job(**(values | changes))


def recorded_job(sequence: int, about: Job | None = None) -> OutboxMessage:
    """A job as the outbox holds it."""
    about = about or job(path=b"/m/%d" % sequence)
    return OutboxMessage(
        sequence,
        about.job_id,
        "job",
        routing_key(about),
        about.library.name,
        about.path,
        None,
        encode_job(about, "abc12345"),
        time.time_ns(),
        library_id=about.library.id,
        exchange="file_jobs",
    )


class Worker:
    """Reads the jobs of one queue. `binding` binds a queue of its own to the exchange, before the service starts."""

    def __init__(self, url: str, exchange: str, queue: str) -> None:
        self._url = url
        self._exchange = exchange
        self._queue = queue
        self.jobs: list[dict[str, Any]] = []
        self.taken: list[dict[str, Any]] = []
        """Events, too, where the queue gets them."""
        self.properties: list[Any] = []

    def bind(self, key: str = "#") -> None:
        """Make exchange, queue and binding."""
        with pika.BlockingConnection(pika.URLParameters(self._url)) as connection:
            channel = connection.channel()
            channel.exchange_declare(self._exchange, "topic", durable=True)
            channel.queue_declare(self._queue, durable=True)
            channel.queue_bind(self._queue, self._exchange, key)

    def exists(self) -> bool:
        """Whether somebody made the queue."""
        with pika.BlockingConnection(pika.URLParameters(self._url)) as connection:
            try:
                connection.channel().queue_declare(self._queue, passive=True)
            except ChannelClosedByBroker:
                return False
        return True

    def take(self) -> list[dict[str, Any]]:
        """Take what is in the queue now, each of it validated; returns all jobs so far."""
        with pika.BlockingConnection(pika.URLParameters(self._url)) as connection:
            channel = connection.channel()
            while True:
                method, properties, body = channel.basic_get(self._queue)
                if method is None:
                    return self.jobs
                document = validated(body, method.routing_key)
                channel.basic_ack(method.delivery_tag)
                self.taken.append(document)
                if "job_id" in document:
                    assert properties.message_id == document["job_id"]
                    assert (properties.type, properties.delivery_mode) == (document["type"], 2)
                    self.jobs.append(document)
                    self.properties.append(properties)

    def counted(self) -> int:
        """How many file events the jobs so far stand for."""
        return sum(document["count"] for document in self.take())
