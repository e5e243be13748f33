"""The publisher alone, window full and every message confirmed, beside pika's blocking connection."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

import pika

from file_watcher.lifecycle import Deadline
from file_watcher.model import OutboxMessage
from file_watcher.publishing.broker import BrokerConfig
from file_watcher.publishing.dispatch import RelayConfig
from file_watcher.publishing.lane import Lane
from file_watcher.publishing.message import properties
from file_watcher.publishing.rabbitmq import Publisher
from tests.benchmarks.bench import Bench, counted_queue, timed
from tests.benchmarks.figure import Figure
from tests.benchmarks.trials import in_turn
from tests.benchmarks.trust import Untrue, require
from tests.support.messages import recorded

_MESSAGES: Final = 20_000
_BLOCKING_MESSAGES: Final = 3_000
_PATIENCE_SECONDS: Final = 120.0


def measure(bench: Bench, runs: int) -> list[Figure]:
    """Confirmed messages per second into a durable queue."""
    count = bench.count(_MESSAGES, least=2_000)
    blocking_count = bench.count(_BLOCKING_MESSAGES, least=300)
    trials = in_turn(lambda: publisher_alone(bench, count), lambda: _blocking(bench, blocking_count), runs)
    what = f"{count:,} messages of one import, each confirmed, into a durable queue"
    against = "pika.BlockingConnection with confirms"
    return [Figure("publisher", what, "msg/s", 6, "at least", trials, against)]


def publisher_alone(bench: Bench, count: int) -> float:
    """Messages per second through the publisher, from the first submitted to the last confirmed."""
    exchange = "publisher-alone"
    feeder = _Feeder([recorded(number) for number in range(1, count + 1)], RelayConfig().window)
    with counted_queue(bench.broker_url, exchange) as queued:
        publisher = Publisher(BrokerConfig(bench.broker_url, exchange), "bench", feeder, feeder.note_failure)
        publisher.start()
        try:
            require(feeder.ready.wait(_PATIENCE_SECONDS), publisher.health().detail)
            seconds, _ = timed(feeder.feed_all)
        finally:
            publisher.close()
            publisher.join(Deadline(5))
        require(queued() == count, f"{count} messages were published and {queued()} arrived")
    return count / seconds


def _blocking(bench: Bench, count: int) -> float:
    exchange = "publisher-blocking"
    messages = [recorded(number) for number in range(1, count + 1)]
    with counted_queue(bench.broker_url, exchange) as queued:
        connection = pika.BlockingConnection(pika.URLParameters(bench.broker_url))
        channel = connection.channel()
        channel.confirm_delivery()

        def publish() -> None:
            for message in messages:
                details = properties(message, "bench")
                channel.basic_publish(exchange, message.routing_key, message.body, details, mandatory=True)

        seconds, _ = timed(publish)
        connection.close()
        require(queued() == count, f"{count} messages were published and {queued()} arrived")
    return count / seconds


class _Feeder:
    """Keeps the publisher's window full. A publishing.lane.Listener."""

    def __init__(self, messages: Sequence[OutboxMessage], window: int) -> None:
        self._messages = messages
        self._window = window
        self._submitted = 0
        self._confirmed = 0
        self._lane: Lane | None = None
        self._error: BaseException | None = None
        self._done = threading.Event()
        self.ready = threading.Event()

    def feed_all(self) -> None:
        """Begin, and wait for the last confirm."""
        self._feed(self._window)
        in_time = self._done.wait(_PATIENCE_SECONDS)
        require(in_time, f"{self._confirmed} of {len(self._messages)} were confirmed")
        if self._error is not None:
            raise self._error

    def on_ready(self, lane: Lane) -> None:
        self._lane = lane
        self.ready.set()

    def on_confirmed(self, messages: Sequence[OutboxMessage]) -> None:
        self._confirmed += len(messages)
        if self._confirmed == len(self._messages):
            self._done.set()
        self._feed(len(messages))

    def on_unrouted(self, messages: Sequence[OutboxMessage]) -> None:
        self.note_failure("broker", Untrue(f"{len(messages)} messages found no queue"))

    def on_set_aside(self, messages: Sequence[OutboxMessage]) -> None:
        self.note_failure("broker", Untrue(f"{len(messages)} messages were too large"))

    def on_lost(self) -> None:
        if self._confirmed < len(self._messages):
            self.note_failure("broker", Untrue("the connection was lost"))

    def note_failure(self, _thread: str, error: BaseException) -> None:
        self._error = error
        self._done.set()

    def _feed(self, count: int) -> None:
        batch = self._messages[self._submitted : self._submitted + count]
        self._submitted += len(batch)
        if batch and self._lane is not None:
            self._lane.submit(batch)
