"""How often the outbox is counted."""

from __future__ import annotations

import pytest

from file_watcher.catalog.depth import DepthWatch
from file_watcher.errors import CatalogUnavailable


class Counting:
    """A count that takes as long as the test says, on a clock of the test's own."""

    def __init__(self, seconds: float) -> None:
        self.now = 100.0
        self.seconds = seconds
        self.count = 0
        self.is_away = False

    def ask(self) -> tuple[int, int | None]:
        self.now += self.seconds
        if self.is_away:
            raise CatalogUnavailable("the database is away")
        self.count += 1
        return self.count, 7

    def watch(self) -> DepthWatch:
        return DepthWatch(self.ask, lambda: self.now)


def test_a_count_that_takes_long_is_not_repeated_soon() -> None:
    counting = Counting(seconds=0.1)
    watch = counting.watch()

    assert watch.depth() == (1, 7)
    counting.now += 1.9
    assert watch.count() == 1
    counting.now += 0.2
    assert watch.count() == 2


def test_a_count_that_costs_nothing_is_always_asked_anew() -> None:
    watch = Counting(seconds=0.0).watch()
    assert [watch.count() for _ in range(3)] == [1, 2, 3]


def test_a_database_that_is_away_is_not_remembered() -> None:
    counting = Counting(seconds=1.0)
    counting.is_away = True
    watch = counting.watch()
    with pytest.raises(CatalogUnavailable):
        watch.depth()
    counting.is_away = False
    assert watch.count() == 1
