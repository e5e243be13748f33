"""What `status` shows of a catalog and of who works with it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from file_watcher.catalog.batch import Batch
from file_watcher.catalog.database import Database
from file_watcher.catalog.journal import LogLine, LogLines
from file_watcher.catalog.libraries import Libraries, LibraryState
from file_watcher.catalog.library_admin import LibraryAdmin, NewLibrary
from file_watcher.catalog.outbox import Outbox
from file_watcher.catalog.owner import OwnerLock
from file_watcher.catalog.requests import Instances, Vitals
from tests.support.catalog import ROOT, message, opened, record, store_of
from tests.unit.cli.conftest import Invoke


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/catalog.sqlite3"


def fill(database: Database, **state: Any) -> None:
    """A library of two files, one message that waits, and a confirmed one."""
    library = Libraries(database).ensure_library(ROOT)
    Libraries(database).save_library_state(LibraryState(library.id, **{"first_scan_done": True} | state))
    about = record("a.mp3")
    store_of(database).commit(Batch(inserts=(about, record("b.mp3", inode=43)), messages=(message(about),)))
    outbox = Outbox(database, [library.id])
    outbox.record([message(record("sub/c.mp3"))])
    outbox.mark_published([1])


def test_a_catalog_without_a_service_is_shown_and_is_1(invoke: Invoke, url: str, tmp_path: Path) -> None:
    with opened(url) as database:
        fill(database)
    result = invoke("status", "--database-url", url, COLUMNS="80")
    assert result.exit_code == 1
    lines = [line.rstrip() for line in result.stdout.splitlines() if line.strip()]
    assert lines[0] == "No service runs; start it with: python -m file_watcher run"
    assert lines[1] == f"Catalog   {tmp_path}/catalog.sqlite3"
    assert lines[2].startswith("To send   1 message, the oldest for ")
    assert lines[3] == "Last      created /data/music/sub/c.mp3 (not confirmed yet)"
    assert lines[-1].split() == ["music", "active", "/data/music", "2", "2.0", "kB"]


def test_a_service_that_runs_but_cannot_be_asked_is_fine(invoke: Invoke, url: str) -> None:
    with opened(url) as database:
        fill(database)
        lock = OwnerLock(Path(url.removeprefix("sqlite:///")))
        lock.acquire()
        Instances(database, "9.9").beat("me", {"http": None})
        try:
            words = invoke("status", "--database-url", url)
            document = json.loads(invoke("status", "--json", "--database-url", url).stdout)
        finally:
            lock.release()
    assert words.exit_code == 0
    assert words.stdout.startswith("me runs (its pages cannot be asked from here): process ")
    assert document["running"] is True
    assert document["instances"][0]["version"] == "9.9"
    assert document["instances"][0]["ready"] is None


def test_the_document_holds_all_that_is_shown(invoke: Invoke, url: str, tmp_path: Path) -> None:
    with opened(url) as database:
        fill(database, state="suspended", reason="the folder is not there", first_scan_done=False)
    document = json.loads(invoke("status", "--json", "--database-url", url).stdout)
    assert document["catalog"] == f"{tmp_path}/catalog.sqlite3"
    assert (document["running"], document["instances"]) == (False, [])
    assert document["libraries"] == [
        {
            "id": 1,
            "name": "music",
            "path": "/data/music",
            "type": "production",
            "is_watched": True,
            "state": "suspended",
            "reason": "the folder is not there",
            "first_scan_done": False,
            "owner": None,
            "files": 2,
            "size": 2000,
            "rules": {},
        }
    ]
    assert document["outbox"]["waiting"] == 1
    assert document["outbox"]["oldest_seconds"] >= 0
    assert document["last_event"]["event_type"] == "created"
    assert document["last_event"]["confirmed"] is None


def test_a_suspended_library_says_why_on_80_columns(invoke: Invoke, url: str) -> None:
    with opened(url) as database:
        fill(database, state="suspended", reason="the folder is not there")
    told = invoke("status", "--database-url", url, COLUMNS="80").stdout
    assert max(map(len, told.splitlines()[4:])) <= 80
    assert "suspended" in told
    assert "not there" in " ".join(told.split())


def test_an_instance_that_went_without_a_word_is_said_to_be_dead(invoke: Invoke, url: str) -> None:
    with opened(url) as database:
        fill(database)
        Instances(database, "9.9").beat("gone\x1b[2J", {})
        with database.writing() as connection:
            connection.exec_driver_sql("UPDATE fw_instances SET heartbeat_ns = heartbeat_ns - 600000000000")
    words = invoke("status", "--database-url", url, COLUMNS="80")
    assert words.exit_code == 1
    first, second, *_ = words.stdout.splitlines()
    assert first.startswith("gone\\x1b[2J is DEAD: its last heartbeat is 10.0 min old; it was process ")
    assert second.startswith("No service runs")
    document = json.loads(invoke("status", "--json", "--database-url", url).stdout)
    (instance,) = document["instances"]
    assert (instance["alive"], instance["ready"], document["running"]) == (False, False, False)
    assert instance["heartbeat_seconds"] >= 600


def test_what_the_instances_tell_of_their_work_is_shown(invoke: Invoke, url: str) -> None:
    with opened(url) as database:
        lock = OwnerLock(Path(url.removeprefix("sqlite:///")))
        lock.acquire()
        vitals = Vitals([{"name": "music", "state": "watched"}], {"recorded": 3}, 2, 1_700_000_000 * 10**9)
        Instances(database, "9.9").beat("me", {}, vitals)
        with database.writing() as connection:
            connection.exec_driver_sql("UPDATE fw_instances SET heartbeat_ns = heartbeat_ns - 20000000000")
        try:
            words = invoke("status", "--database-url", url).stdout
            document = json.loads(invoke("status", "--json", "--database-url", url).stdout)
        finally:
            lock.release()
    assert "http off, last heartbeat 20 s ago" in words.splitlines()[0]
    (instance,) = document["instances"]
    assert instance["libraries"] == [{"name": "music", "state": "watched"}]
    assert (instance["counters"], instance["errors"], instance["last_event"]) == (
        {"recorded": 3},
        2,
        "2023-11-14T22:13:20Z",
    )


def test_libraries_that_wait_for_a_service_and_those_of_others_and_the_last_errors_are_shown(
    invoke: Invoke, url: str
) -> None:
    with opened(url) as database:
        fill(database)
        admin = LibraryAdmin(database)
        admin.set_watched(1, is_watched=False)
        admin.add(NewLibrary("new", "/new", "staging", is_watched=True, rules={"patterns": "*.mp3"}))
        now_ns = time.time_ns()
        lines = [
            LogLine(now_ns, "me", "error", "thread_died", "music", {}),
            LogLine(now_ns, "me", "warning", "no_error", None, {}),
            LogLine(now_ns - 2 * 86_400 * 10**9, "me", "error", "long_ago", None, {}),
        ]
        LogLines(database).append(lines)
    told = invoke("status", "--database-url", url, COLUMNS="80").stdout
    assert max(map(len, told.splitlines()[4:])) <= 80
    assert "thread_died (music) on me" in told
    assert "no_error" not in told
    assert "long_ago" not in told
    rows = [line.split() for line in told.splitlines() if line.startswith((" music", " new"))]
    assert rows == [
        ["music", "not", "watched", "/data/music", "–", "2", "2.0", "kB"],
        ["new", "to", "be", "watched", "/new", "1", "0", "0", "B"],
    ]
    document = json.loads(invoke("status", "--json", "--database-url", url).stdout)
    assert [error["event"] for error in document["errors"]] == ["thread_died"]
    assert document["libraries"][1]["rules"] == {"patterns": "*.mp3"}


def test_an_empty_catalog_has_nothing_to_show(invoke: Invoke, url: str) -> None:
    with opened(url):
        pass
    document = json.loads(invoke("status", "--json", "--database-url", url).stdout)
    assert (document["libraries"], document["last_event"]) == ([], None)
    assert document["outbox"] == {"waiting": 0, "oldest_seconds": None}


def test_without_a_catalog_nothing_is_made(invoke: Invoke, url: str, tmp_path: Path) -> None:
    result = invoke("status", "--database-url", url)
    assert result.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_a_newer_catalog_is_refused_with_the_mend(invoke: Invoke, url: str) -> None:
    with opened(url) as database, database.writing() as connection:
        connection.exec_driver_sql("UPDATE fw_alembic_version SET version_num = '9999'")
    result = invoke("status", "--database-url", url)
    assert result.exit_code == 2
    assert "Install that version again" in result.stderr
