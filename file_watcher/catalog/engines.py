"""Makes SQLAlchemy engines for the two kinds of databases, with what each needs to be safe.

Owns no thread. Connections begin a transaction only for writing, and then take the write lock at once.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, OperationalError

from file_watcher.catalog.failures import is_busy
from file_watcher.catalog.patience import HowLong, PatientConnection
from file_watcher.errors import CatalogError, UsageError

BUSY_SECONDS: Final = 10.0
"""How long a writer waits for another's transaction before it says that the catalog is not available."""

CONNECT_SECONDS: Final = 5

_READ_ONLY: Final = "25006"
"""SQLSTATE read_only_sql_transaction."""

READS: Final = "fw_reads"
"""Execution option of the connections that never begin a transaction."""

_SQLITE_PRAGMAS: Final = (
    "PRAGMA synchronous=FULL",  # a commit that was reported survives a power cut
    "PRAGMA foreign_keys=ON",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA cache_size=-500",  # kB for each connection; the system caches the file besides
    "PRAGMA journal_size_limit=67108864",
)

_POSTGRESQL_SETTINGS: Final = (
    "SET statement_timeout = '60s'; SET lock_timeout = '10s'; "
    # Who is frozen in the middle of a commit keeps the outbox and its leases locked, for the whole fleet.
    "SET idle_in_transaction_session_timeout = '5s'; "
    # A session that a firewall cut off keeps its locks until the server notices: within 25 s, not two hours.
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; "
    # Plans made while a table was still empty are kept and would scan it when it has grown; every
    # question asked here has its index.
    "SET enable_seqscan = off"
)

_POSTGRESQL_CONNECT: Final = {
    "connect_timeout": CONNECT_SECONDS,
    "application_name": "file_watcher",
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds; a server that vanished is noticed within 10 s
}


def sqlite_engine(url: URL, path: Path) -> Engine:
    """An engine for the file; its folder is made. Raises CatalogError where that is not possible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise CatalogError(
            f"The folder {path.parent} for the catalog cannot be made: {exc.strerror}. "
            "Create it, allow writing, or set DATABASE_URL."
        ) from exc
    engine = create_engine(
        url.set(database=str(path)),
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        max_overflow=-1,
        hide_parameters=True,
    )
    was_there = threading.Event()

    def refuse_another(_dialect: Any, _record: Any, _arguments: Any, _options: Any) -> None:
        # SQLite would make an empty file in the place of one that was removed, and throw away the log of what was
        # committed last: nothing could be put back then.
        if was_there.is_set() and not path.exists():
            raise sqlite3.OperationalError("unable to open database file: it was removed while it was in use")

    def note(connection: Any, record: Any) -> None:
        _prepare_sqlite(connection, record)
        was_there.set()

    event.listen(engine, "do_connect", refuse_another)
    event.listen(engine, "connect", note)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def postgresql_engine(url: URL, how_long: HowLong) -> Engine:
    """An engine for the server; what the address itself says about the connection wins.

    `how_long` tells each wait for an answer, over and over, how many seconds it may take.
    """
    engine = create_engine(
        url,
        connect_args={name: value for name, value in _POSTGRESQL_CONNECT.items() if name not in url.query},
        max_overflow=-1,
        pool_pre_ping=True,
        hide_parameters=True,
    )

    def connect(_dialect: Any, _record: Any, arguments: Any, options: Any) -> PatientConnection:
        connection: PatientConnection = PatientConnection.connect(*arguments, **options)
        connection.how_long = how_long
        return connection

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "connect", _prepare_postgresql)
    event.listen(engine, "handle_error", _drop_read_only)
    return engine


def parse_url(url: str) -> URL:
    """The address as SQLAlchemy wants it; UsageError, without echoing it, where it is none of ours."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    name = parsed.drivername if parsed else ""
    if parsed and name in {"postgresql", "postgres", "postgresql+psycopg"}:
        return parsed.set(drivername="postgresql+psycopg")
    if parsed and name in {"sqlite", "sqlite+pysqlite"} and parsed.database not in {None, "", ":memory:"}:
        return parsed
    raise UsageError(
        "DATABASE_URL must be sqlite:////path/to/catalog.sqlite3 or postgresql://user@host/database."
    )


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself; `_begin_immediate` does
    for pragma in _SQLITE_PRAGMAS:
        connection.execute(pragma).close()


def _begin_immediate(connection: Connection) -> None:
    """Take the write lock at the start: a transaction that reads first could not wait for it later."""
    if not connection.get_execution_options().get(READS):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _prepare_postgresql(connection: Any, _record: Any) -> None:
    connection.execute(_POSTGRESQL_SETTINGS)
    connection.commit()


def _drop_read_only(context: ExceptionContext) -> None:
    """Keep no session that began while writing was forbidden: it would stay read-only for as long as it lives."""
    if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
        context.is_disconnect = True


def switch_to_wal(connection: Connection) -> None:
    """Switch the file to WAL, which persists. SQLite does not wait for others here, so this does."""
    reader = connection.execution_options(**{READS: True})
    deadline = time.monotonic() + BUSY_SECONDS
    pause = threading.Event()
    while True:
        try:
            reader.exec_driver_sql("PRAGMA journal_mode=WAL").close()
        except OperationalError as exc:
            if not is_busy(exc) or time.monotonic() > deadline:
                raise
            pause.wait(0.02)
        else:
            return
