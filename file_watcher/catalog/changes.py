"""Tells that what steers may have changed: PostgreSQL says so by itself, SQLite counts, else somebody looks.

Owns no thread; one thread waits, any may wake it. A feed promises no reasons and no numbers: after it said that
something may have changed, all is read anew, so that changes that come together cost one reading and none is lost.
Where the triggers do not stand (another application's tables, a right that is missing), what steers is read and
compared from time to time instead.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog
from sqlalchemy import Connection

from file_watcher.catalog.change_triggers import CHANNEL, has_notices
from file_watcher.catalog.database import CircuitOpen, Database
from file_watcher.catalog.steering import SteeringRows, read_steering
from file_watcher.errors import CatalogUnavailable

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FeedConfig:
    """Seconds between two looks: at SQLite's counter, at all that steers where nothing tells of changes, at
    whether something tells; and between two tries while the database is away."""

    count_seconds: float = 0.25
    poll_seconds: float = 0.6
    check_seconds: float = 60.0
    outage_seconds: float = 1.0


class ChangeFeed(Protocol):
    """Waits for changes."""

    def wait(self, timeout: float) -> bool:
        """Block until something may have changed or somebody woke us (True), or for `timeout` seconds.

        The first answer is True, and so is the one after each outage. A database that is away is waited for:
        never raises CatalogUnavailable; CatalogError where the database refuses us.
        """

    def wake(self) -> None:
        """End the wait. Never blocks; any thread."""

    def close(self) -> None:
        """Give the connection back. Called by the thread that waits."""


def change_feed(database: Database, config: FeedConfig | None = None) -> ChangeFeed:
    """The feed that fits the database."""
    config = config or FeedConfig()
    return CountingFeed(database, config) if database.is_sqlite else ListeningFeed(database, config)


class _Poll:
    """Reads what steers, and compares it with the time before."""

    def __init__(self, database: Database, seconds: float) -> None:
        self._database = database
        self._seconds = seconds
        self._known: SteeringRows | None = None
        self._due = 0.0

    def wait_seconds(self) -> float:
        return max(0.0, self._due - time.monotonic())

    def forget(self) -> None:
        """All is news: the next look says so."""
        self._known = None
        self._due = 0.0

    def is_news(self) -> bool:
        rows = read_steering(self._database)
        self._due = time.monotonic() + self._seconds
        is_news, self._known = rows != self._known, rows
        return is_news


class ListeningFeed:
    """PostgreSQL: a session of its own listens, and costs nothing while nothing comes."""

    def __init__(self, database: Database, config: FeedConfig) -> None:
        self._database = database
        self._config = config
        self._poll = _Poll(database, config.poll_seconds)
        self._woken = threading.Event()
        self._session: Connection | None = None
        self._selector: selectors.BaseSelector | None = None
        self._bell: tuple[socket.socket, socket.socket] | None = None
        self._is_told = False
        self._next_check = 0.0

    def wake(self) -> None:
        """See ChangeFeed."""
        self._woken.set()
        if (bell := self._bell) is not None:
            # Full: it rings already. Closed: nobody waits any more.
            with suppress(BlockingIOError, OSError):
                bell[1].send(b"\0")

    def wait(self, timeout: float) -> bool:
        """See ChangeFeed."""
        deadline = time.monotonic() + timeout
        try:
            if self._session is None:
                self._connect()
                return True
            return self._wait(deadline)
        except CatalogUnavailable as exc:
            self._disconnect()
            if not isinstance(exc, CircuitOpen):
                log.info("change_feed_lost", reason=str(exc), effect="all is read again when it is back")
            return self._is_woken(min(self._config.outage_seconds, max(0.0, deadline - time.monotonic())))

    def close(self) -> None:
        """See ChangeFeed."""
        self._disconnect()
        bell, self._bell = self._bell, None
        for end in bell or ():
            end.close()

    def _wait(self, deadline: float) -> bool:
        while True:
            now = time.monotonic()
            if now >= self._next_check:
                self._check(now)
                return True  # whatever was not told: seldom, and nothing is done where all is the same
            until = min(deadline, self._next_check)
            if not self._is_told:
                until = min(until, now + self._poll.wait_seconds())
            if self._is_woken(0.0) or self._listen(max(0.0, until - now)):
                return True
            if not self._is_told and self._poll.wait_seconds() == 0.0 and self._poll.is_news():
                return True
            if time.monotonic() >= deadline:
                return False

    def _listen(self, seconds: float) -> bool:
        """Whether a notification came, or somebody rang."""
        assert self._selector is not None
        assert self._session is not None
        ready = self._selector.select(seconds)
        rang = any(key.data == "bell" for key, _ in ready)
        if any(key.data == "server" for key, _ in ready):
            with self._database.briefly(), self._database.asking():
                # timeout: what came is taken, nothing is waited for.
                return bool(list(_driver(self._session).notifies(timeout=0.0))) or rang
        return rang and self._is_woken(0.0)

    def _is_woken(self, seconds: float) -> bool:
        """Whether somebody woke us, and forget it."""
        woken = self._woken.wait(seconds)
        self._woken.clear()
        if (bell := self._bell) is not None:
            with suppress(BlockingIOError):
                bell[0].recv(4_096)
        return woken

    def _connect(self) -> None:
        if self._bell is None:
            self._bell = socket.socketpair()
            for end in self._bell:
                end.settimeout(0.0)
        session = self._session = self._database.session()
        with self._database.briefly(), self._database.asking():
            session.exec_driver_sql(f"LISTEN {CHANNEL}")
        self._selector = selectors.DefaultSelector()
        self._selector.register(_driver(session).fileno(), selectors.EVENT_READ, "server")
        self._selector.register(self._bell[0], selectors.EVENT_READ, "bell")
        self._check(time.monotonic())

    def _check(self, now: float) -> None:
        """See whether changes are told; the triggers are another one's to drop."""
        assert self._session is not None
        with self._database.briefly(), self._database.asking():
            is_told = has_notices(self._session)
        if is_told != self._is_told or self._next_check == 0.0:
            log.info("changes_are_told" if is_told else "changes_are_looked_for")
        self._is_told = is_told
        self._next_check = now + self._config.check_seconds
        if not is_told:
            self._poll.is_news()

    def _disconnect(self) -> None:
        selector, self._selector = self._selector, None
        if selector is not None:
            selector.close()
        session, self._session = self._session, None
        if session is not None:
            self._database.end_session(session)


