from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import text

from file_watcher.catalog import database as database_module
from file_watcher.catalog import engines
from file_watcher.catalog.database import Database
from file_watcher.catalog.store import Batch, Refusal
from file_watcher.errors import CatalogError, CatalogOccupied, CatalogUnavailable, UsageError
from tests.support.catalog import another_process_writes, message, opened, record, store_of
from tests.support.ports import free_port


@pytest.mark.parametrize(
    "url",
    ["", "music", "mysql://me:secret@host/db", "sqlite://", "sqlite:///:memory:", "postgresql+asyncpg://h/d"],
)
def test_an_address_of_another_kind_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(UsageError, match="DATABASE_URL") as caught:
        Database(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["postgresql://me:secret@h/d", "postgres://me:secret@h/d?password=secret"])
def test_the_address_is_shown_without_its_password(url: str) -> None:
    shown = Database(url).shown

    assert shown.startswith("postgresql://me:")
    assert "secret" not in shown


def test_a_sqlite_catalog_is_shown_as_its_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert Database("sqlite:///catalog.db").shown == str(tmp_path / "catalog.db")


def test_the_folder_of_a_sqlite_catalog_is_made(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path}/a/b/catalog.db"):
        assert (tmp_path / "a" / "b" / "catalog.db").exists()


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(CatalogError, match="DATABASE_URL"):
        Database(f"sqlite:///{tmp_path}/file/catalog.db").open()


def test_a_path_that_is_a_folder_is_one_sentence(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}")

    with pytest.raises(CatalogError, match="cannot be opened"):
        database.open()
    database.close()


def test_a_file_that_is_no_database_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "song.mp3").write_bytes(b"ID3" * 1000)
    database = Database(f"sqlite:///{tmp_path}/song.mp3")

    with pytest.raises(CatalogError, match="no SQLite database"):
        database.open()
    database.close()


def test_a_server_that_does_not_answer_may_come_later() -> None:
    database = Database(f"postgresql://me:secret@127.0.0.1:{free_port()}/music")

    with pytest.raises(CatalogUnavailable, match="does not answer") as caught:
        database.open()
    assert "secret" not in str(caught.value)
    database.close()


