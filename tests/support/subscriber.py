"""A consumer with a durable queue of its own, and the whole way from an outbox to the broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pika

from file_watcher.lifecycle import Deadline
from file_watcher.publishing.broker import BrokerConfig
from file_watcher.publishing.dispatch import RelayConfig
from file_watcher.publishing.job_routes import WantedQueues, no_queues
from file_watcher.publishing.rabbitmq import Publisher
from file_watcher.publishing.relay import Relay
from tests.support.messages import validated
from tests.support.outbox import MemoryOutbox
from tests.support.waiting import wait_for

QUEUE = "subscriber"


@contextmanager
def channel_to(url: str) -> Iterator[Any]:
    """A channel of pika's blocking connection, closed in the end."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        yield connection.channel()
    finally:
        if connection.is_open:
            connection.close()


def subscribe(
    url: str,
    exchange: str = "file_events",
    key: str = "#",
    arguments: Mapping[str, object] | None = None,
    queue: str = QUEUE,
) -> None:
    """Make the exchange as the service would, and a durable queue that keeps what is published."""
    with channel_to(url) as channel:
        channel.exchange_declare(exchange, exchange_type="topic", durable=True)
        channel.queue_declare(queue, durable=True, arguments=dict(arguments or {}))
        channel.queue_bind(queue, exchange, key)


def received(
    url: str, enough: Callable[[list[str]], bool], timeout: float = 20.0, queue: str = QUEUE
) -> list[str]:
    """Take messages off the queue until `enough` says so of their ids; each is held against the schemas."""
    ids: list[str] = []
    with channel_to(url) as channel:

        def take() -> bool:
            while True:
                method, properties, body = channel.basic_get(queue, auto_ack=True)
                if method is None:
                    return enough(ids)
                validated(body, method.routing_key)
                ids.append(properties.message_id)

        wait_for(take, "the messages on the queue", timeout)
    return ids


class Way:
    """A relay and a publisher over an outbox in memory, wired as the service does it."""

    def __init__(
        self,
        outbox: MemoryOutbox,
        config: BrokerConfig,
        relay: RelayConfig | None = None,
        job_queues: WantedQueues = no_queues,
    ) -> None:
        self.failures: list[tuple[str, BaseException]] = []
        self.relay = Relay(outbox, relay or RelayConfig(poll_seconds=0.2), self._note_failure)
        self.publisher = Publisher(config, "abc12345", self.relay, self._note_failure, job_queues)

    def wait_for_health(self, reason: str | None, timeout: float = 20.0) -> str:
        """Wait until the broker is unwell for that reason (None: well); returns the sentence."""

        def matches() -> bool:
            health = self.publisher.health()
            return health.ok if reason is None else health.facts.get("reason") == reason

        wait_for(matches, f"health {reason or 'ok'}", timeout)
        return self.publisher.health().detail

    def stop(self, seconds: float = 5.0) -> bool:
        """Stop in the service's order; whether all threads ended in time."""
        deadline = Deadline(seconds)
        self.relay.close()
        ended = self.relay.join(deadline)
        self.publisher.close()
        return self.publisher.join(deadline) and ended

    def _note_failure(self, name: str, error: BaseException) -> None:
        self.failures.append((name, error))


@contextmanager
def way(
    outbox: MemoryOutbox,
    config: BrokerConfig,
    relay: RelayConfig | None = None,
    job_queues: WantedQueues = no_queues,
) -> Iterator[Way]:
    """A started way; it must end in time and without a failure."""
    running = Way(outbox, config, relay, job_queues)
    running.publisher.start()
    running.relay.start()
    try:
        yield running
    finally:
        ended = running.stop()
    assert ended
    assert running.failures == []
