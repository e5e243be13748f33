"""What commands write into `libraries` and `settings`, ours or another application's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from file_watcher.catalog.batch import Batch
from file_watcher.catalog.database import Database
from file_watcher.catalog.library_admin import LibraryAdmin, NewLibrary, SettingsAdmin, owners
from file_watcher.catalog.outbox import Outbox
from file_watcher.catalog.schema import migrate
from file_watcher.catalog.steering import LibraryRow, read_steering
from file_watcher.errors import UsageError
from tests.integration.catalog.foreign_schemas import IDENTITIES, MEDIA_SERVER, OWN_FLAG
from tests.support.catalog import message, record, store_of

HOUR_NS = 3_600 * 10**9


def new(name: str = "music", path: str = "/data/music", kind: str = "production", **rules: str) -> NewLibrary:
    return NewLibrary(name, path, kind, is_watched=True, rules=rules)


def row(database: Database, number: int) -> LibraryRow:
    return next(each for each in read_steering(database).libraries if each.id == number)


@pytest.fixture
def foreign(postgres_url: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database that is another application's, too."""
    with psycopg.connect(postgres_url) as connection:
        connection.execute(request.param.encode())
    with closing(Database(postgres_url)) as database:
        database.open()
        migrate(database)
        yield database


def one(database: Database, sql: str) -> Any:
    with database.reading() as connection:
        return connection.execute(text(sql)).scalar()


# libraries


def test_a_library_is_added_watched_and_given_rules(database: Database) -> None:
    admin = LibraryAdmin(database)
    number = admin.add(new(debounce_time="5s", patterns="*.mp3"))
    added = row(database, number)
    assert (added.name, added.path, added.type, added.is_watched) == (
        *("music", "/data/music", "production"),
        True,
    )
    admin.set_rules(number, {"debounce_time": None, "patterns": "*.ogg", "instance": "one"})
    admin.set_watched(number, is_watched=False)
    changed = row(database, number)
    assert (dict(changed.rules), changed.is_watched) == ({"patterns": "*.ogg", "instance": "one"}, False)


def test_a_removed_library_is_forgotten_and_no_other(database: Database, monkeypatch: Any) -> None:
    monkeypatch.setattr("file_watcher.catalog.library_admin._CHUNK", 2)
    admin, store = LibraryAdmin(database), store_of(database)
    gone, kept = admin.add(new()), admin.add(new("books", "/data/books"))
    records = [record(f"{n}.mp3", inode=n, library_id=gone) for n in range(5)]
    store.commit(Batch(inserts=(*records, record("b.mp3", inode=9, library_id=kept))))
    Outbox(database, [gone, kept]).record([message(each) for each in records])
    outbox = Outbox(database, [gone])
    outbox.mark_published([1, 2, 3, 4])
    outbox.reserve(5, [gone])
    assert admin.waiting(gone) == 1
    removed = admin.remove(gone)
    assert (removed.files, removed.events, removed.row_stays) == (5, 4, False)
    assert [each.id for each in read_steering(database).libraries] == [kept]
    assert one(database, "SELECT count(*) FROM fw_files") == 1
    assert one(database, f"SELECT count(*) FROM fw_outbox_marks WHERE library_id = {gone}") == 0
    assert admin.waiting(gone) == 1, "what was never sent is not dropped"
    again = admin.remove(gone)
    assert (again.files, again.events) == (0, 0)


@pytest.mark.parametrize("foreign", [MEDIA_SERVER], indirect=True)
def test_a_row_of_another_application_is_never_deleted(foreign: Database) -> None:
    admin = LibraryAdmin(foreign)
    admin.set_rules(1, {"patterns": "*.mp3"})
    removed = admin.remove(1)
    assert removed.row_stays
    assert one(foreign, "SELECT name FROM libraries WHERE id = 1") == "Music"
    assert dict(row(foreign, 1).rules) == {}


@pytest.mark.parametrize(
    ("foreign", "good", "allowed"),
    [
        (MEDIA_SERVER, "archive", "production, staging, archive"),
        (IDENTITIES, "books", "music, books"),
        (OWN_FLAG, "release", "incoming, release"),
    ],
    indirect=["foreign"],
)
def test_a_type_that_their_table_refuses_is_told_with_those_that_it_takes(
    foreign: Database, good: str, allowed: str
) -> None:
    admin = LibraryAdmin(foreign)
    with pytest.raises(UsageError) as refused:
        admin.add(new(kind="wrong"))
    assert f"refuses a library of type 'wrong'; it takes: {allowed}; say another one with --type" in str(
        refused.value
    )
    number = admin.add(new(kind=good, debounce_time="1s"))
    assert (row(foreign, number).type, row(foreign, number).is_watched) == (good, True)
    assert one(foreign, "SELECT count(*) FROM fw_library_rules") == 1


def test_a_column_that_only_the_application_knows_is_named(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute(
            b"CREATE TABLE libraries (id SERIAL PRIMARY KEY, name TEXT, path TEXT, type TEXT, owner INT NOT NULL)"
        )
    with closing(Database(postgres_url)) as database:
        database.open()
        migrate(database)
        with pytest.raises(UsageError, match="wants a value for its column 'owner'"):
            LibraryAdmin(database).add(new())
        with database.writing() as writing:
            writing.execute(text("ALTER TABLE libraries ALTER owner DROP NOT NULL"))
            writing.execute(text("ALTER TABLE libraries ALTER name TYPE VARCHAR(3)"))
        with pytest.raises(UsageError, match=r"refuses the row: .*value too long"):
            LibraryAdmin(database).add(new())


def test_who_owns_a_library_is_told_until_its_lease_is_long_over(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(text("INSERT INTO fw_leases VALUES (1, 'one', 1, 0, 1000), (2, 'two', 1, 0, 0)"))
    assert owners(database, 1000 + 10**9) == {1: "one", 2: "two"}
    assert owners(database, HOUR_NS) == {}


# settings


def test_a_setting_is_written_over_and_deleted(database: Database) -> None:
    admin = SettingsAdmin(database)
    admin.put("file_watch.debounce_time", "2s")
    admin.put("file_watch.debounce_time", "3s")
    admin.put("file_watch.nice", "5")
    assert dict(read_steering(database).settings) == {
        "file_watch.debounce_time": "3s",
        "file_watch.nice": "5",
    }
    assert admin.drop("file_watch.nice")
    assert not admin.drop("file_watch.nice")


@pytest.mark.parametrize("foreign", [MEDIA_SERVER, IDENTITIES, OWN_FLAG], indirect=True)
def test_settings_of_another_application_take_ours_as_they_are(foreign: Database) -> None:
    admin = SettingsAdmin(foreign)
    before = one(foreign, "SELECT count(*) FROM settings")
    admin.put("file_watch.max_wait", "9s")
    admin.put("file_watch.max_wait", "8s")
    assert read_steering(foreign).settings["file_watch.max_wait"] == "8s"
    assert admin.drop("file_watch.max_wait")
    assert one(foreign, "SELECT count(*) FROM settings") == before


def test_a_column_of_json_holds_a_text_in_quotes(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute(b"CREATE TABLE settings (key TEXT PRIMARY KEY, value JSONB NOT NULL)")
    with closing(Database(postgres_url)) as database:
        database.open()
        migrate(database)
        SettingsAdmin(database).put("file_watch.debounce_time", "2s")
        assert one(database, "SELECT value::text FROM settings") == '"2s"'
        assert dict(read_steering(database).settings) == {"file_watch.debounce_time": "2s"}
