"""The one door to the database: connections, transactions, and what their failures mean.

Owns no thread. Any thread may read and write through one `Database`; it is opened once, by the
composition root. Two kinds of connections:

- Reading connections commit by themselves and stay open on a shelf, because a worker asks for every
  dirty file and taking a connection out of a pool costs more than the question.
- Writing is one transaction at a time in the process. SQLite allows no more anyway and its own waiting
  is a poll of up to 100 ms; on PostgreSQL it makes the outbox's sequence rise in commit order.

Two circuit breakers, for reading and for writing (a disk that is full, or a file that another process has
locked, can still be read), keep the threads from asking, each on its own, a database that is away: a call
that is refused raises CatalogUnavailable at once, and now and then one is let through to try it out.

A SQLite file is never opened by other means in this process: closing it would drop the locks that
SQLite holds on it (POSIX locks belong to the process, not to the descriptor).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine

from file_watcher.catalog.engines import (
    BUSY_SECONDS,
    READS,
    parse_url,
    postgresql_engine,
    sqlite_engine,
    switch_to_wal,
)
from file_watcher.catalog.failures import DRIVER_ERRORS, is_silence, translate
from file_watcher.catalog.patience import ANSWER_SECONDS, LOCK_SECONDS, STATEMENT_SECONDS
from file_watcher.circuit import Circuit, CircuitConfig
from file_watcher.errors import CatalogError, CatalogOccupied, CatalogUnavailable
from file_watcher.model import Health

CIRCUITS: Final = CircuitConfig()
"""Of both circuits."""

MOST_READERS: Final = 4
"""Reading connections to a server, however many threads ask. With the one that writes, the owner's, the one that
hears of changes and one for merging, an instance needs 8 at most: a server's connections are few, and a fleet
shares them. An answer takes a fraction of a millisecond, so hardly anybody ever waits for one."""


_ANY: Final = 1 << 20
"""A bound that binds nobody: a file costs no server anything."""


class CircuitOpen(CatalogUnavailable):
    """The database was not even asked, since it is known to be away."""


class Database:
    """A SQLite file or a PostgreSQL database, by `DATABASE_URL`. Opening is separate from making."""

    def __init__(self, url: str) -> None:
        self._url = parse_url(url)
        self._engine: Engine | None = None
        self._shelf: deque[Connection] = deque()
        self._reading = threading.BoundedSemaphore(_ANY if self.is_sqlite else MOST_READERS)
        self._writer = threading.Lock()
        self._writes_long = False
        self._opened = False
        self._reads = Circuit("database_reads", CIRCUITS)
        self._writes = Circuit("database_writes", CIRCUITS)
        self._asking = threading.local()
        """What the thread asks now: its circuit, and whether the answer costs the server nothing."""

    @property
    def circuits(self) -> tuple[Circuit, Circuit]:
        """What is known of reading and of writing."""
        return self._reads, self._writes

    def health(self) -> Health:
        """Whether the database can be relied upon; if not, why. Asks only what is known already."""
        facts = {"where": self.shown, "reads": self._reads.facts(), "writes": self._writes.facts()}
        for circuit, what in ((self._reads, "cannot be read"), (self._writes, "takes no changes")):
            if not circuit.is_closed:
                detail = f"The catalog {what}; it is tried again by itself. {circuit.view().error}"
                return Health("database", ok=False, detail=detail, facts=facts)
        return Health("database", ok=True, detail="The catalog answers and takes changes.", facts=facts)

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
        """Where the catalog is, for people: without the password and the driver."""
        if self.is_sqlite:
            return str(self.path)
        return self._url.set(drivername="postgresql", query={}).render_as_string(hide_password=True)

    def open(self) -> None:
        """Connect once, so that a wrong address shows at the start. Blocks up to `BUSY_SECONDS`.

        Raises CatalogUnavailable or CatalogError; may be called again after CatalogUnavailable.
        """
        if self._engine is None:
            self._engine = (
                sqlite_engine(self._url, self.path)
                if self.path
                else postgresql_engine(self._url, self._how_long)
            )
        with self.briefly(), self._translated(), self._engine.connect() as connection:
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
    def writing(self, *, is_long: bool = False) -> Iterator[Connection]:
        """One write transaction: committed at the end of the block, undone if it raises.

        Blocks while another thread or process writes, up to `BUSY_SECONDS`. Raises CatalogUnavailable,
        after which nothing was written or (the connection broke during the commit) it is not known.
        One that `is_long` makes others wait for longer than that: they get CatalogOccupied.
        """
        if not self._writer.acquire(timeout=BUSY_SECONDS):
            kind = CatalogOccupied if self._writes_long else CatalogUnavailable
            raise kind(f"The catalog {self.shown} is busy: an earlier write takes very long.")
        self._writes_long = is_long
        try:
            with self._guarded(self._writes), self._running().begin() as connection:
                yield connection
        finally:
            self._writes_long = False
            self._writer.release()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection on which each statement sees the last commit. Use it for reading only, and not within
        another such block: there are few.

        Raises CatalogUnavailable or CatalogError.
        """
        with self._guarded(self._reads), self._turn_to_read():
            connection = self._take_reader()
            try:
                yield connection
            except DRIVER_ERRORS:
                connection.invalidate()
                raise
            finally:
                self._put_back(connection)

    @contextmanager
    def _turn_to_read(self) -> Iterator[None]:
        if not self._reading.acquire(timeout=BUSY_SECONDS):
            raise CatalogUnavailable(f"The catalog {self.shown} is busy: all that was asked takes very long.")
        try:
            yield
        finally:
            self._reading.release()

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
        """A reading connection for something that lives as long as its session; end it with `end_session`.

        Raises CatalogUnavailable or CatalogError.
        """
        with self._guarded(self._reads):
            return self._new_reader(self._running())

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask a session that `session` gave something in this block; raises as `session` does.

        CircuitOpen says nothing about the session: it was not asked.
        """
        with self._guarded(self._reads):
            yield

    @contextmanager
    def briefly(self) -> Iterator[None]:
        """What this thread asks in this block costs a server nothing: no answer within `ANSWER_SECONDS`
        means that it is away, and everything that waits for it is given up too."""
        self._asking.is_brief = True
        try:
            yield
        finally:
            self._asking.is_brief = False

    def end_session(self, session: Connection) -> None:
        """Close the connection, also one that broke. Never raises."""
        # Not given back to the pool, which would ask a server that may have gone to undo something.
        session.invalidate()
        session.close()

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

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DRIVER_ERRORS as exc:
            raise self._meaning(exc) from exc

    @contextmanager
    def _guarded(self, circuit: Circuit) -> Iterator[None]:
        """Let the block through where the circuit allows it, and tell the circuit how it went."""
        if not circuit.allows():
            raise CircuitOpen(circuit.view().error or f"The catalog {self.shown} is away.")
        before = getattr(self._asking, "circuit", None)
        self._asking.circuit = circuit
        try:
            yield
        except DRIVER_ERRORS as exc:
            meaning = self._meaning(exc)
            self._note_failure(circuit, exc, meaning)
            raise meaning from exc
        except BaseException:
            circuit.abandoned()
            raise
        finally:
            self._asking.circuit = before
        circuit.succeeded()

    def _note_failure(
        self, circuit: Circuit, error: Exception, meaning: CatalogUnavailable | CatalogError
    ) -> None:
        if isinstance(meaning, CatalogError):
            circuit.abandoned()  # it did answer
        elif is_silence(error):
            # Nobody is answered then, and each who asked would wait for as long.
            for each in self.circuits:
                each.failed(str(meaning), at_once=True)
        else:
            circuit.failed(str(meaning))

    def _how_long(self) -> float:
        """Seconds that an answer may take this thread now; asked by each wait for one, over and over."""
        circuit: Circuit | None = getattr(self._asking, "circuit", None)
        if getattr(self._asking, "is_brief", False):
            limit = ANSWER_SECONDS
        elif circuit is None or not circuit.is_unproven:
            # Also of a server that answers again but is not trusted yet: else a question that costs it
            # more would be taken for silence each time, and it would never be trusted.
            limit = STATEMENT_SECONDS
        else:
            limit = ANSWER_SECONDS if circuit is self._reads else LOCK_SECONDS
        return 0.0 if circuit is not None and circuit.is_open else limit

    def _meaning(self, error: Exception) -> CatalogUnavailable | CatalogError:
        # What broke one connection has mostly broken the others too: they are made anew.
        self._clear_shelf()
        return translate(error, self.shown, opened=self._opened)