class CountingFeed:
    """SQLite: a look at the number of commits costs microseconds, and only after one at our own counter."""

    def __init__(self, database: Database, config: FeedConfig) -> None:
        self._database = database
        self._config = config
        self._poll = _Poll(database, config.poll_seconds)
        self._woken = threading.Event()
        self._session: Connection | None = None
        self._commits: int | None = None
        self._version: int | None = None
        self._is_told = False
        self._is_pending = False

    def wake(self) -> None:
        """See ChangeFeed."""
        self._woken.set()

    def wait(self, timeout: float) -> bool:
        """See ChangeFeed."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                if self._session is None:
                    self._connect()
                    return True
                if self._is_news():
                    return True
                pause = self._config.count_seconds
            except CatalogUnavailable as exc:
                self.close()
                if not isinstance(exc, CircuitOpen):
                    log.info("change_feed_lost", reason=str(exc), effect="all is read again when it is back")
                pause = self._config.outage_seconds
            left = deadline - time.monotonic()
            if self._woken.wait(max(0.0, min(pause, left))):
                self._woken.clear()
                return True
            if left <= pause:
                return False

    def close(self) -> None:
        """See ChangeFeed."""
        session, self._session = self._session, None
        if session is not None:
            self._database.end_session(session)

    def _connect(self) -> None:
        session = self._session = self._database.session()
        with self._database.asking():
            self._is_told = has_notices(session)
            self._commits = self._one("PRAGMA data_version")
            self._version = self._one(_VERSION) if self._is_told else None
        if not self._is_told:
            self._poll.is_news()

    def _is_news(self) -> bool:
        with self._database.asking():
            commits = self._one("PRAGMA data_version")
            if commits == self._commits and not self._is_pending:
                return False
            self._commits = commits
            if self._is_told:
                before, self._version = self._version, self._one(_VERSION)
                return self._version != before
        self._is_pending = self._poll.wait_seconds() > 0.0
        return not self._is_pending and self._poll.is_news()

    def _one(self, sql: str) -> int | None:
        assert self._session is not None
        row = _driver(self._session).execute(sql).fetchone()
        return None if row is None else int(row[0])


_VERSION: Final = "SELECT version FROM fw_config WHERE id = 1"


def _driver(session: Connection) -> Any:
    """The driver's own connection: what is asked four times a second need not pass through SQLAlchemy."""
    return session.connection.driver_connection
