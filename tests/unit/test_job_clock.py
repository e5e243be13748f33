"""Windows that are due become jobs: at once or as the rate lets them, also after an outage, and never twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest
from structlog.testing import capture_logs

from file_watcher import job_clock as job_clock_module
from file_watcher.catalog.batch import Batch
from file_watcher.catalog.database import Database
from file_watcher.catalog.job_windows import JobWindows
from file_watcher.catalog.libraries import Libraries
from file_watcher.catalog.outbox import Outbox
from file_watcher.errors import CatalogUnavailable
from file_watcher.job_clock import JOBS, JobClock, JobCloser, JobConfig
from file_watcher.jobs.rules import JobRule, read_rules
from file_watcher.jobs.windows import changes_of
from file_watcher.ledger import Ledger
from file_watcher.lifecycle import Deadline
from file_watcher.model import OutboxMessage
from file_watcher.processing.view import RowChanges
from file_watcher.telemetry import Telemetry
from tests.support.catalog import ROOT, music, opened, record, store_of
from tests.support.jobs import change
from tests.support.messages import event, validated
from tests.support.waiting import wait_for

SECOND = 1_000_000_000


class Recorded(Telemetry):
    """Remembers what was counted as recorded."""

    def __init__(self) -> None:
        self.jobs: list[str] = []

    def recorded(self, queue: str, message_type: str, count: int = 1) -> None:
        if queue == JOBS:
            self.jobs += [message_type] * count


class Books:
    """A catalog in a file, with a library, and whoever closes its windows."""

    def __init__(self, database: Database) -> None:
        assert Libraries(database).ensure_library(ROOT).id == 1
        self.store = store_of(database)
        self.outbox = Outbox(database, None)
        self.telemetry = Recorded()
        self.rules: tuple[JobRule, ...] = ()
        self.owned: Collection[int] | None = None
        self.wakes = 0
        self.closer = JobCloser(
            JobConfig("abc12345", "file_jobs"),
            JobWindows(database),
            lambda number: self.rules if number == 1 else (),
            lambda: self.owned,
            self.wake,
            self.telemetry,
        )

    def wake(self) -> None:
        self.wakes += 1

    def open_windows(self, count: int, due_ns: int, **changes: object) -> None:
        many = [
            change(key=f"{number:040}", at_ns=due_ns - 5, due_ns=due_ns, **changes) for number in range(count)
        ]
        self.store.commit(Batch(windows=many))

    def close_due(self, now_ns: int, now: float = 0.0) -> float | None:
        return self.closer.close_due(now_ns, now, lambda: False)

    @property
    def jobs(self) -> list[OutboxMessage]:
        return [message for message in self.outbox.pending(0, 1000) if message.event_type == "job"]


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    with opened(f"sqlite:///{tmp_path / 'catalog.db'}") as database:
        yield Books(database)


def test_a_window_becomes_a_job_when_it_is_due_and_not_before(books: Books) -> None:
    books.open_windows(1, due_ns=10 * SECOND)

    assert books.close_due(4 * SECOND) == 6.0
    assert books.jobs == []
    assert books.close_due(10 * SECOND) is None
    (message,) = books.jobs
    document = validated(message.body, message.routing_key)
    assert message.event_id == document["job_id"]
    assert (message.exchange, message.path, message.library) == ("file_jobs", ROOT, "music")
    assert document["path"] == ROOT.decode()
    assert document["window_end"] == "1970-01-01T00:00:10.000000Z"
    assert books.telemetry.jobs == ["media:scan"]
    assert books.wakes == 1
    assert books.close_due(20 * SECOND) is None
    assert len(books.jobs) == 1


def test_more_windows_than_one_transaction_takes_are_all_closed(books: Books) -> None:
    books.open_windows(450, due_ns=SECOND)
    assert books.close_due(SECOND) is None
    assert len({message.event_id for message in books.jobs}) == 450
    assert len({validated(message.body)["dedupe_key"] for message in books.jobs}) == 450


def test_the_rate_of_a_rule_holds_windows_back_which_go_on_gathering(books: Books) -> None:
    books.rules = read_rules('[{"type": "media:scan", "rate_limit": "30/m"}, {"type": "other"}]')
    books.open_windows(3, due_ns=SECOND)
    books.store.commit(Batch(windows=[change(key="f" * 40, type="other", at_ns=1, due_ns=SECOND)]))

    assert books.close_due(SECOND, now=100.0) == pytest.approx(2.0)
    assert sorted(books.telemetry.jobs) == ["media:scan", "other"]
    books.open_windows(3, due_ns=2 * SECOND)
    assert books.close_due(2 * SECOND, now=101.0) == pytest.approx(1.0)
    assert books.close_due(3 * SECOND, now=102.0) == pytest.approx(2.0)
    counts = [validated(message.body)["count"] for message in books.jobs if "scan" in message.routing_key]
    assert counts == [1, 2], "what waited has gathered the later events"


def test_a_rate_that_was_changed_holds_from_then_on(books: Books) -> None:
    books.rules = read_rules('[{"type": "media:scan", "rate_limit": "1/h"}]')
    books.open_windows(5, due_ns=SECOND)
    assert books.close_due(SECOND, now=100.0) == pytest.approx(3600.0)
    books.rules = read_rules('[{"type": "media:scan", "rate_limit": 100}]')
    assert books.close_due(SECOND, now=100.0) is None
    assert len(books.jobs) == 5


def test_windows_whose_rule_is_gone_are_closed_by_what_they_say(books: Books) -> None:
    books.open_windows(1, due_ns=SECOND, type="gone:rule")
    books.close_due(SECOND)
    assert [message.routing_key for message in books.jobs] == ["maintenance.gone.rule"]


def test_windows_of_libraries_that_are_not_ours_are_left_to_their_owner(books: Books) -> None:
    books.open_windows(1, due_ns=SECOND)
    books.owned = [2]
    assert books.close_due(SECOND) is None
    assert books.jobs == []
    books.owned = [1, 2]
    books.close_due(SECOND)
    assert len(books.jobs) == 1


def test_windows_of_a_library_that_was_removed_are_dropped_with_a_word(books: Books) -> None:
    books.open_windows(2, due_ns=SECOND, library_id=9)
    with capture_logs() as logs:
        assert books.close_due(SECOND) is None
    assert books.jobs == []
    assert books.wakes == 0
    assert [entry["event"] for entry in logs] == ["job_dropped", "job_dropped"]


def test_closing_ends_between_two_transactions(books: Books) -> None:
    books.open_windows(450, due_ns=SECOND)
    asked = iter([False, True])
    books.closer.close_due(SECOND, 0.0, lambda: next(asked))
    assert len(books.jobs) == 200


@contextmanager
def running(closer: JobCloser) -> Iterator[JobClock]:
    """A started clock, which ends in time and without a failure."""
    failures: list[BaseException] = []
    clock = JobClock(closer, lambda _, error: failures.append(error))
    clock.start()
    try:
        yield clock
    finally:
        clock.close()
        assert clock.join(Deadline(5))
    assert failures == []


def test_what_was_due_while_nobody_ran_is_closed_at_once(books: Books) -> None:
    books.open_windows(3, due_ns=time.time_ns() - SECOND)
    with running(books.closer):
        wait_for(lambda: len(books.jobs) == 3, "the overdue jobs")


def test_a_window_that_is_opened_while_nothing_is_due_wakes_the_clock(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_clock_module, "_LOOK_SECONDS", 3600.0)
    (rule,) = books.rules = read_rules('[{"type": "file:created"}]')
    with running(books.closer) as clock:
        wait_for(lambda: clock.progress().doing is None and clock.progress().steps > 0, "the first look")
        ledger = Ledger(
            books.store,
            "abc12345",
            Telemetry(),
            lambda events: changes_of(events, lambda _: books.rules, lambda _: None),
            clock.expect,
        )
        row = record("a.mp3")
        created = event(path=row.path, library=music(), file_id=row.file_id, timestamp_ns=time.time_ns())
        ledger.record(RowChanges(inserts=[row]), [created])
        wait_for(lambda: len(books.jobs) == 1, "the job")
    (message,) = books.jobs
    assert (message.path, message.routing_key) == (row.path, rule.routing_key)


def test_a_window_that_became_ours_is_closed_when_the_clock_is_told_to_look(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_clock_module, "_LOOK_SECONDS", 3600.0)
    books.open_windows(1, due_ns=SECOND)
    books.owned = []
    with running(books.closer) as clock:
        wait_for(lambda: clock.progress().doing is None and clock.progress().steps > 0, "the first look")
        books.owned = None
        clock.look()
        wait_for(lambda: len(books.jobs) == 1, "the job")


class Away:
    """Windows in a database that is away at first."""

    def __init__(self) -> None:
        self.tries = 0
        self.is_back = threading.Event()

    def hasten(self, now_ns: int) -> None:
        """Nothing to do."""

    def close_due(self, now_ns: int, now: float, should_stop: Callable[[], bool]) -> float | None:
        self.tries += 1
        if not self.is_back.is_set():
            raise CatalogUnavailable("the database is away")
        return None


def test_a_database_that_is_away_is_tried_again_and_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_clock_module, "_OUTAGE_SECONDS", 0.01)
    monkeypatch.setattr(job_clock_module, "_GATHER_SECONDS", 0.01)
    away = Away()
    with capture_logs() as logs, running(cast("JobCloser", away)):
        wait_for(lambda: away.tries > 3, "some tries")
        away.is_back.set()
        tries = away.tries
        wait_for(lambda: away.tries > tries, "a try that succeeds")
    assert [entry["event"] for entry in logs] == ["jobs_wait_for_database"]
