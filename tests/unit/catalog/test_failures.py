from __future__ import annotations

import sqlite3

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError, InvalidRequestError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from file_watcher.catalog.failures import is_poison, translate
from file_watcher.errors import CatalogError, CatalogUnavailable

WHERE = "the-catalog"


def sqlite_error(code: int, text: str = "driver text") -> DBAPIError:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return DBAPIError("SELECT 1", None, error)


def postgresql_error(text: str, state: str | None = None) -> DBAPIError:
    kind = psycopg.errors.lookup(state) if state else psycopg.OperationalError
    return DBAPIError("SELECT 1", None, kind(text))


@pytest.mark.parametrize(
    "code",
    [
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_BUSY_SNAPSHOT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR_FSYNC,
        sqlite3.SQLITE_NOMEM,
    ],
)
def test_what_passes_in_sqlite_may_be_tried_again(code: int) -> None:
    assert isinstance(translate(sqlite_error(code), WHERE, opened=True), CatalogUnavailable)


def test_what_a_driver_raises_without_its_wrapping_means_the_same() -> None:
    full, away = sqlite_error(sqlite3.SQLITE_FULL).orig, postgresql_error("closed").orig
    assert isinstance(full, sqlite3.Error)
    assert isinstance(away, psycopg.Error)

    assert isinstance(translate(full, WHERE, opened=True), CatalogUnavailable)
    assert isinstance(translate(away, WHERE, opened=True), CatalogUnavailable)


@pytest.mark.parametrize("code", [sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR])
def test_what_needs_mending_in_sqlite_is_permanent(code: int) -> None:
    meaning = translate(sqlite_error(code), WHERE, opened=True)

    assert isinstance(meaning, CatalogError)
    assert WHERE in str(meaning)


@pytest.mark.parametrize("code", [sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM])
def test_a_file_that_cannot_be_opened_or_written_is_a_wrong_address_only_at_first(code: int) -> None:
    error = sqlite_error(code)

    assert isinstance(translate(error, WHERE, opened=False), CatalogError)
    assert isinstance(translate(error, WHERE, opened=True), CatalogUnavailable)


@pytest.mark.parametrize(
    "state", ["08006", "25006", "40001", "40P01", "53100", "53300", "55P03", "57014", "57P01", "58030"]
)
def test_what_passes_in_postgresql_may_be_tried_again(state: str) -> None:
    assert isinstance(translate(postgresql_error("text", state), WHERE, opened=True), CatalogUnavailable)


@pytest.mark.parametrize("state", ["42501", "42P01", "3D000", "28P01", "0A000"])
def test_what_needs_mending_in_postgresql_is_permanent(state: str) -> None:
    assert isinstance(translate(postgresql_error("text", state), WHERE, opened=True), CatalogError)


@pytest.mark.parametrize(
    "text",
    [
        'FATAL:  password authentication failed for user "me"',
        'FATAL:  database "none" does not exist',
        'FATAL:  role "me" does not exist',
        'FATAL:  no pg_hba.conf entry for host "10.0.0.1"',
        "fe_sendauth: no password supplied",
    ],
)
def test_a_connection_that_is_refused_for_good_says_to_check_the_address(text: str) -> None:
    meaning = translate(postgresql_error(f"connection failed: {text}"), WHERE, opened=False)

    assert isinstance(meaning, CatalogError)
    assert "DATABASE_URL" in str(meaning)


@pytest.mark.parametrize("text", ["Connection refused", "server closed the connection unexpectedly"])
def test_a_server_that_is_away_may_come_back(text: str) -> None:
    assert isinstance(translate(postgresql_error(text), WHERE, opened=False), CatalogUnavailable)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            (
                'connection failed: connection to server at "127.0.0.1", port 1 failed: Connection refused\n'
                "\tIs the server running on that host and accepting TCP/IP connections?"
            ),
            "connection refused",
        ),
        (
            (
                'connection is bad: connection to server on socket "/s/.s.PGSQL.5432" failed: No such file or '
                "directory\n\tIs the server running locally and accepting connections on that socket?"
            ),
            "no such file or directory",
        ),
        ("connection timeout expired", "connection timeout expired"),
        (
            (
                "consuming input failed: server closed the connection unexpectedly\n\tThis probably means the "
                "server terminated abnormally\n\tbefore or while processing the request."
            ),
            "consuming input failed: server closed the connection unexpectedly",
        ),
        ("failed to resolve host 'x': [Errno -2] Name or service not known", None),
    ],
)
def test_of_what_the_driver_says_the_reason_is_told(text: str, reason: str | None) -> None:
    meaning = translate(postgresql_error(text), WHERE, opened=False)

    assert meaning.problem == f"The catalog {WHERE} does not answer ({reason or text})"
    assert meaning.mend == "start PostgreSQL there, or mend DATABASE_URL"
    assert str(meaning) == f"{meaning.problem}: {meaning.mend}."
    later = translate(postgresql_error(text), WHERE, opened=True)
    assert (str(later), later.mend) == (f"{meaning.problem}.", None), "the address was right"


def test_no_password_is_repeated() -> None:
    text = "bad: postgresql://me:secret@host/db and password=secret host=x\nnext line"

    meaning = str(translate(postgresql_error(text), WHERE, opened=False))

    assert "secret" not in meaning
    assert "\n" not in meaning


def test_an_exhausted_pool_may_be_tried_again() -> None:
    assert isinstance(translate(PoolTimeoutError("x"), WHERE, opened=True), CatalogUnavailable)


def test_an_error_of_sqlalchemy_itself_is_permanent() -> None:
    assert isinstance(translate(InvalidRequestError("x"), WHERE, opened=True), CatalogError)


@pytest.mark.parametrize(
    "error",
    [
        IntegrityError("INSERT", None, sqlite3.IntegrityError("UNIQUE")),
        DBAPIError("INSERT", None, psycopg.DataError("out of range")),
        OverflowError("too large"),
        ValueError("NaN"),
    ],
)
def test_a_bad_value_is_poison(error: Exception) -> None:
    assert is_poison(error)


@pytest.mark.parametrize(
    "error", [sqlite_error(sqlite3.SQLITE_FULL), postgresql_error("gone", "57P01"), KeyError("x")]
)
def test_a_database_in_trouble_is_no_poison(error: Exception) -> None:
    assert not is_poison(error)
