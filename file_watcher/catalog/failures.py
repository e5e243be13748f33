"""What a database's refusal means to the caller: try again later, or mend something first.

Owns no thread. The sentences are for the operator: they name the mend and never a password (drivers
are known to echo parts of what they were given, so their own words are shown without addresses).
"""

from __future__ import annotations

import re
import sqlite3
from typing import Final

import psycopg
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from file_watcher.catalog.patience import ServerSilent
from file_watcher.errors import CatalogError, CatalogUnavailable

DRIVER_ERRORS: Final = (SQLAlchemyError, sqlite3.Error, psycopg.Error)
"""What a database may raise: through SQLAlchemy, and where a driver is asked without it."""

_RETRYABLE_SQLITE = {
    sqlite3.SQLITE_BUSY: "another process holds its write lock",
    sqlite3.SQLITE_LOCKED: "another process holds its write lock",
    sqlite3.SQLITE_PROTOCOL: "another process holds its write lock",
    sqlite3.SQLITE_FULL: "the disk it lies on is full; free some space",
    sqlite3.SQLITE_IOERR: "the disk it lies on gives input/output errors; check the disk",
    sqlite3.SQLITE_NOMEM: "memory is short",
    sqlite3.SQLITE_INTERRUPT: "the statement was interrupted",
    sqlite3.SQLITE_CANTOPEN: "its file cannot be opened now",
}
"""Primary result codes that may pass by themselves (sqlite.org/rescode.html)."""

_RETRYABLE_ONCE_OPENED = {
    sqlite3.SQLITE_READONLY: "the disk it lies on became read-only, or writing to it was forbidden; check the disk",
    sqlite3.SQLITE_PERM: "access to it was forbidden; allow it",
}
"""A catalog that has been written to may be so again: filesystems with errors are remounted read-only."""

_PERMANENT_SQLITE = {
    sqlite3.SQLITE_NOTADB: "the file is no SQLite database; move it away or set DATABASE_URL to another file",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; move it away, and the next start makes a new catalog",
    sqlite3.SQLITE_READONLY: "the file or its folder is read-only; allow writing or set DATABASE_URL",
    sqlite3.SQLITE_PERM: "access is not permitted; allow it or set DATABASE_URL",
}

_RETRYABLE_STATES = ("08", "25006", "25P03", "40", "53", "55P03", "57", "58")
"""SQLSTATE classes that may pass: connection, read-only (a standby that is about to take over), a transaction
that we left idle for too long (frozen, cut off), rollback, resources, lock, operator intervention, system
(PostgreSQL manual, appendix A)."""

_MISSING_RIGHT: Final = "42501"
"""SQLSTATE insufficient_privilege."""

_REFUSALS = re.compile(
    r"(authentication failed|no pg_hba\.conf entry|permission denied|no password supplied|"
    r"(role|user|database) \"[^\"]*\" does not exist)"
)
"""A connection that fails carries no SQLSTATE, only the server's text."""

_WHEREABOUTS = re.compile(r"^(connection \w+( \w+)?: )?(connection to server .*? failed: )?(FATAL: )?")
_GUESSES = re.compile(r"(Is the server running|This probably means) .*$")
"""What libpq says around the reason why there is no connection."""
_ADDRESS = re.compile(r"\S+://\S+")
_PASSWORD = re.compile(r"password=\S+", re.IGNORECASE)


def translate(error: Exception, where: str, *, opened: bool) -> CatalogUnavailable | CatalogError:
    """Say what one of the `DRIVER_ERRORS` means for the catalog at `where`.

    `opened` tells that the catalog has been usable before: then a file that cannot be opened is a
    passing want (of descriptors, of a mount), not a wrong address.
    """
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(error, PoolTimeoutError):
        return CatalogUnavailable(f"The catalog {where} has no free connection.")
    if isinstance(cause, sqlite3.Error):
        return _translate_sqlite(cause, where, opened=opened)
    if isinstance(cause, psycopg.Error):
        return _translate_postgresql(cause, where, opened=opened)
    return CatalogError(f"The catalog {where} cannot be used: {_spoken(cause or error)}.")


_BAD_VALUE = (
    psycopg.DataError,
    sqlite3.DataError,
    sqlite3.InterfaceError,  # this one and the next: a value of a type that cannot be bound
    sqlite3.ProgrammingError,
    OverflowError,
    UnicodeError,
)
"""What drivers raise for one value, whatever the state of the database."""


def is_busy(error: DBAPIError) -> bool:
    """Whether SQLite only says that somebody else holds the lock."""
    return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def is_silence(error: Exception) -> bool:
    """Whether a server said nothing at all, to a question or to the wish to connect."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return isinstance(cause, (ServerSilent, psycopg.errors.ConnectionTimeout))


def is_poison(error: BaseException) -> bool:
    """Whether a row's own value was refused (a constraint, a range, an encoding), not the database away.

    What a driver cannot even encode is raised by SQLite's driver as plain Python errors.
    """
    if isinstance(error, DBAPIError):
        state = getattr(error.orig, "sqlstate", None) or ""
        # Class 54: a program limit, such as a path too long for PostgreSQL's index (2,704 bytes).
        return (
            isinstance(error, IntegrityError) or isinstance(error.orig, _BAD_VALUE) or state.startswith("54")
        )
    return isinstance(error, (OverflowError, ValueError, TypeError))


def _translate_sqlite(cause: sqlite3.Error, where: str, *, opened: bool) -> CatalogUnavailable | CatalogError:
    code = getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_CANTOPEN and not opened:
        return CatalogError(
            f"The catalog {where} cannot be opened: its folder is missing or may not be written to. "
            "Create it, allow writing, or set DATABASE_URL."
        )
    passing = _RETRYABLE_SQLITE | _RETRYABLE_ONCE_OPENED if opened else _RETRYABLE_SQLITE
    if code in passing:
        return CatalogUnavailable(f"The catalog {where} cannot be used now: {passing[code]}.")
    return CatalogError(
        f"The catalog {where} cannot be used: {_PERMANENT_SQLITE.get(code) or _spoken(cause)}."
    )


def _translate_postgresql(
    cause: psycopg.Error, where: str, *, opened: bool
) -> CatalogUnavailable | CatalogError:
    state = cause.sqlstate
    text = _spoken(cause)
    if state is None:
        if _REFUSALS.search(text):
            mend = "check user, password and database in DATABASE_URL"
            return CatalogError(f"The catalog {where} refused us ({_reason(text)})", mend=mend)
        problem = f"The catalog {where} does not answer ({_reason(text)})"
        if opened:  # then the address is right, and it is waited for
            return CatalogUnavailable(f"{problem}.")
        return CatalogUnavailable(problem, mend="start PostgreSQL there, or mend DATABASE_URL")
    if state.startswith(_RETRYABLE_STATES):
        return CatalogUnavailable(f"The catalog {where} cannot be used now: {text}.")
    right = " `migrate --check` prints the statement that grants it." if state == _MISSING_RIGHT else ""
    return CatalogError(f"The catalog {where} cannot be used: {text}.{right}")


def _reason(text: str) -> str:
    """What is behind the address, and before the questions, that the driver puts around it."""
    reason = _GUESSES.sub("", _WHEREABOUTS.sub("", text)).rstrip(" .")
    return reason[:1].lower() + reason[1:]


def _spoken(cause: BaseException) -> str:
    """The driver's own words in one line, without addresses and passwords."""
    line = " ".join(str(cause).split()) or type(cause).__name__
    return _PASSWORD.sub("password=…", _ADDRESS.sub("…", line)).rstrip(".")
