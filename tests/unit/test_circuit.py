from __future__ import annotations

from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from file_watcher.circuit import Circuit, CircuitBreaker, CircuitConfig, CircuitState

CONFIG = CircuitConfig(threshold=3, first_pause=1, longest_pause=4, steady=2, longest_steady=8, relapse=60)


@pytest.fixture
def breaker() -> CircuitBreaker:
    return CircuitBreaker(CONFIG, 0.0)


def state(breaker: CircuitBreaker, now: float) -> CircuitState:
    return breaker.view(now).state


def open_it(breaker: CircuitBreaker, now: float) -> None:
    for _ in range(CONFIG.threshold):
        breaker.failed(now, "away")


def close_it(breaker: CircuitBreaker, now: float, steady: float) -> None:
    assert breaker.allows(now)
    breaker.succeeded(now)
    assert state(breaker, now + steady - 0.1) is CircuitState.HALF_OPEN
    assert state(breaker, now + steady) is CircuitState.CLOSED


def test_a_lost_connection_or_two_do_not_open_it(breaker: CircuitBreaker) -> None:
    for _ in range(5):
        breaker.failed(1, "away")
        breaker.failed(1, "away")
        breaker.succeeded(1)

    assert breaker.allows(1)
    assert breaker.is_untroubled


def test_failures_in_a_row_open_it_and_nobody_may_ask(breaker: CircuitBreaker) -> None:
    open_it(breaker, 5)

    view = breaker.view(5.5)
    assert (view.state, view.since, view.failures, view.error) == (CircuitState.OPEN, 5, 3, "away")
    assert view.next_trial == 6
    assert not breaker.allows(5.5)


def test_a_failure_that_takes_long_opens_it_alone(breaker: CircuitBreaker) -> None:
    breaker.failed(5, "silent", at_once=True)

    assert not breaker.allows(5)


def test_one_call_at_a_time_is_let_through_to_try_it(breaker: CircuitBreaker) -> None:
    open_it(breaker, 0)

    assert [breaker.allows(1) for _ in range(3)] == [True, False, False]


def test_pauses_between_trials_double_up_to_the_longest(breaker: CircuitBreaker) -> None:
    open_it(breaker, 0)
    trials = []
    for tenths in range(200):
        if breaker.allows(tenths / 10):
            trials.append(tenths / 10)
            breaker.failed(tenths / 10, "still away")

    assert trials == [1, 3, 7, 11, 15, 19]
    assert breaker.view(20).since == 0, "it has been away all the time"


def test_what_had_begun_before_it_opened_and_fails_later_is_no_news(breaker: CircuitBreaker) -> None:
    open_it(breaker, 0)
    for _ in range(10):
        breaker.failed(0.9, "away")

    assert breaker.allows(1)


def test_after_a_trial_that_went_well_all_may_ask_and_it_closes_when_that_lasts(
    breaker: CircuitBreaker,
) -> None:
    open_it(breaker, 0)
    assert breaker.allows(1)
    breaker.succeeded(1)

    assert [breaker.allows(1.5) for _ in range(3)] == [True, True, True]
    assert state(breaker, 2.9) is CircuitState.HALF_OPEN
    assert state(breaker, 3) is CircuitState.CLOSED
    assert breaker.view(3).failures == 0
    assert breaker.view(3).error == "away"


def test_a_failure_while_it_is_tried_opens_it_again(breaker: CircuitBreaker) -> None:
    open_it(breaker, 0)
    assert breaker.allows(1)
    breaker.succeeded(1)
    breaker.failed(2, "away again")

    assert state(breaker, 2) is CircuitState.OPEN
    assert not breaker.allows(3.9)
    assert breaker.allows(4)


def test_a_trial_that_told_nothing_is_left_to_somebody_else(breaker: CircuitBreaker) -> None:
    open_it(breaker, 0)
    assert breaker.allows(1)
    breaker.abandoned()

    assert breaker.allows(1)


def test_a_server_that_keeps_crashing_has_to_prove_itself_for_longer_each_time(
    breaker: CircuitBreaker,
) -> None:
    now = 0.0
    for steady in (2, 4, 8, 8):
        open_it(breaker, now)
        close_it(breaker, now + 1, steady)
        now += 1 + steady + 1
    now += 60
    open_it(breaker, now)
    close_it(breaker, now + 1, 2)
    assert breaker.view(now + 4).opened == 5


def test_whoever_paces_the_trials_alone_may_try_it_at_any_time(breaker: CircuitBreaker) -> None:
    open_it(breaker, 0)
    breaker.tried(0.1)
    breaker.succeeded(0.1)

    assert state(breaker, 2.1) is CircuitState.CLOSED


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def shared(clock: Callable[[], float]) -> Circuit:
    return Circuit("database", CONFIG, clock)


def test_the_opening_and_the_closing_are_told_once_each() -> None:
    clock = Clock()
    circuit = shared(clock)
    with capture_logs() as logs:
        for _ in range(3):
            circuit.failed("away")
        for _ in range(5):
            clock.now += 10
            assert circuit.allows()
            circuit.failed("away")
        clock.now += 10
        assert circuit.allows()
        circuit.succeeded()
        clock.now += 10
        assert circuit.is_closed

    assert [(each["event"], each["dependency"]) for each in logs] == [
        ("circuit_opened", "database"),
        ("circuit_closed", "database"),
    ]


def test_who_tells_more_of_it_may_have_it_silent() -> None:
    circuit = Circuit("broker", CONFIG, Clock(), is_logged=False)
    with capture_logs() as logs:
        circuit.failed("away", at_once=True)
    assert circuit.is_open
    assert logs == []


def test_its_facts_say_since_when_why_and_when_it_is_tried_next() -> None:
    clock = Clock()
    circuit = shared(clock)
    assert circuit.facts()["state"] == "closed"
    circuit.failed("no answer", at_once=True)
    clock.now += 0.25

    facts = circuit.facts()

    assert (facts["state"], facts["failures"], facts["last_error"]) == ("open", 1, "no answer")
    assert facts["next_attempt_seconds"] == pytest.approx(0.8, abs=0.06)
    assert facts["since"].endswith("Z")
    assert circuit.is_open
