"""Keeping house: what is old is forgotten, what is too much is merged, and the end is not held up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import pytest
from structlog.testing import capture_logs

from file_watcher import housekeeping as housekeeping_module
from file_watcher.catalog.compaction import Compaction
from file_watcher.catalog.journal import LogLines
from file_watcher.catalog.outbox import Outbox
from file_watcher.errors import CatalogUnavailable
from file_watcher.housekeeping import Housekeeping, HousekeepingConfig
from file_watcher.lifecycle import Deadline
from tests.support.waiting import wait_for


class Lines:
    """The log of the same database."""

    def __init__(self, house: House) -> None:
        self._house = house

    def prune(self, seconds: float, *, should_stop: Callable[[], bool]) -> int:
        self._house.lines_pruned.append(seconds)
        return 1


class House:
    """An outbox that is pruned and merged, over a database that may be away."""

    def __init__(self) -> None:
        self.pruned: list[tuple[float, int]] = []
        self.lines_pruned: list[float] = []
        self.depths: list[int] = []
        self.is_away = False
        self.is_long = False
        self.in_a_long_run = threading.Event()
        self.failures: list[BaseException] = []
        self.keeping = Housekeeping(
            HousekeepingConfig(retention_seconds=60.0, retention_events=1000),
            cast("Outbox", self),
            cast("Compaction", self),
            self.depth,
            lambda _, error: self.failures.append(error),
            cast("LogLines", Lines(self)),
        )

    def depth(self) -> int:
        if self.is_away:
            raise CatalogUnavailable("the database is away")
        return 42

    def prune(self, seconds: float, keep: int, should_stop: Callable[[], bool]) -> int:
        self.pruned.append((seconds, keep))
        return 3

    def keep_limit(self, depth: int, should_stop: Callable[[], bool]) -> int:
        self.depths.append(depth)
        if self.is_long:
            self.in_a_long_run.set()
            wait_for(should_stop, "the end")
        return 0


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_LOOK_SECONDS", "_PRUNE_SECONDS", "_OUTAGE_SECONDS"):
        monkeypatch.setattr(housekeeping_module, name, 0.02)


@contextmanager
def kept() -> Iterator[House]:
    house = House()
    house.keeping.start()
    try:
        yield house
    finally:
        house.keeping.close()
        assert house.keeping.join(Deadline(5))
    assert house.failures == []


def test_it_prunes_and_looks_at_the_depth_from_time_to_time() -> None:
    with capture_logs() as logs, kept() as house:
        wait_for(lambda: len(house.pruned) > 1 and len(house.depths) > 1, "two rounds")
    assert house.pruned[0] == (60.0, 1000)
    assert house.lines_pruned[0] == 60.0
    assert house.depths[0] == 42
    assert {"event": "events_pruned", "count": 3, "log_level": "info"} in logs


def test_a_database_that_is_away_is_waited_for_and_told_once() -> None:
    with capture_logs() as logs, kept() as house:
        house.is_away = True
        wait_for(lambda: logs and logs[-1]["event"] == "housekeeping_waits_for_database", "the outage")
        house.is_away = False
        rounds = len(house.depths)
        wait_for(lambda: len(house.depths) > rounds, "the next round")
    assert [entry["event"] for entry in logs].count("housekeeping_waits_for_database") == 1


def test_the_end_does_not_wait_for_a_long_run() -> None:
    with kept() as house:
        house.is_long = True
        assert house.in_a_long_run.wait(5)
        house.keeping.close()
        assert house.keeping.join(Deadline(5))


def test_a_surprise_is_reported() -> None:
    house = House()
    house.depth = None  # type: ignore[assignment,method-assign]
    house.keeping._depth = house.depth
    house.keeping.start()
    wait_for(lambda: house.failures, "the report")
    house.keeping.close()
    assert house.keeping.join(Deadline(5))
