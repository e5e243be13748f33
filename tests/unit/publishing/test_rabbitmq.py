"""How long the publisher waits between attempts, and how often it says why."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from structlog.testing import capture_logs
from tenacity import Future, RetryCallState, Retrying

from file_watcher.errors import BrokerUnavailable
from file_watcher.lifecycle import Deadline
from file_watcher.model import OutboxMessage
from file_watcher.publishing.broker import BrokerConfig
from file_watcher.publishing.lane import Lane
from file_watcher.publishing.outage import Outage
from file_watcher.publishing.rabbitmq import Publisher, _Reminder, _Unusable
from tests.support.ports import free_port
from tests.support.waiting import wait_for

CONFIG = BrokerConfig(retry_first=0.2, retry_cap=30.0)
REFUSED = Outage("refused", "nothing listens")
AUTH = Outage("auth", "wrong password", lasting=True)


class Deaf:
    """A listener that wants to hear nothing."""

    def on_ready(self, lane: Lane) -> None: ...
    def on_confirmed(self, messages: Sequence[OutboxMessage]) -> None: ...
    def on_unrouted(self, messages: Sequence[OutboxMessage]) -> None: ...

    def on_set_aside(self, messages: Sequence[OutboxMessage]) -> None: ...
    def on_lost(self) -> None: ...


def publisher(config: BrokerConfig = CONFIG) -> Publisher:
    return Publisher(config, "abc12345", Deaf(), lambda name, error: None)


def after(attempts: int, outage: Outage) -> RetryCallState:
    """What tenacity knows after that many attempts of which the last one met this outage."""
    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = attempts
    state.outcome = Future.construct(attempts, _Unusable(outage), has_exception=True)
    return state


@pytest.mark.parametrize(
    ("attempts", "longest"), [(1, 0.2), (2, 0.4), (5, 3.2), (8, 25.6), (9, 30.0), (5000, 30.0)]
)
def test_waits_grow_with_the_attempts_up_to_the_cap_and_are_jittered(attempts: int, longest: float) -> None:
    seconds = publisher()._wait_seconds()

    waits = [seconds(after(attempts, REFUSED)) for _ in range(300)]

    assert min(waits) >= 0.2
    assert max(waits) <= longest
    if longest > 0.2:
        assert max(waits) > 0.8 * longest
        assert len(set(waits)) > 100


@pytest.mark.parametrize(("attempts", "longest"), [(1, 2.0), (3, 8.0), (5, 30.0), (5000, 30.0)])
def test_what_only_an_operator_can_mend_is_tried_less_often_but_not_too_late(
    attempts: int, longest: float
) -> None:
    seconds = publisher()._wait_seconds()

    waits = [seconds(after(attempts, AUTH)) for _ in range(300)]

    assert min(waits) >= 1.0
    assert 0.8 * longest < max(waits) <= longest


@pytest.fixture
def clock() -> Callable[[], float]:
    moments = iter(range(0, 1000, 20))
    return lambda: float(next(moments))


def test_an_outage_is_told_at_its_beginning_and_once_a_minute(clock: Callable[[], float]) -> None:
    reminder = _Reminder(clock)

    assert [reminder.is_due(REFUSED) for _ in range(7)] == [True, False, False, True, False, False, True]


def test_a_cause_that_an_operator_must_mend_is_told_at_once(clock: Callable[[], float]) -> None:
    reminder = _Reminder(clock)

    assert [reminder.is_due(outage) for outage in (REFUSED, AUTH, AUTH, REFUSED)] == [
        True,
        True,
        False,
        False,
    ]


def test_the_next_outage_is_told_at_once(clock: Callable[[], float]) -> None:
    reminder = _Reminder(clock)
    assert reminder.is_due(REFUSED)
    reminder.forget()

    assert reminder.is_due(REFUSED)


def test_a_publisher_that_waits_for_its_next_attempt_stops_at_once() -> None:
    config = BrokerConfig(url=f"amqp://127.0.0.1:{free_port()}", retry_first=60, retry_cap=60)
    subject = publisher(config)
    with capture_logs() as logs:
        subject.start()
        wait_for(lambda: logs, "the first attempt")
        subject.close()
        subject.close()
        assert subject.join(Deadline(5))

    assert not subject.health().ok


def test_a_publisher_that_was_closed_before_its_start_makes_no_attempt() -> None:
    subject = publisher(BrokerConfig(url=f"amqp://127.0.0.1:{free_port()}"))
    subject.close()

    with capture_logs() as logs:
        subject.start()
        assert subject.join(Deadline(5))

    assert logs == []


def test_a_failed_attempt_is_a_retryable_error_with_its_reason() -> None:
    error = _Unusable(REFUSED)

    assert isinstance(error, BrokerUnavailable)
    assert str(error) == "nothing listens"
