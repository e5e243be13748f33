"""`migrate` makes and upgrades; `migrate --check` only looks; `migrate --undo` takes it back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect

from file_watcher.catalog.batch import Batch
from file_watcher.catalog.database import Database
from file_watcher.catalog.holdings import Holdings, holdings
from file_watcher.catalog.libraries import Libraries
from file_watcher.catalog.outbox import Outbox
from file_watcher.catalog.owner import OwnerLock
from file_watcher.catalog.schema import REVISIONS, downgrade, schema_state
from tests.support.catalog import ROOT, message, opened, record, store_of
from tests.unit.cli.conftest import Invoke


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/new/catalog.sqlite3"


def test_a_look_at_a_missing_catalog_makes_none(invoke: Invoke, url: str, tmp_path: Path) -> None:
    result = invoke("migrate", "--check", "--database-url", url)
    assert result.exit_code == 1
    assert "is not made yet" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_older_catalog_is_told_by_a_look_with_what_an_upgrade_adds(invoke: Invoke, url: str) -> None:
    with opened(url) as database:
        downgrade(database, "0003")
    result = invoke("migrate", "--check", "--database-url", url)
    assert result.exit_code == 1
    assert "is older than this version" in result.stderr
    assert "From 0003 to 0004:\n  0004: What a fleet needs" in result.stdout


def test_a_look_can_be_read_by_a_script(invoke: Invoke, url: str) -> None:
    def look() -> tuple[int, dict[str, Any]]:
        result = invoke("migrate", "--check", "--json", "--database-url", url)
        return result.exit_code, json.loads(result.stdout)

    missing = look()
    with opened(url) as database:
        current = look()
        downgrade(database, "0002")
        older = look()
        downgrade(database)
        empty = look()

    assert [code for code, _ in (missing, current, older, empty)] == [1, 0, 1, 1]
    assert current[1] == {
        "database": url.removeprefix("sqlite:///"),
        "state": "current",
        "found": REVISIONS[-1],
        "wanted": REVISIONS[-1],
        "adds": [],
        "obstacles": [],
        "notices": True,
    }
    assert missing[1].keys() == current[1].keys() == older[1].keys()
    assert [document["state"] for _, document in (missing, older, empty)] == ["empty", "older", "empty"]
    assert [add[:4] for add in older[1]["adds"]] == ["0003", "0004"]


def test_a_table_that_cannot_be_shared_is_told_before_anything_is_made(invoke: Invoke, url: str) -> None:
    with opened(url) as database:
        downgrade(database)
        with database.writing() as connection:
            connection.exec_driver_sql("CREATE TABLE libraries (id INTEGER PRIMARY KEY, folder TEXT)")
    looked, tried, checked = (
        invoke(*command, "--database-url", url)
        for command in (("migrate", "--check"), ("migrate",), ("check",))
    )
    assert (looked.exit_code, tried.exit_code) == (2, 2)
    for told in (looked.stderr, tried.stderr, checked.stdout):
        assert "The table libraries has no column name, path, type, so it cannot be shared" in told


# --undo


def test_everything_can_be_taken_back_and_made_again(invoke: Invoke, url: str) -> None:
    with opened(url) as database:
        Libraries(database).ensure_libraries([b"/music"], "abc12345")
        undone = invoke("migrate", "--undo", "--yes", "--database-url", url)
        with database.reading() as connection:
            left = set(inspect(connection).get_table_names())
    again, made = (invoke("migrate", *undo, "--database-url", url) for undo in (["--undo"], []))
    assert (undone.exit_code, again.exit_code, made.exit_code) == (0, 0, 0)
    assert left == set()
    assert "Everything of file_watcher is taken out" in undone.stdout
    assert "There is nothing of file_watcher" in again.stdout
    assert "is made." in made.stdout


def test_a_catalog_goes_back_to_the_step_of_an_earlier_version(invoke: Invoke, url: str) -> None:
    with opened(url) as database:
        Libraries(database).ensure_libraries([b"/music"], "abc12345")
        back = invoke("migrate", "--undo", "--to", "0003", "--yes", "--json", "--database-url", url)
        with database.reading() as connection:
            rows = connection.exec_driver_sql("SELECT path, is_watched FROM libraries").all()
        forward = invoke("migrate", "--undo", "--to", "0004", "--database-url", url)
    assert json.loads(back.stdout)["state"] == "older"
    assert rows == [("/music", 0)]
    assert forward.exit_code == 2
    assert "can be taken back to base, 0001, 0002, not to 0004" in forward.stderr


def fill(database: Database) -> None:
    """Two files, one message that waits and one that does not, and a rule."""
    library, about = Libraries(database).ensure_library(ROOT), record("a.mp3")
    store_of(database).commit(Batch(inserts=(about, record("b.mp3", inode=43)), messages=(message(about),)))
    outbox = Outbox(database, [library.id])
    outbox.record([message(record("c.mp3"))])
    outbox.mark_published([1])
    with database.writing() as connection:
        connection.exec_driver_sql("INSERT INTO fw_library_rules VALUES (1, 'debounce_time', '2s')")


def test_a_catalog_is_emptied_only_by_who_says_that_it_is_meant(
    invoke: Invoke, url: str, tmp_path: Path
) -> None:
    with opened(url) as database:
        fill(database)
        result = invoke("migrate", "--undo", "--database-url", url)
        assert schema_state(database) == "current"
        assert holdings(database) == Holdings(files=2, unsent=1, rules=1, open_jobs=0)
    assert (result.exit_code, result.stdout) == (2, "")
    told = " ".join(result.stderr.split())
    assert f"would empty the catalog {tmp_path}/new/catalog.sqlite3, with 2 files and 1 unsent" in told
    assert "Say --yes if that is meant" in told


def test_what_a_later_step_keeps_is_dropped_only_by_who_says_that_it_is_meant(
    invoke: Invoke, url: str
) -> None:
    with opened(url) as database:
        fill(database)
        refused = invoke("migrate", "--undo", "--to", "0003", "--database-url", url)
        assert schema_state(database) == "current"
        lower = invoke("migrate", "--undo", "--to", "0003", "--yes", "--database-url", url)
        assert holdings(database) == Holdings(files=2, unsent=1, rules=0, open_jobs=0)
        lowest = invoke("migrate", "--undo", "--to", "base", "--database-url", url)
    assert (refused.exit_code, lower.exit_code, lowest.exit_code) == (2, 0, 2)
    told = " ".join(refused.stderr.split())
    assert "what came after step 0003 (1 library rule, 0 jobs that still gather, its log)" in told
    assert "2 files and 1 unsent message would stay" in told
    assert "would empty the catalog" in lowest.stderr


def test_a_catalog_that_is_owned_is_not_taken_back(invoke: Invoke, url: str) -> None:
    with opened(url) as database:
        assert database.path is not None
        owner = OwnerLock(database.path)
        owner.acquire()
        try:
            result = invoke("migrate", "--undo", "--database-url", url)
        finally:
            owner.release()
        assert schema_state(database) == "current"
    assert result.exit_code == 2
    assert "Another file_watcher" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--check", "--undo"), "exclude one another"),
        (("--to", "0003"), "--to goes with --undo"),
        (("--yes",), "--yes goes with --undo"),
        (("--undo",), "No catalog is at"),
    ],
)
def test_what_makes_no_sense_is_refused(
    invoke: Invoke, url: str, arguments: tuple[str, ...], told: str
) -> None:
    result = invoke("migrate", *arguments, "--database-url", url)
    assert result.exit_code == 2
    assert told in result.stderr


def test_a_newer_catalog_is_left_alone(invoke: Invoke, url: str) -> None:
    with opened(url) as database, database.writing() as connection:
        connection.exec_driver_sql("UPDATE fw_alembic_version SET version_num = '9999'")
    looked, tried = (invoke("migrate", *check, "--database-url", url) for check in (["--check"], []))
    assert (looked.exit_code, tried.exit_code) == (2, 2)
    assert "is newer than this version knows" in looked.stderr
    assert "Install that version again" in tried.stderr


def test_a_folder_that_cannot_be_made_is_told_in_one_line(invoke: Invoke) -> None:
    result = invoke("migrate", "--database-url", "sqlite:////proc/nothing/catalog.sqlite3")
    assert result.exit_code == 2
    assert result.stderr.startswith("file_watcher: The state folder '/proc/nothing' cannot be written to")
    assert result.stderr.count("\n") == 1
