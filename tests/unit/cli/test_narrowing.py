"""Options that narrow: what they mean, and what is no such thing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from file_watcher.catalog.database import Database
from file_watcher.catalog.libraries import Libraries, LibraryState
from file_watcher.cli.narrowing import chosen_libraries, intervals_of, since_ns, ways_to
from file_watcher.errors import UsageError
from tests.support.catalog import opened

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC).timestamp()


# since


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2h", NOW - 7200),
        ("90m", NOW - 5400),
        ("7d", NOW - 7 * 86_400),
        ("2026-03-01T11:00Z", NOW - 3600),
        ("2026-03-01T11:00:00+00:00", NOW - 3600),
        ("2026-03-01T13:00+02:00", NOW - 3600),
        (" 2026-02-28T12:00:00.5Z ", NOW - 86_400 + 0.5),
    ],
)
def test_a_time_or_a_duration_is_a_moment(text: str, seconds: float) -> None:
    assert since_ns(text, NOW) == int(seconds * 1e9)


def test_a_time_without_a_zone_is_the_local_one() -> None:
    local = dt.datetime(2026, 2, 3, 4, 5).astimezone()
    assert since_ns("2026-02-03T04:05", NOW) == int(local.timestamp() * 1e9)
    assert since_ns("2026-02-03", NOW) < since_ns("2026-02-03T04:05", NOW)


@pytest.mark.parametrize("text", ["", "soon", "2026", "20260101", "-2h", "2 weeks", "2026-13-01", "5"])
def test_what_is_no_moment_is_refused_with_what_would_be(text: str) -> None:
    with pytest.raises(UsageError, match="neither a time nor a duration; such as 2026-01-31"):
        since_ns(text, NOW)


def test_a_moment_to_come_is_refused() -> None:
    with pytest.raises(UsageError, match="lies in the future"):
        since_ns("2026-03-01T12:00:01Z", NOW)


# paths


def test_a_path_is_meant_as_written_and_as_it_really_is(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    written, real = ways_to(str(tmp_path / "link" / "a"))
    assert (written, real) == (f"{tmp_path}/link/a".encode(), f"{tmp_path.resolve()}/real/a".encode())
    assert ways_to(None) == ()


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="is no path; give a file or a folder"):
        ways_to(path)


def test_what_lies_there_is_meant_once_however_many_ways_lead_to_it() -> None:
    assert intervals_of((b"/m", b"/m")) == intervals_of((b"/m",)) == ((b"/m", b"/m\0"), (b"/m/", b"/m0"))
    assert intervals_of((b"/m/a", b"/m")) == intervals_of((b"/m",))
    assert [first for first, _ in intervals_of((b"/z", b"/m"))] == [b"/m", b"/m/", b"/z", b"/z/"]
    assert intervals_of(()) == ((b"", b"\xff"),)


# libraries


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with opened(f"sqlite:///{tmp_path}/catalog.sqlite3") as database:
        yield database


def test_a_library_is_found_by_its_name_and_none_means_all(database: Database) -> None:
    rows = Libraries(database)
    for root in (b"/data/music", b"/data/books"):
        rows.save_library_state(LibraryState(rows.ensure_library(root).id))
    assert [known.library.name for known in chosen_libraries(database, None)] == ["books", "music"]
    assert [known.library.root for known in chosen_libraries(database, "music")] == [b"/data/music"]
    with pytest.raises(UsageError, match="has no library 'nope'; it has: books, music"):
        chosen_libraries(database, "nope")


def test_a_catalog_without_libraries_says_so(database: Database) -> None:
    with pytest.raises(UsageError, match="has no library yet: start the service once"):
        chosen_libraries(database, None)


def test_a_library_is_found_by_its_number_and_several_of_one_name_are_told_apart(database: Database) -> None:
    rows = Libraries(database)
    for root in (b"/data/music", b"/data/books"):
        rows.save_library_state(LibraryState(rows.ensure_library(root).id))
    assert [known.library.name for known in chosen_libraries(database, "2")] == ["books"]
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE libraries SET name = 'music'")
    with pytest.raises(UsageError, match="say which by its number: #1, #2"):
        chosen_libraries(database, "music")
    assert [known.library.root for known in chosen_libraries(database, "#2")] == [b"/data/books"]
