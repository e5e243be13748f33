"""The one door to the database: connections, transactions, and what their failures mean.

Owns no thread. Any thread may read and write through one `Database`; it is opened once, by the
composition root. Two kinds of connections:

- Reading connections commit by themselves and stay open on a shelf, because a worker asks for every
  dirty file and taking a connection out of a pool costs more than the question.
- Writing is one transaction at a time in the process. SQLite allows no more anyway and its own waiting
  is a poll of up to 100 ms; on PostgreSQL it makes the outbox's sequence rise in commit order.

A SQLite file is never opened by other means in this process: closing it would drop the locks that
SQLite holds on it (POSIX locks belong to the process, not to the descriptor).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from file_watcher.catalog.engines import (
    BUSY_SECONDS,
    READS,
    parse_url,
    postgresql_engine,
    sqlite_engine,
    switch_to_wal,
)
from file_watcher.catalog.failures import DRIVER_ERRORS, translate
from file_watcher.errors import CatalogError, CatalogUnavailable


class Database:
    """A SQLite file or a PostgreSQL database, by `DATABASE_URL`. Opening is separate from making."""

    def __init__(self, url: str) -> None:
        self._url = parse_url(url)
        self._engine: Engine | None = None
        self._shelf: deque[Connection] = deque()
        self._writer = threading.Lock()
        self._opened = False

    @property
    def is_sqlite(self) -> bool:
        """Whether this is a SQLite file (else it is PostgreSQL)."""
        return self._url.get_backend_name() == "sqlite"

    @property
    def path(self) -> Path | None:
        """The SQLite file; None for PostgreSQL."""
        return Path(self._url.database or "").absolute() if self.is_sqlite else None

    @property
    def shown(self) -> str:
        """Where the catalog is, for people: without the password."""
        if self.is_sqlite:
            return str(self.path)
        return self._url.set(query={}).render_as_string(hide_password=True)

    def open(self) -> None:
        """Connect once, so that a wrong address shows at the start. Blocks up to `BUSY_SECONDS`.

        Raises CatalogUnavailable or CatalogError; may be called again after CatalogUnavailable.
        """
        if self._engine is None:
            self._engine = sqlite_engine(self._url, self.path) if self.path else postgresql_engine(self._url)
        with self.translated(), self._engine.connect() as connection:
            if self.is_sqlite:
                switch_to_wal(connection)
        self._opened = True

    def close(self) -> None:
        """Close all connections; those in use are closed when they are put back. May be called twice."""
        engine, self._engine = self._engine, None
        self._clear_shelf()
        if engine is not None:
            engine.dispose()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One write transaction: committed at the end of the block, undone if it raises.

        Blocks while another thread or process writes, up to `BUSY_SECONDS`. Raises CatalogUnavailable,
        after which nothing was written or (the connection broke during the commit) it is not known.
        """
        if not self._writer.acquire(timeout=BUSY_SECONDS):
            raise CatalogUnavailable(f"The catalog {self.shown} is busy: an earlier write takes very long.")
        try:
            with self.translated(), self._running().begin() as connection:
                yield connection
        finally:
            self._writer.release()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection on which each statement sees the last commit. Use it for reading only.

        Raises CatalogUnavailable or CatalogError.
        """
        connection: Connection | None = None
        try:
            connection = self._take_reader()
            yield connection
        except DRIVER_ERRORS as exc:
            if connection is not None:
                connection.invalidate()
            raise self._meaning(exc) from exc
        finally:
            if connection is not None:
                self._put_back(connection)

    def ask(self, sql: str, parameters: tuple[Any, ...]) -> list[Any]:
        """All rows that answer a question in the driver's words, as of the last commit; their columns go by place.

        For what is asked once for every file: it is put to the driver itself, since what SQLAlchemy wraps
        around an answer takes five times as long as the answer. Raises CatalogUnavailable or CatalogError.
        """
        with self.reading() as connection:
            driver: Any = connection.connection.driver_connection
            rows: list[Any] = driver.execute(sql, parameters).fetchall()
        return rows

    def session(self) -> Connection:
        """A reading connection for something that lives as long as its session; end it with `end_session`."""
        with self.translated():
            return self._new_reader(self._running())

    def end_session(self, session: Connection) -> None:
        """Close the connection, also one that broke. Never raises."""
        # Not given back to the pool, which would ask a server that may have gone to undo something.
        session.invalidate()
        session.close()

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Give what the driver raises in this block its meaning: CatalogUnavailable or CatalogError."""
        try:
            yield
        except DRIVER_ERRORS as exc:
            raise self._meaning(exc) from exc

    def driver_sql(self, text: str) -> str:
        """Portable SQL with `?` for its values, in the words of the driver (for `exec_driver_sql`)."""
        return text if self.is_sqlite else text.replace("?", "%s")

    def _running(self) -> Engine:
        if self._engine is None:
            raise CatalogUnavailable(f"The catalog {self.shown} is not open.")
        return self._engine

    def _take_reader(self) -> Connection:
        engine = self._running()
        try:
            return self._shelf.pop()
        except IndexError:
            return self._new_reader(engine)

    def _new_reader(self, engine: Engine) -> Connection:
        connection = engine.connect()
        if self.is_sqlite:
            return connection.execution_options(**{READS: True})
        return connection.execution_options(isolation_level="AUTOCOMMIT")

    def _put_back(self, connection: Connection) -> None:
        if connection.invalidated:
            connection.close()
            return
        self._shelf.append(connection)
        if self._engine is None:  # closed in between
            self._clear_shelf()

    def _clear_shelf(self) -> None:
        while True:
            try:
                connection = self._shelf.pop()
            except IndexError:
                return
            self.end_session(connection)

    def _meaning(self, error: Exception) -> CatalogUnavailable | CatalogError:
        # What broke one connection has mostly broken the others too: they are made anew.
        self._clear_shelf()
        return translate(error, self.shown, opened=self._opened)
