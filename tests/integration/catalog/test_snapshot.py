"""Snapshots in the outbox: what they hold, that they stand between the commits, and all or nothing."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from sqlalchemy import text

from file_watcher.catalog import database as database_module
from file_watcher.catalog import snapshot as snapshot_module
from file_watcher.catalog.batch import Batch
from file_watcher.catalog.database import Database
from file_watcher.catalog.libraries import Libraries, LibraryState
from file_watcher.catalog.messages import NewMessage
from file_watcher.catalog.outbox import Outbox
from file_watcher.catalog.requests import Requests
from file_watcher.catalog.snapshot import Confirmation, Recorded, Scope, SnapshotWriter
from file_watcher.catalog.store import CatalogStore
from file_watcher.errors import CatalogOccupied
from file_watcher.model import FileRecord, Fingerprint
from tests.support.catalog import ROOT, message, record

WHOLE = Scope(1, ROOT)


@dataclass
class Words:
    """Messages that say nothing but what they are about."""

    suspended: str | None = None
    told: list[FileRecord] = field(default_factory=list)
    count: int | None = None

    def begin(self, suspended: str | None) -> NewMessage:
        self.suspended = suspended
        return message(event_type="snapshot.begin", snapshot="s", queue="late")

    def file(self, record: FileRecord) -> NewMessage:
        self.told.append(record)
        body = json.dumps({"version": record.version}).encode()
        return message(record, snapshot="s", queue="late", body=body)

    def end(self, count: int) -> NewMessage:
        self.count = count
        return message(event_type="snapshot.end", snapshot="s", queue="late")

    @property
    def names(self) -> list[bytes]:
        return [record.path.removeprefix(ROOT + b"/") for record in self.told]


def answer(recorded: Sequence[Recorded]) -> Mapping[str, Any]:
    return {"snapshots": [[each.files, each.first, each.last] for each in recorded]}


def taken(database: Database) -> int:
    """The number of a request that the service has taken."""
    requests = Requests(database)
    number = requests.ask("replay", {})
    requests.take()
    return number


def told(database: Database, *scopes: Scope) -> list[Words]:
    """What a request for these scopes tells."""
    words = [Words() for _ in scopes]
    writer = SnapshotWriter(database)
    writer.answer(taken(database), list(zip(scopes, words, strict=True)), answer, lambda: False)
    return words


def keep(store: CatalogStore, *names: str | bytes, **changes: Any) -> None:
    """Commit rows without messages."""
    store.commit(Batch(inserts=[record(name, **changes) for name in names]))


def test_a_snapshot_tells_every_file_once_in_the_order_of_paths_between_its_notices(
    database: Database, store: CatalogStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_module, "_PAGE", 3)
    names = [b"b/1.mp3", b"a.mp3", b"a/2.mp3", b"a b.mp3", b"\xff.mp3", b"a/1.mp3", b"z"]
    keep(store, *names)
    number = taken(database)

    words = Words()
    result = SnapshotWriter(database).answer(number, [(WHOLE, words)], answer, lambda: False)

    messages = Outbox(database, [1]).pending(0, 100)
    assert words.names == sorted(names)
    assert words.count == 7
    assert [each.event_type for each in messages] == ["snapshot.begin", *["created"] * 7, "snapshot.end"]
    assert [each.path for each in messages[1:-1]] == [ROOT + b"/" + name for name in sorted(names)]
    assert {each.queue for each in messages} == {"late"}
    assert result == {"snapshots": [[7, messages[0].sequence, messages[-1].sequence]]}
    request = Requests(database).wait(number, timeout=0)
    assert (request.state, request.result) == ("done", result)


def test_pages_end_where_the_files_end(
    database: Database, store: CatalogStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_module, "_PAGE", 2)
    keep(store, "1", "2", "3", "4")
    (words,) = told(database, WHOLE)
    assert words.names == [b"1", b"2", b"3", b"4"]


def test_an_empty_library_has_a_snapshot_too(database: Database, store: CatalogStore) -> None:
    (words,) = told(database, WHOLE)
    assert (words.told, words.count) == ([], 0)
    assert len(Outbox(database, [1]).pending(0, 10)) == 2


def test_a_file_is_told_as_its_row_has_it(database: Database, store: CatalogStore) -> None:
    metadata = {"format": "audio/flac", "tags": {"title": "Grüße"}}
    rows = [
        record("a", version=7, metadata=metadata, fingerprint=Fingerprint(b"1" * 32, b"2" * 16), size=5),
        record("growing", fingerprint=None, growing=True),
        record("unreadable", fingerprint=None),
    ]
    store.commit(Batch(inserts=rows))
    (words,) = told(database, WHOLE)
    assert [
        replace(each, row_id=None, stat=row.stat) for each, row in zip(words.told, rows, strict=True)
    ] == rows
    assert [each.stat.size for each in words.told] == [5, 1000, 1000]


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        (ROOT + b"/a", [b"a/1.mp3", b"a/b/2.mp3"]),
        (ROOT + b"/a/", [b"a/1.mp3", b"a/b/2.mp3"]),
        (ROOT + b"/a/b", [b"a/b/2.mp3"]),
        (ROOT + b"/a.mp3", [b"a.mp3"]),
        (ROOT + b"/nothing", []),
        (b"/", [b"a b.mp3", b"a.mp3", b"a/1.mp3", b"a/b/2.mp3", b"a0"]),
    ],
)
def test_a_folder_is_told_without_its_neighbours(
    database: Database, store: CatalogStore, folder: bytes, expected: list[bytes]
) -> None:
    keep(store, "a b.mp3", "a.mp3", "a/1.mp3", "a/b/2.mp3", "a0")
    (words,) = told(database, Scope(1, folder))
    assert words.names == expected


def test_libraries_are_told_apart_and_together(database: Database, store: CatalogStore) -> None:
    keep(store, "a", "b")
    keep(store, "nested/c", library_id=2)
    music, nested = told(database, WHOLE, Scope(2, ROOT + b"/nested"))
    assert (music.names, nested.names) == ([b"a", b"b"], [b"nested/c"])


def test_only_what_changed_since_is_told(database: Database, store: CatalogStore) -> None:
    keep(store, "old", "changed")
    since = time.time_ns()
    (row,) = store.load([ROOT + b"/changed"], [], [])
    store.commit(Batch(updates=[replace(row, version=2)]))
    keep(store, "new")
    (words,) = told(database, replace(WHOLE, since_ns=since))
    assert words.names == [b"changed", b"new"]


def test_a_suspended_library_is_told_as_it_was_known_and_says_so(
    database: Database, store: CatalogStore
) -> None:
    keep(store, "a")
    libraries = Libraries(database)
    libraries.save_library_state(LibraryState(1, "suspended", "the root is missing"))
    (suspended,) = told(database, WHOLE)
    libraries.save_library_state(LibraryState(1))
    (active,) = told(database, WHOLE)
    assert (suspended.suspended, suspended.names) == ("the root is missing", [b"a"])
    assert active.suspended is None


def test_a_failure_in_the_middle_leaves_nothing_and_the_request_open(
    database: Database, store: CatalogStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_module, "_PAGE", 1)
    keep(store, "a", "b")
    number = taken(database)

    class Broken(Words):
        def end(self, count: int) -> NewMessage:
            raise ArithmeticError("at the very end")

    with pytest.raises(ArithmeticError):
        SnapshotWriter(database).answer(number, [(WHOLE, Words()), (WHOLE, Broken())], answer, lambda: False)

    assert Outbox(database, [1]).depth() == (0, None)
    assert Requests(database).wait(number, timeout=0).state == "running"


def test_who_has_to_wait_for_a_snapshot_learns_that_nothing_is_wrong(
    database: Database, store: CatalogStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BUSY_SECONDS", 0.01)
    keep(store, "a")
    waited: list[bool] = []

    def commit_meanwhile() -> bool:
        with pytest.raises(CatalogOccupied):
            store.commit(Batch(messages=[message()]))
        waited.append(True)
        return False

    assert SnapshotWriter(database).answer(taken(database), [(WHOLE, Words())], answer, commit_meanwhile)
    assert waited
    store.commit(Batch(messages=[message()]))


def test_a_stop_in_the_middle_leaves_nothing(database: Database, store: CatalogStore) -> None:
    keep(store, "a")
    number = taken(database)
    assert SnapshotWriter(database).answer(number, [(WHOLE, Words())], answer, lambda: True) is None
    assert Outbox(database, [1]).depth() == (0, None)
    assert not Requests(database).wait(number, timeout=0).is_finished


def test_a_request_that_is_worked_on_twice_is_recorded_once(database: Database, store: CatalogStore) -> None:
    keep(store, "a")
    number = taken(database)
    writer = SnapshotWriter(database)
    first = writer.answer(number, [(WHOLE, Words())], answer, lambda: False)
    assert writer.answer(number, [(WHOLE, Words())], answer, lambda: False) == first
    assert Outbox(database, [1]).depth()[0] == 3
    assert Requests(database).reopen_unfinished() == 0


def test_a_snapshot_goes_on_from_what_stands_before_it_and_later_messages_from_the_snapshot(
    database: Database, store: CatalogStore
) -> None:
    """A decider commits new versions without a pause; each snapshot falls between two of its commits."""
    rows = [record(f"{number:03}") for number in range(50)]
    store.commit(Batch(inserts=rows, messages=[versioned(row) for row in rows]))
    rows = store.load([row.path for row in rows], [], [])
    stop = threading.Event()

    def decide() -> None:
        nonlocal rows
        while not stop.is_set():
            rows = [replace(row, version=row.version + 1) for row in rows]
            store.commit(Batch(updates=rows, messages=[versioned(row) for row in rows]))

    decider = threading.Thread(target=decide, name="decider")
    decider.start()
    try:
        for _ in range(5):
            told(database, WHOLE)
    finally:
        stop.set()
        decider.join(30)

    versions: dict[bytes, int] = {}
    snapshots = 0
    for each in _all(database):
        version = json.loads(each.body).get("version")
        if each.queue is not None and version is not None:
            snapshots += 1
            assert version == versions[each.path], "the snapshot tells what was told last"
        elif version is not None:
            assert version == versions.get(each.path, 0) + 1
            versions[each.path] = version
    assert snapshots == 250
    assert max(versions.values()) > 2, "nothing was committed meanwhile"


def versioned(row: FileRecord) -> NewMessage:
    return message(row, body=json.dumps({"version": row.version}).encode())


def _all(database: Database) -> list[Any]:
    with database.reading() as connection:
        return list(connection.execute(text("SELECT path, queue, body FROM fw_events ORDER BY sequence")))


def test_how_far_a_snapshot_has_come_is_seen(database: Database, store: CatalogStore) -> None:
    keep(store, "a", "b")
    outbox = Outbox(database, [1])
    outbox.record([message()])
    told(database, WHOLE)
    outbox.record([message()])
    _, begin, first, second, end, _ = [each.sequence for each in outbox.pending(0, 10)]
    confirmation = Confirmation(database, begin, end)
    assert (confirmation.waiting(), confirmation.unrouted()) == (4, 0)
    outbox.mark_published([begin, first, end])
    outbox.mark_unrouted([second])
    assert (confirmation.waiting(), confirmation.unrouted()) == (0, 1)
