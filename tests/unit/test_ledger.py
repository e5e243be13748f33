"""Rows and messages out of decisions, and what is remembered and announced of libraries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from file_watcher.catalog.database import Database
from file_watcher.catalog.libraries import Libraries
from file_watcher.catalog.outbox import Outbox
from file_watcher.catalog.store import CatalogStore
from file_watcher.ledger import EVENTS, Ledger, LibraryMemory, SystemClock
from file_watcher.model import EventType, Library
from file_watcher.processing.view import RowChanges
from file_watcher.telemetry import Telemetry
from file_watcher.watching.nested import MountIdentity
from file_watcher.watching.sight import RootIdentity
from tests.support.catalog import opened, record
from tests.support.messages import event, validated


class Recorded(Telemetry):
    """Remembers what was counted as recorded."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str]] = []

    def recorded(self, queue: str, message_type: str, count: int = 1) -> None:
        self.messages += [(queue, message_type)] * count


class Books:
    """A catalog in a file, and all that writes into it."""

    def __init__(self, database: Database) -> None:
        self.libraries = Libraries(database)
        self.music = self.libraries.ensure_library(b"/data/music")
        self.store = CatalogStore(database)
        self.store.own([self.music])
        self.store.set_root_device(self.music.id, 0xFD01)
        self.outbox = Outbox(database, [self.music.id])
        self.telemetry = Recorded()
        self.learned: list[Library] = []
        self.wakes = 0
        self.ledger = Ledger(self.store, "abc12345", self.telemetry)
        self.memory = LibraryMemory(
            self.libraries,
            self.store,
            self.outbox,
            "abc12345",
            self.learned.append,
            self.wake,
            self.telemetry,
        )

    def wake(self) -> None:
        self.wakes += 1


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    with opened(f"sqlite:///{tmp_path / 'catalog.db'}") as database:
        yield Books(database)


def test_rows_and_messages_are_committed_together(books: Books) -> None:
    row = record("a.mp3")
    created = event(EventType.CREATED, path=row.path, library=books.music, file_id=row.file_id)
    books.ledger.record(RowChanges(inserts=[row]), [created])

    assert [each.path for each in books.ledger.load([row.path], [], [])] == [row.path]
    (message,) = books.outbox.pending(0, 10)
    assert (message.routing_key, message.library, message.path) == ("file.created", "music", row.path)
    assert validated(message.body, message.routing_key)["event_id"] == message.event_id == created.event_id
    assert books.telemetry.messages == [(EVENTS, "created")]


def test_an_event_is_as_old_as_the_first_hint_for_the_latency(books: Books) -> None:
    noticed = event(path=b"/data/music/a", library=books.music, timestamp_ns=2_000, noticed_ns=1_000)
    unnoticed = event(path=b"/data/music/b", library=books.music, timestamp_ns=2_000, noticed_ns=0)
    books.ledger.record(RowChanges(), [noticed, unnoticed])
    assert [message.created_ns for message in books.outbox.pending(0, 10)] == [1_000, 2_000]


def test_a_move_carries_its_old_path_and_rows_can_go(books: Books) -> None:
    row = record("old.mp3")
    books.ledger.record(RowChanges(inserts=[row]), [])
    (stored,) = books.ledger.load([row.path], [], [])
    moved = event(EventType.MOVED, path=b"/data/music/new.mp3", old_path=row.path, library=books.music)
    books.ledger.record(RowChanges(deletes=[stored]), [moved])
    assert books.ledger.load([row.path], [], []) == []
    assert books.outbox.pending(0, 10)[0].old_path == row.path


def test_rows_below_a_path_are_found(books: Books) -> None:
    row = record("album/a.mp3")
    books.ledger.record(RowChanges(inserts=[row]), [])
    found = books.ledger.records_below([b"/data/music/album", b"/data/music/other"])
    assert {path: [each.path for each in rows] for path, rows in found.items()} == {
        b"/data/music/album": [row.path]
    }


def test_a_root_is_remembered_beyond_its_suspension(books: Books) -> None:
    assert books.memory.recall(books.music).inode is None
    root = RootIdentity(device=5, inode=2**64 - 1, fsid=2**63 + 1)
    books.memory.remember(books.music, root, suspended=None, first_scan_done=False)
    books.memory.remember(books.music, None, suspended="its disk is not mounted", first_scan_done=True)
    remembered = books.memory.recall(books.music)
    assert (remembered.inode, remembered.fsid, remembered.first_scan_done) == (
        2**64 - 1,
        str(2**63 + 1),
        True,
    )
    assert not remembered.is_another_than(root)
    state = books.libraries.library_state(books.music.id)
    assert state is not None
    assert (state.state, state.reason) == ("suspended", "its disk is not mounted")


def test_disks_are_remembered_apart_from_the_root(books: Books) -> None:
    assert books.memory.recall(books.music).mounts is None
    disks = {b"/data/music/disk": MountIdentity(2**64 - 1, "7")}
    books.memory.remember_mounts(books.music, disks)
    books.memory.remember(books.music, None, suspended="its disk is not mounted", first_scan_done=True)
    assert books.memory.recall(books.music).mounts == disks
    assert not books.memory.holds_below(b"/data/music/disk")


def test_a_first_scan_that_was_done_is_not_forgotten(books: Books) -> None:
    books.memory.remember(books.music, None, suspended=None, first_scan_done=True)
    books.memory.remember(books.music, None, suspended=None, first_scan_done=False)
    assert books.memory.recall(books.music).first_scan_done


def test_a_notice_is_recorded_counted_and_told_to_the_publisher(books: Books) -> None:
    books.memory.announce("library.suspended", books.music, {"reason": "its disk is not mounted"})
    (message,) = books.outbox.pending(0, 10)
    assert (message.routing_key, message.path) == ("library.suspended", books.music.root)
    assert validated(message.body, message.routing_key)["reason"] == "its disk is not mounted"
    assert books.telemetry.messages == [(EVENTS, "library.suspended")]
    assert books.wakes == 1


def test_the_device_of_a_root_is_known_before_its_rows_are_read(books: Books) -> None:
    books.ledger.record(RowChanges(inserts=[record("a.mp3", device=0xFD01)]), [])
    books.memory.use_device(books.music, 0xFD02)
    (row,) = books.ledger.load([b"/data/music/a.mp3"], [], [])
    assert row.stat.device == 0xFD02, "the number changed with the boot, the disk did not"
    assert books.learned == [books.music]
    assert books.memory.count(books.music) == 1


def test_the_clock_gives_times_that_pass_and_names_that_differ() -> None:
    clock = SystemClock()
    assert 0 < clock.now_ns() <= clock.now_ns()
    assert clock.new_id() != clock.new_id()
