"""One process owns a catalog: a second one that decided beside it would tell changes twice or wrongly.

Owns no thread. On SQLite the ownership is a POSIX lock on a separate file: the kernel drops it when the
process ends, however it ends, a forked child does not inherit it, and others can ask who holds it without
touching it. On PostgreSQL it is an advisory lock of a session that stays open.
"""

from __future__ import annotations

import hashlib
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import structlog
from sqlalchemy import Connection

from file_watcher.catalog.database import CircuitOpen, Database
from file_watcher.errors import CatalogBusy, CatalogError, CatalogUnavailable
from file_watcher.system import READING, lock, lock_holder

log = structlog.get_logger(__name__)

_held: Final[dict[Path, int]] = {}
"""The locks of this process. Merely closing another descriptor of such a file would drop the lock, so
nobody here may open it a second time."""

_held_guard: Final = threading.Lock()


class Ownership(Protocol):
    """The right to decide; held until released or until the process ends."""

    def acquire(self) -> None:
        """Take it at once or raise CatalogBusy."""

    def keep(self) -> None:
        """Make sure from time to time that it is held still. Raises as `acquire` does."""

    def release(self) -> None:
        """Give it back; does nothing where it is not held."""


class OwnerLock:
    """Ownership of a SQLite catalog, by a lock on the file `<catalog>.lock` beside it."""

    def __init__(self, path: Path) -> None:
        self._path = _lock_file(path)
        self._catalog = path
        self._identity: tuple[int, int] | None = None

    def acquire(self) -> None:
        """Take the ownership at once. Raises CatalogBusy, or CatalogError where the folder is not writable."""
        self._identity = _identity(self._catalog)
        with _held_guard:
            if self._path in _held:
                raise CatalogBusy(_busy(str(self._catalog), os.getpid()))
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(self._path, READING | os.O_RDWR | os.O_CREAT, 0o644)
            except OSError as exc:
                raise CatalogError(
                    f"The lock file {self._path} cannot be made: {exc.strerror}. "
                    "Allow writing to its folder or set DATABASE_URL."
                ) from exc
            try:
                lock(descriptor)
            except OSError as exc:
                holder = lock_holder(descriptor)
                os.close(descriptor)
                raise CatalogBusy(_busy(str(self._catalog), holder)) from exc
            _held[self._path] = descriptor

    def keep(self) -> None:
        """Make sure that the catalog is still the file it was: the lock itself stays as long as the process.

        Raises CatalogError where the file was removed or replaced, since all that is written to what is
        still open would be gone with the process; CatalogUnavailable where that cannot be told now.
        """
        if self._identity is not None and _identity(self._catalog) != self._identity:
            raise CatalogError(
                f"The catalog {self._catalog} was removed or replaced while it was in use. Put it back and "
                "start again; without it the next start makes a new one and tells every file as created."
            )

    def release(self) -> None:
        """Give the ownership back. The file stays: removing it could take another's lock away."""
        with _held_guard:
            descriptor = _held.pop(self._path, None)
            if descriptor is not None:
                os.close(descriptor)


_WHO_AM_I: Final = "SELECT pid, backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()"
_END_OUR_GHOST: Final = (
    # A bigint key stands in two halves in pg_locks (PostgreSQL manual, 54.12). A pid may be reused.
    "SELECT pg_terminate_backend(activity.pid) FROM pg_locks JOIN pg_stat_activity AS activity "
    "ON activity.pid = pg_locks.pid WHERE locktype = 'advisory' AND objsubid = 1 AND granted "
    "AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND classid::bigint = ? AND objid::bigint = ? AND activity.pid = ? AND backend_start::text = ?"
)


class _Backend(NamedTuple):
    """A server process, told apart from later ones with its number."""

    pid: int
    started: str


