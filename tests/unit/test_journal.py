"""The journal: what is logged gets into the database, and never holds up whoever logs."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import pytest
import structlog

from file_watcher.catalog.journal import LogLine, LogLines
from file_watcher.errors import CatalogError, CatalogUnavailable
from file_watcher.journal import Journal, JournalConfig
from file_watcher.lifecycle import Deadline
from file_watcher.ops.log import configure
from tests.support.waiting import wait_for

log: Any = structlog.get_logger("file_watcher.test")


@pytest.fixture(autouse=True)
def stream() -> Iterator[io.StringIO]:
    root, own = logging.getLogger(), logging.getLogger("file_watcher")
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    configure("WARNING", "json", "me", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    own.handlers.clear()
    own.setLevel(logging.NOTSET)
    logging.captureWarnings(capture=False)


class Table:
    """The lines of a database that may be away, or hang."""

    def __init__(self) -> None:
        self.batches: list[list[LogLine]] = []
        self.error: Exception | None = None
        self.tries = 0
        self.open = threading.Event()
        self.open.set()

    def append(self, lines: Sequence[LogLine]) -> None:
        self.tries += 1
        assert self.open.wait(10)
        if self.error is not None:
            raise self.error
        self.batches.append(list(lines))

    def events(self) -> list[str]:
        return [line.event for batch in self.batches for line in batch]


class Desk:
    """A journal over it, in a hurry."""

    def __init__(self, **config: Any) -> None:
        hurry = {"pause_seconds": 0.01, "retry_seconds": 0.01, "refused_seconds": 0.01}
        self.table = Table()
        self.failures: list[BaseException] = []
        self.journal = Journal(
            JournalConfig("one", **(hurry | config)),
            cast("LogLines", self.table),
            lambda _, error: self.failures.append(error),
        )


@contextmanager
def open_desk(**config: Any) -> Iterator[Desk]:
    desk = Desk(**config)
    desk.journal.listen()
    desk.journal.start()
    try:
        yield desk
    finally:
        desk.table.open.set()
        desk.journal.close()
        assert desk.journal.join(Deadline(10))
        assert desk.failures == []


def test_lines_are_written_with_who_and_about_what() -> None:
    with open_desk() as desk:
        log.warning("root_was_away", library="music", count=3)
        log.info("not wanted")
        wait_for(lambda: desk.table.batches != [], "the line")
        assert desk.journal.progress().stage == "fw-journal"
    ((line,),) = desk.table.batches
    assert (line.instance_id, line.level, line.event, line.library) == (
        *("one", "warning", "root_was_away"),
        "music",
    )
    assert dict(line.fields) == {"library": "music", "count": 3}


def test_what_was_logged_before_the_start_and_at_the_end_is_written_too() -> None:
    desk = Desk(level="info", pause_seconds=60.0)
    desk.journal.listen()
    log.info("before")
    desk.journal.start()
    wait_for(lambda: desk.table.batches != [], "the first line")
    log.info("at the end", library=3)
    desk.journal.close()
    log.warning("too late")
    assert desk.journal.join(Deadline(10))
    assert desk.table.events() == ["before", "at the end"]


def test_what_gathers_meanwhile_is_one_batch() -> None:
    with open_desk(batch=4) as desk:
        desk.table.open.clear()
        log.warning("first")
        wait_for(lambda: desk.table.tries == 1, "the first write")
        for number in range(6):
            log.warning(str(number))
        desk.table.open.set()
        wait_for(lambda: len(desk.table.events()) == 7, "all lines")
    assert [len(batch) for batch in desk.table.batches] == [1, 4, 2]


def test_nobody_waits_for_a_database_that_hangs_and_the_loss_is_counted() -> None:
    with open_desk(room=3) as desk:
        desk.table.open.clear()
        log.warning("first")
        wait_for(lambda: desk.table.tries == 1, "a write that hangs")
        for number in range(10):
            log.warning(str(number))  # returns, or this test hangs
        desk.table.open.set()
        wait_for(lambda: "journal_lines_lost" in desk.table.events(), "the loss to be told")
    assert desk.table.events() == ["first", "0", "1", "2", "journal_lines_lost"]
    assert desk.table.batches[-1][-1].fields["count"] == 7


def test_lines_wait_while_the_database_is_away_and_its_absence_is_told_once(stream: io.StringIO) -> None:
    with open_desk() as desk:
        desk.table.error = CatalogUnavailable("away")
        log.warning("first")
        wait_for(lambda: desk.table.tries > 3, "some tries")
        log.warning("second")
        desk.table.error = None
        wait_for(lambda: desk.table.events() == ["first", "second"], "both lines")
    assert stream.getvalue().count("journal_not_written") == 1
    assert "journal_not_written" not in desk.table.events()


def test_what_the_database_refuses_is_counted_and_ends_nothing(stream: io.StringIO) -> None:
    with open_desk() as desk:
        desk.table.error = CatalogError("permission denied for table fw_log")
        log.warning("first")
        wait_for(lambda: desk.table.tries > 2, "some tries")
        desk.table.error = None
        wait_for(lambda: desk.table.batches != [], "the loss to be told")
        log.warning("second")
        wait_for(lambda: "second" in desk.table.events(), "the next line")
    assert [line.fields["count"] for line in desk.table.batches[0]] == [1]
    assert stream.getvalue().count("permission denied") == 1


@pytest.mark.parametrize("error", [CatalogUnavailable("away"), CatalogError("no right")])
def test_the_end_does_not_wait_for_a_database_that_is_away(error: Exception) -> None:
    with open_desk(retry_seconds=60.0, refused_seconds=60.0) as desk:
        desk.table.error = error
        log.warning("first")
        wait_for(lambda: desk.table.tries > 0, "a try")
        log.warning("second")
    assert desk.table.batches == []


def test_the_level_is_changed_while_it_runs() -> None:
    with open_desk(level="off") as desk:
        log.error("nobody hears")
        desk.journal.adjust("info")
        log.info("heard")
        desk.journal.adjust("warning")
        log.info("not heard")
        desk.journal.adjust("off")
        log.error("nobody hears")
        desk.journal.adjust("warning")
        log.warning("heard again")
        wait_for(lambda: len(desk.table.events()) == 2, "two lines")
    assert desk.table.events() == ["heard", "heard again"]


def test_how_it_is_is_shown_and_never_a_reason_not_to_be_ready() -> None:
    with open_desk() as desk:
        assert desk.journal.health().detail == "The database keeps the log."
        desk.table.error = CatalogUnavailable("away")
        log.warning("first")
        wait_for(lambda: "not kept: away" in desk.journal.health().detail, "the trouble to be shown")
        log.warning("second")
        assert desk.journal.health().ok
        assert desk.journal.health().facts == {"level": "warning", "waiting": 1}
        desk.table.error = None
        wait_for(lambda: "keeps" in desk.journal.health().detail, "the trouble to be over")
        desk.journal.adjust("off")
        assert desk.journal.health().detail == "Nothing of the log is kept in the database."


def test_a_hang_is_seen_and_is_not_vital() -> None:
    with open_desk() as desk:
        desk.table.open.clear()
        log.warning("first")
        wait_for(lambda: desk.table.tries == 1, "a write that hangs")
        assert desk.journal.progress().doing == "writes lines"
        assert not desk.journal.progress().is_vital
