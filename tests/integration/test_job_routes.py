"""Jobs on their way to a real RabbitMQ: their exchange, the queues that rules ask for, and who refuses what."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pika
import pytest
from structlog.testing import capture_logs

from file_watcher.jobs.job import Job
from file_watcher.publishing.broker import BrokerConfig
from file_watcher.publishing.dispatch import RelayConfig
from file_watcher.publishing.job_routes import QueueArguments
from tests.support.jobs import Worker, job, recorded_job
from tests.support.messages import recorded
from tests.support.outbox import MemoryOutbox
from tests.support.rabbitmq import RabbitNode
from tests.support.subscriber import channel_to, received, subscribe, way

QUORUM: QueueArguments = {"x-queue-type": "quorum", "x-delivery-limit": 3, "x-dead-letter-exchange": "dead"}


@dataclass(frozen=True)
class Place:
    """Exchanges and a queue that no other test uses, on the session's node."""

    url: str
    name: str

    @property
    def exchange(self) -> str:
        return f"jobs_{self.name}"

    @property
    def events(self) -> str:
        return f"events_{self.name}"

    @property
    def queue(self) -> str:
        """The queue that the rules name."""
        return f"work_{self.name}"

    @property
    def other(self) -> str:
        """A queue of the test's own."""
        return f"other_{self.name}"

    def config(self, **changes: Any) -> BrokerConfig:
        return BrokerConfig(
            url=self.url,
            exchange=self.events,
            jobs_exchange=self.exchange,
            retry_first=0.02,
            retry_cap=0.2,
            **changes,
        )

    def job(self, **changes: Any) -> Job:
        return job(**({"queue": self.queue} | changes))

    def wanted(self) -> Mapping[str, QueueArguments]:
        return {self.queue: QUORUM}

    def bind(self, exchange: str, key: str = "#") -> None:
        subscribe(self.url, exchange=exchange, queue=self.other, key=key)


@pytest.fixture
def place(rabbit: RabbitNode) -> Place:
    rabbit.ensure_running()
    return Place(rabbit.url, uuid.uuid4().hex[:8])


def queue_on(rabbit: RabbitNode, queue: str) -> dict[str, Any]:
    """What the broker tells of the queue."""
    told = rabbit.ctl("list_queues", "name", "type", "durable", "arguments", "--formatter", "json")
    listed = json.loads(told[told.index("[") :])
    found: dict[str, Any] = next(each for each in listed if each["name"] == queue)
    return found


def test_a_queue_is_declared_as_the_rule_asks_and_gets_all_its_jobs(rabbit: RabbitNode, place: Place) -> None:
    jobs = [place.job(path=b"/m/a"), place.job(type="library:sweep", path=b"/m/\xff")]
    outbox = MemoryOutbox([recorded_job(1, jobs[0]), recorded_job(2, jobs[1]), recorded(3)])

    with way(outbox, place.config(), job_queues=place.wanted) as running:
        assert running.relay.wait_until_published(3, 20)

    assert sorted(outbox.published) == [1, 2]
    assert outbox.unrouted == [3], "events do not go where jobs go"
    declared = queue_on(rabbit, place.queue)
    assert (declared["type"], declared["durable"]) == ("quorum", True)
    assert all(name in json.dumps(declared["arguments"]) for name in QUORUM)
    worker = Worker(place.url, place.exchange, place.queue)
    worker.take()
    assert sorted(document["type"] for document in worker.jobs) == ["library:sweep", "media:scan"]
    assert {properties.app_id for properties in worker.properties} == {"file_watcher"}
    assert {properties.headers["library"] for properties in worker.properties} == {"music"}


def test_a_queue_that_stands_is_taken_as_it_is(rabbit: RabbitNode, place: Place) -> None:
    with channel_to(place.url) as channel:
        channel.queue_declare(place.queue, durable=True)
    outbox = MemoryOutbox([recorded_job(1, place.job())])

    with way(outbox, place.config(), job_queues=place.wanted) as running:
        assert running.relay.wait_until_published(1, 20)

    assert outbox.published == [1]
    assert len(received(place.url, lambda got: len(got) == 1, queue=place.queue)) == 1


