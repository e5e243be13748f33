"""The catalog at a glance, on both databases."""

from __future__ import annotations

import time

from sqlalchemy import text

from file_watcher.catalog.batch import Batch
from file_watcher.catalog.database import Database
from file_watcher.catalog.libraries import Libraries, LibraryState
from file_watcher.catalog.library_admin import LibraryAdmin
from file_watcher.catalog.outbox import Outbox
from file_watcher.catalog.overview import LastEvent, LibraryOverview, overview, waiting
from tests.support.catalog import ROOT, message, record, store_of


def test_an_empty_catalog_shows_nothing(database: Database) -> None:
    seen = overview(database)
    assert (seen.libraries, seen.waiting, seen.oldest_ns, seen.last_event) == ((), 0, None, None)
    assert waiting(database) == 0


def test_files_are_counted_by_library_and_libraries_of_others_are_left_out(database: Database) -> None:
    rows = Libraries(database)
    music, empty, new, foreign = (
        rows.ensure_library(root) for root in (ROOT, b"/data/empty", b"/new", b"/not/ours")
    )
    LibraryAdmin(database).set_watched(foreign.id, is_watched=False)
    LibraryAdmin(database).set_watched(empty.id, is_watched=False)
    LibraryAdmin(database).set_rules(music.id, {"patterns": "*.mp3"})
    rows.save_library_state(LibraryState(music.id, first_scan_done=True))
    rows.save_library_state(LibraryState(empty.id, state="suspended", reason="gone"))
    store_of(database).commit(Batch(inserts=(record("a.mp3"), record("b.mp3", inode=43, size=2**40))))
    told = {each.name: each for each in overview(database).libraries}
    assert list(told) == ["empty", "music", "new"]
    scanned = watched = True
    kind = "production"
    assert told["empty"] == LibraryOverview(
        *(empty.id, "empty", "/data/empty", kind, not watched, "suspended", "gone", not scanned, 0, 0)
    )
    assert told["music"] == LibraryOverview(
        *(music.id, "music", "/data/music", kind, watched, "active", None, scanned, 2, 1000 + 2**40),
        {"patterns": "*.mp3"},
    )
    assert told["new"] == LibraryOverview(
        *(new.id, "new", "/new", kind, watched, None, None, not scanned, 0, 0)
    )


def test_the_owner_of_a_library_is_seen_where_there_are_leases(database: Database) -> None:
    library = Libraries(database).ensure_library(ROOT)
    with database.writing() as connection:
        connection.execute(
            text("INSERT INTO fw_leases VALUES (:id, 'one', 1, 0, :until)"),
            {"id": library.id, "until": time.time_ns() + 10**10},
        )
    (seen,) = overview(database).libraries
    assert seen.owner == (None if database.is_sqlite else "one")


def test_what_waits_and_what_was_told_last_is_seen(database: Database) -> None:
    outbox = Outbox(database, [1])
    outbox.record([message(record(name), created_ns=number) for number, name in enumerate("abc", 1)])
    outbox.mark_published([1, 3])
    seen = overview(database)
    assert (seen.waiting, seen.oldest_ns, waiting(database)) == (1, 2, 1)
    last = seen.last_event
    assert last is not None
    assert (last.event_type, last.path, last.created_ns) == ("created", "/data/music/c", 3)
    assert last.published_ns is not None
    outbox.mark_unrouted([2])
    assert overview(database).waiting == 0
    outbox.record([message(record("nobody"), created_ns=4)])
    outbox.mark_unrouted([4])
    unwanted = overview(database).last_event
    assert unwanted is not None
    assert unwanted.unrouted
    outbox.record([message(record("d"), "deleted", created_ns=4)])
    assert overview(database).last_event == LastEvent("deleted", "/data/music/d", 4, None, unrouted=False)
