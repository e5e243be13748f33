"""Subscribing from the command line, and the probe that `check` runs."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from file_watcher.errors import BrokerUnavailable, PermanentError
from file_watcher.publishing.broker import BrokerConfig
from file_watcher.publishing.consume import Properties, consume, has_queue, probe, probe_jobs
from tests.support.messages import recorded, validated
from tests.support.outbox import MemoryOutbox
from tests.support.ports import free_port
from tests.support.rabbitmq import RabbitNode
from tests.support.subscriber import QUEUE, channel_to, subscribe, way

Message = tuple[str, bytes, Properties]


class Reading(threading.Thread):
    """A consumer on a thread of its own; `taken` holds what it was given."""

    def __init__(self, config: BrokerConfig, keys: list[str], queue: str | None, count: int | None) -> None:
        super().__init__(name="reading")
        self.taken: list[Message] = []
        self.subscribed = threading.Event()
        self.stop = threading.Event()
        self.handled: int | None = None
        self._arguments = (config, keys, queue, self._take, self.stop, count)

    def run(self) -> None:
        self.handled = consume(*self._arguments, on_subscribed=self.subscribed.set)

    def _take(self, key: str, body: bytes, properties: Properties) -> None:
        self.taken.append((key, body, properties))


@contextmanager
def reading(
    config: BrokerConfig, keys: list[str], queue: str | None = None, count: int | None = None
) -> Iterator[Reading]:
    reader = Reading(config, keys, queue, count)
    reader.start()
    try:
        assert reader.subscribed.wait(10)
        yield reader
        reader.join(10)
        assert not reader.is_alive()
    finally:
        reader.stop.set()
        reader.join(10)


def publish(url: str) -> None:
    outbox = MemoryOutbox([recorded(1), recorded(2, b"/m/b", b"/m/a"), recorded(3)])
    with way(outbox, BrokerConfig(url=url)) as running:
        assert running.relay.wait_until_published(3, 20)


def test_a_subscription_sees_what_its_routing_keys_ask_for_and_ends_at_its_count(broker_url: str) -> None:
    subscribe(broker_url)
    with reading(BrokerConfig(url=broker_url), ["file.created"], count=2) as reader:
        publish(broker_url)

    assert reader.handled == 2
    assert [key for key, _, _ in reader.taken] == ["file.created"] * 2
    key, body, properties = reader.taken[0]
    document = validated(body, key)
    assert properties["message_id"] == properties["headers"]["cloudEvents_id"]
    assert properties["type"] == document["event_type"] == "created"
    assert properties["redelivered"] is False


def test_a_subscription_ends_when_it_is_told_to(broker_url: str) -> None:
    subscribe(broker_url)
    with reading(BrokerConfig(url=broker_url), []) as reader:
        reader.stop.set()

    assert reader.handled == 0


def test_a_named_queue_is_read_as_it_is_and_loses_what_was_handled(broker_url: str) -> None:
    subscribe(broker_url)
    publish(broker_url)

    with reading(BrokerConfig(url=broker_url), [], queue=QUEUE, count=3) as reader:
        pass

    assert len(reader.taken) == 3
    with channel_to(broker_url) as channel:
        assert channel.queue_declare(QUEUE, passive=True).method.message_count == 0


def test_a_message_whose_handling_failed_is_delivered_again(broker_url: str) -> None:
    subscribe(broker_url)
    publish(broker_url)

    def closed_pipe(key: str, body: bytes, properties: Properties) -> None:
        raise BrokenPipeError("nobody reads the output any more")

    with pytest.raises(BrokenPipeError):
        consume(BrokerConfig(url=broker_url), [], QUEUE, closed_pipe, threading.Event())

    with reading(BrokerConfig(url=broker_url), [], queue=QUEUE, count=3) as reader:
        pass
    assert [properties["redelivered"] for _, _, properties in reader.taken] == [True, True, True]


def nothing(key: str, body: bytes, properties: Properties) -> None:
    raise AssertionError("there was nothing to read")


def test_a_missing_exchange_says_that_the_service_has_not_run_yet(broker_url: str) -> None:
    with pytest.raises(PermanentError, match="has not run against this broker yet"):
        consume(BrokerConfig(url=broker_url), ["#"], None, nothing, threading.Event())


def test_a_missing_queue_says_so(broker_url: str) -> None:
    with pytest.raises(PermanentError, match="has no queue 'nowhere'"):
        consume(BrokerConfig(url=broker_url), [], "nowhere", nothing, threading.Event())


def test_a_queue_that_is_deleted_ends_the_subscription(broker_url: str) -> None:
    subscribe(broker_url)
    failures: list[BaseException] = []
    subscribed = threading.Event()

    def read() -> None:
        try:
            config = BrokerConfig(url=broker_url)
            consume(config, [], QUEUE, nothing, threading.Event(), on_subscribed=subscribed.set)
        except PermanentError as exc:
            failures.append(exc)

    reader = threading.Thread(target=read)
    reader.start()
    assert subscribed.wait(10)
    with channel_to(broker_url) as channel:
        channel.queue_delete(QUEUE)
    reader.join(10)

    assert [str(failure) for failure in failures] == [f"queue '{QUEUE}' was deleted while it was read"]


def test_without_a_broker_a_subscription_fails_and_says_where_it_looked() -> None:
    port = free_port()

    with pytest.raises(BrokerUnavailable, match=f"nothing listens at localhost:{port}"):
        consume(BrokerConfig(url=f"amqp://localhost:{port}"), ["#"], None, nothing, threading.Event())


def test_a_queue_that_belongs_to_another_connection_says_so(broker_url: str) -> None:
    with channel_to(broker_url) as channel:
        channel.queue_declare("mine", exclusive=True)
        with pytest.raises(PermanentError, match="it is exclusive"):
            consume(BrokerConfig(url=broker_url), [], "mine", nothing, threading.Event())


def test_a_queue_is_found_also_where_only_another_connection_may_read_it(
    rabbit: RabbitNode, broker_url: str
) -> None:
    config = BrokerConfig(url=broker_url)
    with channel_to(broker_url) as channel:
        channel.queue_declare("mine", exclusive=True)
        assert has_queue(config, "mine")
    assert not has_queue(config, "nowhere")
    with pytest.raises(BrokerUnavailable, match="nothing listens"):
        has_queue(BrokerConfig(url=f"amqp://localhost:{free_port()}"), "mine")
    with pytest.raises(PermanentError, match="refused user 'guest'"):
        has_queue(BrokerConfig(url=f"amqp://guest:wrong@{rabbit.host}:{rabbit.port}"), "mine")


def test_a_broker_that_goes_away_ends_the_subscription(
    rabbit: RabbitNode, vhost: str, broker_url: str
) -> None:
    subscribe(broker_url)

    def cut() -> None:
        rabbit.ctl("close_all_connections", "--vhost", vhost, "asked by a test")

    with pytest.raises(BrokerUnavailable, match="closed the connection"):
        consume(BrokerConfig(url=broker_url), [], QUEUE, nothing, threading.Event(), on_subscribed=cut)


def test_a_user_without_permissions_is_told_so(rabbit: RabbitNode, vhost: str) -> None:
    user = f"nobody-{vhost}"
    rabbit.ctl("add_user", user, "secret")
    rabbit.ctl("set_permissions", "--vhost", vhost, user, "^$", "^$", "^$")
    config = BrokerConfig(url=f"amqp://{user}:secret@{rabbit.host}:{rabbit.port}/{vhost}")
    try:
        subscribe(rabbit.url_of(vhost))
        with pytest.raises(PermanentError, match=f"access to queue '{QUEUE}' .* refused .*: grant user"):
            consume(config, [], QUEUE, nothing, threading.Event())
    finally:
        rabbit.ctl("delete_user", user)


def test_a_server_that_never_speaks_ends_the_probe_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = BrokerConfig(url=f"amqp://127.0.0.1:{silent.getsockname()[1]}", connect_timeout=0.3)
        health = probe(config)

    assert not health.ok
    assert "did not answer within 0.3 s" in health.detail


def test_the_probe_tells_what_would_go_wrong(rabbit: RabbitNode, broker_url: str) -> None:
    at = f"{rabbit.host}:{rabbit.port}"
    first = probe(BrokerConfig(url=broker_url))
    assert first.ok
    assert "will be made at the first run" in first.detail

    assert not probe(BrokerConfig(url=broker_url, declare="passive")).ok
    refused = probe(BrokerConfig(url=f"amqp://guest:wrong@{at}"))
    assert not refused.ok
    assert "refused user 'guest'" in refused.detail
    assert not probe(BrokerConfig(url=f"amqp://127.0.0.1:{free_port()}")).ok

    subscribe(broker_url)
    assert "has 'file_events'" in probe(BrokerConfig(url=broker_url)).detail
    with channel_to(broker_url) as channel:
        channel.exchange_declare("other_kind", exchange_type="fanout")
    mismatch = probe(BrokerConfig(url=broker_url, exchange="other_kind"))
    assert not mismatch.ok
    assert "inequivalent arg" in mismatch.detail


def test_the_probe_of_the_jobs_exchange_tells_the_same_of_that_one(
    rabbit: RabbitNode, broker_url: str
) -> None:
    missing = probe_jobs(BrokerConfig(url=broker_url))
    assert missing.ok
    assert "exchange 'file_jobs' will be made at the first run" in missing.detail
    for declare in ("passive", "none"):
        not_made = probe_jobs(BrokerConfig(url=broker_url, declare=declare))
        assert not not_made.ok
        assert "there is no exchange 'file_jobs': create it" in not_made.detail
        assert not_made.facts["answers"]

    with channel_to(broker_url) as channel:
        channel.exchange_declare("file_jobs", exchange_type="topic", durable=True)
        channel.exchange_declare("other_kind", exchange_type="fanout")
    alternate = BrokerConfig(url=broker_url, alternate_exchange="elsewhere")
    assert "has 'file_jobs'" in probe_jobs(alternate).detail, "events alone have somewhere else to go"
    mismatch = probe_jobs(BrokerConfig(url=broker_url, jobs_exchange="other_kind"))
    assert not mismatch.ok
    assert "choose another RABBITMQ_JOBS_EXCHANGE" in mismatch.detail
    away = probe_jobs(BrokerConfig(url=f"amqp://127.0.0.1:{free_port()}"))
    assert (away.ok, away.facts["answers"]) == (False, False)
