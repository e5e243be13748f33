from __future__ import annotations

import pytest

from file_watcher.processing import read_limit
from file_watcher.processing.read_limit import ReadLimit

MB = 1_000_000


class Clock:
    """A monotonic clock that moves only when somebody waits or says so."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(read_limit, "time", clock)
    return clock


def test_a_block_takes_the_time_that_its_bytes_may_take(clock: Clock) -> None:
    limit = ReadLimit(10 * MB, clock.wait)
    limit(MB)
    assert clock.waits == [pytest.approx(0.1)]


def test_time_that_has_passed_since_is_not_waited_for_again(clock: Clock) -> None:
    """A read of a slow disk is spread already; but an idle hour gives no right to a burst."""
    limit = ReadLimit(10 * MB, clock.wait)
    limit(MB)
    clock.now += 3600
    limit(MB)
    assert clock.waits == [pytest.approx(0.1), pytest.approx(0.1)]


def test_threads_that_read_at_once_queue_behind_one_another(clock: Clock) -> None:
    waits: list[float] = []
    limit = ReadLimit(10 * MB, waits.append)
    for _ in range(3):
        limit(MB)
    assert waits == [pytest.approx(0.1), pytest.approx(0.2), pytest.approx(0.3)]


def test_a_file_is_read_at_the_rate_on_average(clock: Clock) -> None:
    limit = ReadLimit(10 * MB, clock.wait)
    began = clock.now
    for _ in range(100):
        limit(MB)
    assert clock.now - began == pytest.approx(10.0)


def test_nothing_read_is_nothing_waited_for(clock: Clock) -> None:
    ReadLimit(10 * MB, clock.wait)(0)
    assert clock.waits == []


def test_another_rate_holds_for_the_next_block_and_what_was_booked_before_is_forgotten(clock: Clock) -> None:
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        limit.set_rate(10 * MB)

    limit = ReadLimit(1, wait)
    limit(MB)
    assert waits == [0.5], "it would have been eleven days"
    limit(MB)
    assert waits[1:] == [pytest.approx(0.1)]


def test_no_rate_is_no_limit(clock: Clock) -> None:
    limit = ReadLimit(None, clock.wait)
    limit(MB)
    limit.set_rate(10 * MB)
    limit(MB)
    limit.set_rate(None)
    limit(MB)
    assert clock.waits == [pytest.approx(0.1)]


def test_the_same_rate_once_more_changes_nothing(clock: Clock) -> None:
    waits: list[float] = []
    limit = ReadLimit(10 * MB, waits.append)
    limit(MB)
    limit.set_rate(10 * MB)
    limit(MB)
    assert waits == [pytest.approx(0.1), pytest.approx(0.2)]


def test_a_stop_ends_the_wait() -> None:
    waits: list[float] = []

    def stopped(seconds: float) -> bool:
        waits.append(seconds)
        return True

    ReadLimit(1, stopped)(MB)
    assert waits == [0.5]