def test_a_database_that_was_not_opened_is_not_available(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/catalog.db")

    with pytest.raises(CatalogUnavailable), database.reading():
        pytest.fail("there is no connection")


def test_writes_are_synchronous_and_in_wal(database: Database) -> None:
    with database.writing() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1


def test_reading_holds_no_lock_that_a_writer_waits_for(database: Database) -> None:
    with database.reading() as reader:
        reader.execute(text("SELECT count(*) FROM fw_files"))
        with database.writing() as writer:
            writer.execute(text("INSERT INTO settings (key, value) VALUES ('file_watch.a', '1')"))
        assert reader.execute(text("SELECT count(*) FROM settings")).scalar() == 1


def test_reading_connections_are_used_again(database: Database) -> None:
    with database.reading() as first:
        pass
    with database.reading() as second:
        assert second is first


def test_a_question_to_the_driver_is_answered_as_of_the_last_commit(database: Database) -> None:
    question = "SELECT key, value FROM settings WHERE key = ?"
    assert database.ask(question, ("file_watch.a",)) == []

    with database.writing() as writer:
        writer.execute(text("INSERT INTO settings (key, value) VALUES ('file_watch.a', '1')"))
        assert database.ask(question, ("file_watch.a",)) == []

    assert database.ask(question, ("file_watch.a",)) == [("file_watch.a", "1")]


def test_what_the_driver_refuses_is_told_in_the_catalogs_words(database: Database) -> None:
    with pytest.raises(CatalogError, match="cannot be used: no such table: nowhere"):
        database.ask("SELECT * FROM nowhere", ())

    assert database.ask("SELECT 1", ()) == [(1,)]


def test_a_connection_that_is_put_back_after_the_close_is_closed(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path}/catalog.db") as database, database.reading() as connection:
        database.close()
        assert not connection.closed

    assert connection.closed


def test_a_write_that_another_process_keeps_waiting_says_so(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert database.path is not None
    monkeypatch.setattr(engines, "BUSY_SECONDS", 0.2)
    impatient = Database(f"sqlite:///{database.path}")
    impatient.open()

    with another_process_writes(database.path):
        with pytest.raises(CatalogUnavailable, match="write lock"), impatient.writing():
            pytest.fail("the lock is held")
        with impatient.reading() as connection:
            assert connection.execute(text("SELECT count(*) FROM fw_files")).scalar() == 0
    impatient.close()


def test_a_write_waits_for_another_process(database: Database) -> None:
    assert database.path is not None
    committed = threading.Event()

    def write() -> None:
        with database.writing() as connection:
            connection.execute(text("INSERT INTO settings (key, value) VALUES ('file_watch.a', '1')"))
        committed.set()

    thread = threading.Thread(target=write)
    with another_process_writes(database.path):
        thread.start()
        assert not committed.wait(0.1)
    thread.join(10)
    assert committed.is_set()


def test_a_thread_that_writes_for_too_long_does_not_block_the_others_for_ever(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BUSY_SECONDS", 0.05)

    with database.writing(), pytest.raises(CatalogUnavailable, match="busy"), database.writing():
        pytest.fail("one writer at a time")
    with database.writing(is_long=True), pytest.raises(CatalogOccupied), database.writing():
        pytest.fail("one writer at a time")
    assert all(circuit.is_closed for circuit in database.circuits)


def test_a_full_disk_loses_nothing_and_may_be_tried_again(database: Database) -> None:
    store = store_of(database)
    kept = record("kept.mp3")
    store.commit(Batch(inserts=[kept]))
    with database.writing() as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
        connection.execute(text(f"PRAGMA max_page_count = {pages + 2}"))
    large = [record(f"{number}.mp3", inode=number) for number in range(500)]

    with pytest.raises(CatalogUnavailable, match="full"):
        store.commit(Batch(inserts=large, messages=[*map(message, large)]))

    assert [found.path for found in store.records_below(b"/data", 10)] == [kept.path]
    with database.writing() as connection:
        connection.execute(text("PRAGMA max_page_count = 100000"))
    assert store.commit(Batch(inserts=large, messages=[*map(message, large)])) == (1, 500)


def test_a_table_that_is_missing_is_no_reason_to_try_again(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(text("DROP TABLE fw_files"))

    with pytest.raises(CatalogError, match="no such table"):
        store_of(database).count(1)


def test_a_batch_with_a_bad_row_on_a_full_disk_is_tried_again_later(database: Database) -> None:
    refused: list[Refusal] = []
    store = store_of(database, on_refused=refused.extend)
    with database.writing() as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
        connection.execute(text(f"PRAGMA max_page_count = {pages + 2}"))
    bad = record("bad.mp3", size=2**70)
    large = [record(f"{number}.mp3", inode=number) for number in range(500)]

    with pytest.raises(CatalogUnavailable, match="full"):
        store.commit(Batch(inserts=[bad, *large]))

    assert refused == []
    assert store.count(1) == 0


def test_opening_waits_for_a_process_that_writes_to_a_file_without_wal(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/catalog.db")
    opening = threading.Thread(target=database.open)
    with another_process_writes(tmp_path / "catalog.db"):
        opening.start()
        opening.join(0.1)
        assert opening.is_alive()
    opening.join(10)

    with database.reading() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
    database.close()


def test_opening_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "BUSY_SECONDS", 0.1)
    database = Database(f"sqlite:///{tmp_path}/catalog.db")

    with (
        another_process_writes(tmp_path / "catalog.db"),
        pytest.raises(CatalogUnavailable, match="write lock"),
    ):
        database.open()
    database.close()