class SessionLock:
    """Ownership of one instance's part of a PostgreSQL database, by an advisory lock on a session."""

    def __init__(self, database: Database, instance_id: str) -> None:
        self._database = database
        self._instance_id = instance_id
        digest = hashlib.blake2b(f"file_watcher {instance_id}".encode(), digest_size=8).digest()
        self._key = int.from_bytes(digest, "big", signed=True)
        self._session: Connection | None = None
        self._backends: set[_Backend] = set()
        """The server's process behind our session; after a loss, behind those that may hold the lock still."""

    def acquire(self) -> None:
        """Take the ownership at once. Raises CatalogBusy, CatalogUnavailable or CatalogError."""
        session = self._database.session()
        taken = False
        try:
            with self._database.briefly(), self._database.asking():
                # Noted before: where the answer is lost, the server may have given the lock to a ghost.
                backend = _Backend(*self._ask(session, _WHO_AM_I))
                self._backends.add(backend)
                taken = bool(self._ask(session, "SELECT pg_try_advisory_lock(?)", self._key)[0])
                if taken:
                    self._backends = {backend}
                else:
                    self._backends.discard(backend)
                    if self._is_held_by_our_ghost(session):
                        raise CatalogUnavailable(
                            "The server still keeps the session that we lost; it is ended."
                        )
        finally:
            if not taken:
                self._database.end_session(session)
        if not taken:
            raise CatalogBusy(
                f"Another file_watcher works as instance {self._instance_id} on {self._database.shown}. "
                "Stop it, or set INSTANCE_ID or DATABASE_URL."
            )
        self._session = session

    def keep(self) -> None:
        """Take it again where its session was lost. Raises CatalogBusy where another one was faster,
        CatalogUnavailable or CatalogError."""
        session = self._session
        if session is not None:
            try:
                with self._database.briefly(), self._database.asking():
                    self._ask(session, "SELECT 1")
            except CircuitOpen:
                raise
            except CatalogUnavailable as exc:
                log.warning("catalog_ownership_lost", reason=str(exc), effect="it is taken again")
                self._end_session()
        if self._session is None:
            self.acquire()

    def _is_held_by_our_ghost(self, session: Connection) -> bool:
        """Whether the lock is still held by the session that we lost; it is ended then.

        A server learns of a connection that was cut off between us only after its own time-outs.
        """
        key = self._key & 0xFFFF_FFFF_FFFF_FFFF
        halves = (key >> 32, key & 0xFFFF_FFFF)
        found = [self._ask(session, _END_OUR_GHOST, *halves, *ghost) for ghost in self._backends]
        return any(row is not None for row in found)

    def _ask(self, session: Connection, sql: str, *values: Any) -> Any:
        return session.exec_driver_sql(self._database.driver_sql(sql), values).first()

    def release(self) -> None:
        """Give the ownership back; a session that the server ended has given it back already.

        Another may have it as soon as this returns. Where the server does not answer, it has it as soon as
        the server notices that the session ended.
        """
        session = self._session
        if session is not None:
            # The end of the session alone frees the lock only when the server's process has seen it.
            with (
                suppress(CatalogUnavailable, CatalogError),
                self._database.briefly(),
                self._database.asking(),
            ):
                self._ask(session, "SELECT pg_advisory_unlock(?)", self._key)
        self._end_session()

    def _end_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            self._database.end_session(session)


def owner_lock(database: Database, instance_id: str) -> Ownership:
    """The ownership that fits the database."""
    if database.path is not None:
        return OwnerLock(database.path)
    return SessionLock(database, instance_id)


def refuse_if_owned(database: Database, instance_id: str) -> None:
    """Raise CatalogBusy where another process is its owner. Keeps nothing; blocks as long as a server does.

    Raises CatalogUnavailable or CatalogError where that cannot be told.
    """
    if database.path is None:
        database.open()
        owner = owner_lock(database, instance_id)
        owner.acquire()
        owner.release()
    elif (holder := is_owned(database.path)) is not None:
        raise CatalogBusy(_busy(str(database.path), holder))


def is_owned(path: Path) -> int | None:
    """The process that owns the SQLite catalog at this path, None where none does.

    0 stands for a process that cannot be seen from here, as one in another container. Takes no lock.
    """
    lock_file = _lock_file(path)
    with _held_guard:
        if lock_file in _held:
            return os.getpid()
        try:
            descriptor = os.open(lock_file, READING)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise CatalogUnavailable(f"The lock file {lock_file} cannot be read: {exc.strerror}.") from exc
        try:
            return lock_holder(descriptor)
        finally:
            os.close(descriptor)


def _lock_file(catalog: Path) -> Path:
    return Path(os.path.realpath(f"{catalog}.lock"))


def _identity(catalog: Path) -> tuple[int, int] | None:
    """Device and inode of the file, None where there is none. Looks without opening it: see `database`."""
    try:
        found = catalog.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        raise CatalogUnavailable(f"The catalog {catalog} cannot be looked at: {exc.strerror}.") from exc
    return found.st_dev, found.st_ino


def _busy(catalog: str, pid: int | None) -> str:
    who = f" (process {pid})" if pid else ""
    return (
        f"Another file_watcher{who} uses the catalog {catalog}. Stop it, or set INSTANCE_ID or DATABASE_URL "
        "to give this one a catalog of its own."
    )
