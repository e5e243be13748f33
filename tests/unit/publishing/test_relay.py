"""The relay's thread: wake-ups, outages of the database, the flush at the end, and what it reports."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from structlog.testing import capture_logs

from file_watcher.lifecycle import Deadline
from file_watcher.model import OutboxMessage
from file_watcher.publishing.dispatch import RelayConfig
from file_watcher.publishing.relay import Relay
from file_watcher.telemetry import Telemetry
from tests.support.messages import recorded
from tests.support.outbox import MemoryLane, MemoryOutbox
from tests.support.waiting import wait_for

# Polling is as good as off, so that what is seen came from a wake-up.
CONFIG = RelayConfig(poll_seconds=60.0, flush_seconds=5.0)


class Notes(Telemetry):
    """Counts what the relay reports."""

    def __init__(self) -> None:
        self.published_after: list[float] = []
        self.delivered_after: list[float] = []
        self.errors: list[str] = []
        self.without_queue = 0

    def published(self, seconds: float) -> None:
        self.published_after.append(seconds)

    def delivered(self, seconds: float) -> None:
        self.delivered_after.append(seconds)

    def error(self, stage: str) -> None:
        self.errors.append(stage)

    def unrouted(self) -> None:
        self.without_queue += 1


def no_failure(name: str, error: BaseException) -> None:
    raise AssertionError(f"{name} died") from error


@contextmanager
def running(
    outbox: MemoryOutbox,
    config: RelayConfig = CONFIG,
    telemetry: Telemetry | None = None,
    on_delivered: Callable[[OutboxMessage], None] | None = None,
) -> Iterator[Relay]:
    relay = Relay(outbox, config, no_failure, telemetry=telemetry, on_delivered=on_delivered)
    relay.start()
    try:
        yield relay
    finally:
        relay.on_lost()
        relay.close()
        assert relay.join(Deadline(5))


def test_recorded_messages_go_out_when_a_broker_answers() -> None:
    outbox, lane = MemoryOutbox([recorded(1), recorded(2)]), MemoryLane()
    with running(outbox) as relay, capture_logs() as logs:
        relay.on_ready(lane)
        wait_for(lambda: lane.sequences == [1, 2], "both messages")
        relay.on_confirmed(lane.submitted)
        assert relay.wait_until_published(2, 5)

    assert outbox.published == [1, 2]
    told = [entry for entry in logs if entry["event"] == "broker_connected"]
    assert [(entry["where"], entry["waiting"]) for entry in told] == [("nowhere:5672, vhost /", 2)]


def test_a_merged_message_counts_as_published_once_the_one_that_carries_it_is() -> None:
    outbox, lane = MemoryOutbox([recorded(2)]), MemoryLane()
    outbox.carriers[1] = 2
    with running(outbox) as relay:
        relay.on_ready(lane)
        wait_for(lambda: lane.submitted, "the message")
        assert not relay.wait_until_published(1, 0.05)
        relay.on_confirmed(lane.submitted)
        assert relay.wait_until_published(1, 5)


def test_a_wake_up_sends_what_was_committed_meanwhile() -> None:
    outbox, lane = MemoryOutbox(), MemoryLane()
    with running(outbox) as relay:
        relay.on_ready(lane)
        wait_for(lambda: outbox.reads, "the first look")
        outbox.add(recorded(1))
        relay.wake()
        wait_for(lambda: lane.sequences == [1], "the message")


def test_a_missed_wake_up_costs_no_more_than_the_poll_interval() -> None:
    outbox, lane = MemoryOutbox(), MemoryLane()
    with running(outbox, RelayConfig(poll_seconds=0.05)) as relay:
        relay.on_ready(lane)
        wait_for(lambda: outbox.reads, "the first look")
        outbox.add(recorded(1))
        wait_for(lambda: lane.sequences == [1], "the message")


def test_an_outage_of_the_database_is_sat_out() -> None:
    outbox, lane, notes = MemoryOutbox([recorded(1)]), MemoryLane(), Notes()
    outbox.fail_times = 4  # the depth for the log line, then reads
    with running(outbox, telemetry=notes) as relay, capture_logs() as logs:
        relay.on_ready(lane)
        wait_for(lambda: lane.sequences == [1], "the message")

    assert notes.errors == ["db", "db", "db"]
    assert [entry["event"] for entry in logs].count("outbox_unavailable") == 1


def test_a_confirm_is_recorded_even_if_the_database_was_away_when_it_came() -> None:
    outbox, lane = MemoryOutbox([recorded(1)]), MemoryLane()
    with running(outbox) as relay:
        relay.on_ready(lane)
        wait_for(lambda: lane.submitted, "the message")
        outbox.fail_times = 2
        relay.on_confirmed(lane.submitted)
        wait_for(lambda: outbox.published == [1], "the mark")

    assert lane.sequences == [1]


def test_waiting_for_publication_ends_without_success_at_its_timeout() -> None:
    outbox = MemoryOutbox([recorded(5)])
    relay = Relay(outbox, CONFIG, no_failure)

    assert not relay.wait_until_published(5, 0.05)
    assert relay.wait_until_published(4, 0.05)


def test_waiting_for_publication_ends_with_the_confirm() -> None:
    outbox, lane = MemoryOutbox([recorded(1)]), MemoryLane()
    with running(outbox) as relay:
        relay.on_ready(lane)
        wait_for(lambda: lane.submitted, "the message")
        waiting = threading.Thread(target=lambda: done.append(relay.wait_until_published(1, 10)))
        done: list[bool] = []
        waiting.start()
        relay.on_confirmed(lane.submitted)
        waiting.join(10)

    assert done == [True]


def test_a_closing_relay_submits_nothing_more_and_records_the_last_confirms() -> None:
    outbox, lane = MemoryOutbox([recorded(1)]), MemoryLane()
    relay = Relay(outbox, CONFIG, no_failure)
    relay.start()
    relay.on_ready(lane)
    wait_for(lambda: lane.submitted, "the message")

    relay.close()
    outbox.add(recorded(2))
    relay.wake()
    assert not relay.join(Deadline(0.1)), "it waits for the confirm"
    relay.on_confirmed(lane.submitted)

    assert relay.join(Deadline(5))
    assert outbox.published == [1]
    assert lane.sequences == [1]


def test_a_closing_relay_waits_no_longer_than_its_flush_time() -> None:
    outbox, lane = MemoryOutbox([recorded(1)]), MemoryLane()
    relay = Relay(outbox, RelayConfig(flush_seconds=0.05), no_failure)
    relay.start()
    relay.on_ready(lane)
    wait_for(lambda: lane.submitted, "the message")

    with capture_logs() as logs:
        relay.close()
        relay.close()
        assert relay.join(Deadline(5))

    assert outbox.published == []
    assert [entry["count"] for entry in logs if entry["event"] == "unconfirmed_kept"] == [1]


def test_what_was_confirmed_before_the_flush_ended_is_recorded() -> None:
    outbox, lane = MemoryOutbox([recorded(1), recorded(2)]), MemoryLane()
    relay = Relay(outbox, RelayConfig(flush_seconds=0.05, mark_seconds=60.0), no_failure)
    relay.start()
    relay.on_ready(lane)
    wait_for(lambda: len(lane.submitted) == 2, "both messages")

    relay.on_confirmed(lane.submitted[:1])
    relay.close()

    assert relay.join(Deadline(5))
    assert outbox.published == [1]


def test_a_closing_relay_does_not_wait_for_a_broker_that_is_away() -> None:
    outbox, lane = MemoryOutbox([recorded(1)]), MemoryLane()
    relay = Relay(outbox, RelayConfig(flush_seconds=60), no_failure)
    relay.start()
    relay.on_ready(lane)
    wait_for(lambda: lane.submitted, "the message")

    relay.on_lost()
    relay.close()

    assert relay.join(Deadline(5))


def test_each_delivered_message_is_reported_after_it_was_recorded() -> None:
    outbox, lane, notes = MemoryOutbox([recorded(1), recorded(2)]), MemoryLane(), Notes()
    reported: list[tuple[int, bool]] = []

    def report(message: OutboxMessage) -> None:
        reported.append((message.sequence, message.sequence in outbox.published + outbox.unrouted))
        raise RuntimeError("a terminal that was closed")

    with running(outbox, telemetry=notes, on_delivered=report) as relay, capture_logs() as logs:
        relay.on_ready(lane)
        wait_for(lambda: len(lane.submitted) == 2, "both messages")
        relay.on_confirmed(lane.submitted[:1])
        relay.on_unrouted(lane.submitted[1:])
        wait_for(lambda: len(reported) == 2, "both reports")

    assert reported == [(1, True), (2, True)]
    assert len(notes.published_after) == len(notes.delivered_after) == 1
    assert 0 <= notes.published_after[0] < 10
    assert 0 <= notes.delivered_after[0] < 60
    assert [entry["event"] for entry in logs].count("delivery_report_failed") == 2


def test_unrouted_messages_are_counted_and_told_once_per_routing_key() -> None:
    messages = [recorded(1), recorded(2), recorded(3, b"/m/b", b"/m/a")]
    outbox, lane, notes = MemoryOutbox(messages), MemoryLane(), Notes()
    with running(outbox, telemetry=notes) as relay, capture_logs() as logs:
        relay.on_ready(lane)
        wait_for(lambda: len(lane.submitted) == 3, "the messages")
        relay.on_unrouted(lane.submitted)
        assert relay.wait_until_published(3, 5)

    assert outbox.unrouted == [1, 2, 3]
    assert (notes.without_queue, notes.errors) == (3, []), "nothing is wrong with a broker without queues"
    told = [entry["routing_key"] for entry in logs if entry["event"] == "event_unroutable"]
    assert told == ["file.created", "file.moved"]


def test_what_is_wrong_with_unrouted_messages_is_told_as_it_is() -> None:
    messages = [
        recorded(1, b"/m/large"),
        recorded(2, b"/m/again", queue="gone"),
        recorded(3, b"/m/once_more", queue="gone"),
        recorded(4, b"/m/new"),
    ]
    outbox, lane, notes = MemoryOutbox(messages), MemoryLane(), Notes()
    with running(outbox, telemetry=notes) as relay, capture_logs() as logs:
        relay.on_ready(lane)
        wait_for(lambda: len(lane.submitted) == 4, "the messages")
        relay.on_set_aside(lane.submitted[:1])
        relay.on_unrouted(lane.submitted[1:])
        assert relay.wait_until_published(4, 5)

    assert outbox.unrouted == [1, 2, 3, 4]
    assert notes.without_queue == 4
    assert notes.errors == ["enqueue"], "of the one that was too large"
    told = [entry for entry in logs if entry["event"] == "event_unroutable"]
    assert [(entry.get("queue"), entry.get("routing_key")) for entry in told] == [
        ("gone", None),
        (None, "file.created"),
    ], "the one that was set aside was told already, and the missing queue says nothing about the key"
    assert "no queue of this name" in told[0]["note"]
    assert all("`events --state unrouted` lists" in entry["note"] for entry in told)


def test_another_rate_holds_at_once_also_while_the_one_before_is_waited_for() -> None:
    outbox, lane = MemoryOutbox([recorded(number) for number in range(1, 41)]), MemoryLane()
    with running(outbox, replace(CONFIG, rate_limit=0.001)) as relay:
        relay.on_ready(lane)
        wait_for(lambda: lane.sequences == [1], "the first one")
        relay.set_rate(None)
        wait_for(lambda: len(lane.sequences) == 40, "all others")


def test_what_waits_of_a_library_that_became_ours_is_sent_at_once() -> None:
    outbox, lane, mine = MemoryOutbox([recorded(5, library_id=1)]), MemoryLane(), {1}
    relay = Relay(outbox, CONFIG, no_failure, may_publish=lambda number: number in mine)
    relay.start()
    try:
        relay.on_ready(lane)
        wait_for(lambda: lane.sequences == [5], "the message of ours")
        outbox.add(recorded(1, library_id=2), recorded(2, library_id=2))
        mine.add(2)
        relay.reread()
        wait_for(lambda: lane.sequences == [5, 1, 2], "the messages of the other one's")
    finally:
        relay.on_lost()
        relay.close()
        assert relay.join(Deadline(5))