def test_a_queue_that_cannot_be_declared_holds_up_neither_jobs_nor_events(place: Place) -> None:
    place.bind(place.events)
    place.bind(place.exchange)
    wanted = {"bad": {"x-queue-type": "strange", "x-message-ttl": "soon"}, **place.wanted()}
    outbox = MemoryOutbox(
        [recorded(1), recorded_job(2, job(queue="bad")), recorded_job(3, place.job(path=b"/m/c"))]
    )

    with capture_logs() as logs, way(outbox, place.config(), job_queues=lambda: wanted) as running:
        assert running.relay.wait_until_published(3, 20)
        assert running.publisher.health().ok

    assert sorted(outbox.published) == [1, 2, 3]
    (refused,) = [entry for entry in logs if entry["event"] == "job_queue_refused"]
    assert refused["queue"] == "bad"
    assert "mend the rule's declare" in refused["note"]
    assert not [entry for entry in logs if entry["event"] == "broker_unreachable"]


def test_a_queue_is_declared_for_a_rule_that_came_later(place: Place) -> None:
    wanted: dict[str, QueueArguments] = {}
    outbox = MemoryOutbox([recorded_job(1)])

    with capture_logs() as logs, way(outbox, place.config(), job_queues=lambda: wanted) as running:
        assert running.relay.wait_until_published(1, 20)
        assert outbox.unrouted == [1], "nobody is bound, and nobody asked for a queue"
        wanted[place.queue] = {"x-queue-type": "classic"}
        outbox.add(recorded_job(2, place.job()))
        running.relay.wake()
        assert running.relay.wait_until_published(2, 20)

    assert outbox.published == [2]
    (told,) = [entry for entry in logs if entry["event"] == "job_unroutable"]
    assert told["routing_key"] == "maintenance.media.scan"
    assert "let the rule declare its queue; `events --state unrouted` lists" in told["note"]


def test_a_job_comes_after_the_events_below_its_path_and_before_later_ones(place: Place) -> None:
    place.bind(place.events)
    place.bind(place.exchange)
    messages = [recorded(number, b"/m/a/%d.mp3" % number) for number in range(1, 41)]
    messages.append(recorded_job(41, place.job(path=b"/m/a")))
    messages += [recorded(number, b"/m/a/%d.mp3" % number) for number in range(42, 60)]

    with way(MemoryOutbox(messages), place.config(), RelayConfig(poll_seconds=0.2, window=16)) as running:
        assert running.relay.wait_until_published(59, 20)

    arrived = received(place.url, lambda got: len(got) == len(messages), queue=place.other)
    assert arrived.index(messages[40].event_id) == 40


def test_jobs_wait_for_an_exchange_that_others_make(place: Place) -> None:
    place.bind(place.events)
    outbox = MemoryOutbox([recorded_job(1)])

    with way(outbox, place.config(declare="passive"), job_queues=place.wanted) as running:
        told = running.wait_for_health("exchange")
        assert f"there is no exchange '{place.exchange}'" in told
        place.bind(place.exchange)
        assert running.relay.wait_until_published(1, 20)

    assert outbox.published == [1]
    with channel_to(place.url) as channel, pytest.raises(pika.exceptions.ChannelClosedByBroker):
        channel.queue_declare(place.queue, passive=True)


def test_an_exchange_of_another_kind_is_told_with_its_own_name(place: Place) -> None:
    with channel_to(place.url) as channel:
        channel.exchange_declare(place.exchange, exchange_type="fanout")
    with way(MemoryOutbox([recorded_job(1)]), place.config()) as running:
        assert "choose another RABBITMQ_JOBS_EXCHANGE" in running.wait_for_health("mismatch")


def test_where_nothing_is_declared_jobs_go_to_what_is_there(place: Place) -> None:
    place.bind(place.events)
    place.bind(place.exchange, key="maintenance.#")
    outbox = MemoryOutbox([recorded_job(1), recorded_job(2, place.job(path=b"/m/b"))])

    with way(outbox, place.config(declare="none"), job_queues=place.wanted) as running:
        assert running.relay.wait_until_published(2, 20)

    assert (outbox.published, outbox.unrouted) == ([1], [2])


def test_jobs_are_published_after_the_connection_was_lost(rabbit: RabbitNode, place: Place) -> None:
    first, second = recorded_job(1, place.job(path=b"/m/a")), recorded_job(2, place.job(path=b"/m/b"))
    outbox = MemoryOutbox([first])
    with way(outbox, place.config(), job_queues=place.wanted) as running:
        assert running.relay.wait_until_published(1, 20)
        rabbit.close_all_connections()
        outbox.add(second)
        running.relay.wake()
        assert running.relay.wait_until_published(2, 20)

    arrived = received(place.url, lambda got: len(set(got)) == 2, queue=place.queue)
    assert set(arrived) == {first.event_id, second.event_id}
