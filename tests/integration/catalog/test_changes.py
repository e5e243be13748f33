"""A change in the database is told within moments: by notices, by SQLite's counter, and where neither is there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from file_watcher.catalog.batch import Batch
from file_watcher.catalog.change_triggers import remove
from file_watcher.catalog.changes import ChangeFeed, FeedConfig, change_feed
from file_watcher.catalog.database import Database
from file_watcher.catalog.outbox import Outbox
from file_watcher.errors import CatalogUnavailable
from tests.support.catalog import message, opened, record, store_of
from tests.support.operator import Operator
from tests.support.postgresql import PostgresCluster
from tests.support.waiting import wait_for

QUICK = FeedConfig(count_seconds=0.02, poll_seconds=0.05, check_seconds=60.0, outage_seconds=0.05)
LONG = 30.0
CHANGES: tuple[tuple[str, str], ...] = (
    ("a library", "INSERT INTO libraries (id, name, path, type) VALUES (5, 'n', '/n', 'production')"),
    ("its row", "UPDATE libraries SET is_watched = true WHERE id = 5"),
    ("a setting", "INSERT INTO settings (key, value) VALUES ('file_watch.nice', '1')"),
    ("a rule", "INSERT INTO fw_library_rules (library_id, key, value) VALUES (5, 'max_wait', '1s')"),
    ("an origin", "INSERT INTO fw_library_origins (library_id, instance_id) VALUES (5, 'me')"),
    ("the end", "DELETE FROM libraries WHERE id = 5"),
)


@dataclass
class Waiter:
    """Waits on a thread of its own, as the service does, and counts the news."""

    feed: ChangeFeed
    news: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.stop.is_set():
            if self.feed.wait(LONG):
                self.news += 1
        self.feed.close()

    def hears(self, what: str, act: Callable[[], None]) -> None:
        """Whether the feed tells of what is done."""
        before = self.news
        act()
        wait_for(lambda: self.news > before, what)


@contextmanager
def waiting_on(database: Database, config: FeedConfig = QUICK) -> Iterator[Waiter]:
    waiter = Waiter(change_feed(database, config))
    thread = threading.Thread(target=waiter.run, name="waiter")
    thread.start()
    try:
        wait_for(lambda: waiter.news > 0, "the first answer, which says that all is new")
        yield waiter
    finally:
        waiter.stop.set()
        waiter.feed.wake()
        thread.join(10)


@pytest.fixture(params=["told", "looked for"])
def database(request: pytest.FixtureRequest, database_url: str) -> Iterator[Database]:
    """A catalog with its triggers, and one where another application did not permit them."""
    with opened(database_url) as database:
        if request.param == "looked for":
            with database.writing() as connection:
                remove(connection)
        yield database


def test_every_change_of_what_steers_is_told_once_it_is_committed(
    database: Database, database_url: str
) -> None:
    operator = Operator(database_url)
    with waiting_on(database) as waiter:
        for what, statement in CHANGES:
            waiter.hears(what, lambda statement=statement: operator.commit((statement, ())))  # type: ignore[misc]


def test_what_we_commit_ourselves_is_no_news(database: Database) -> None:
    feed = change_feed(database, QUICK)
    try:
        assert feed.wait(LONG)
        store_of(database).commit(Batch(inserts=[record("a.mp3")]))
        assert not feed.wait(0.3)
    finally:
        feed.close()


def test_a_wake_ends_the_wait_at_once_and_is_not_forgotten(database: Database) -> None:
    feed = change_feed(database, QUICK)
    feed.wake()
    try:
        assert feed.wait(LONG)
        feed.wake()
        feed.wake()
        assert feed.wait(LONG)
        assert not feed.wait(0.0)
    finally:
        feed.close()
        feed.wake()


def test_triggers_that_are_dropped_while_it_runs_are_missed_soon(postgres_url: str) -> None:
    config = FeedConfig(poll_seconds=0.05, check_seconds=0.2)
    operator = Operator(postgres_url)
    with opened(postgres_url) as database, waiting_on(database, config) as waiter:
        with database.writing() as connection:
            remove(connection)
        before = waiter.news
        wait_for(lambda: waiter.news > before, "a look at the triggers")
        waiter.hears("a change that nobody tells of", lambda: operator.settings(nice="1"))


def test_messages_that_wait_are_no_news_where_changes_are_looked_for(postgres_url: str) -> None:
    with opened(postgres_url) as database:
        with database.writing() as connection:
            remove(connection)
        feed = change_feed(database, QUICK)
        try:
            assert feed.wait(LONG)
            wait_for(lambda: not feed.wait(0.2), "nothing more to be new")
            Outbox(database, None).record([message(library_id=4)])
            assert not feed.wait(0.3), "in which it looks several times"
            Operator(postgres_url).settings(nice="4")
            assert feed.wait(LONG)
        finally:
            feed.close()


def test_after_an_outage_all_is_new(postgres: PostgresCluster, postgres_url: str) -> None:
    with opened(postgres_url) as database, waiting_on(database) as waiter:
        before = waiter.news
        postgres.restart()
        wait_for(lambda: waiter.news > before, "the answer after the restart", 30)
        waiter.hears("a change", lambda: Operator(postgres_url).settings(nice="2"))


def test_a_session_that_the_server_ends_is_made_anew(postgres: PostgresCluster, postgres_url: str) -> None:
    with opened(postgres_url) as database, waiting_on(database) as waiter:
        waiter.hears("the loss", postgres.terminate_connections)
        waiter.hears("a change", lambda: Operator(postgres_url).settings(nice="3"))


def test_a_change_by_the_service_itself_is_told_too(database: Database) -> None:
    with waiting_on(database) as waiter:

        def change() -> None:
            with database.writing() as connection:
                connection.execute(text("INSERT INTO settings (key, value) VALUES ('file_watch.nice', '1')"))

        waiter.hears("a row that we wrote", change)


def test_a_file_that_cannot_be_read_for_a_while_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/c.db"
    tries: list[None] = []

    def away() -> Connection:
        tries.append(None)
        raise CatalogUnavailable("input/output error")

    with opened(url) as database:
        with monkeypatch.context() as outage:
            outage.setattr(database, "session", away)
            feed = change_feed(database, QUICK)
            assert not feed.wait(0.2)
            assert len(tries) > 1
        try:
            assert feed.wait(LONG), "all is new after an outage"
        finally:
            feed.close()
