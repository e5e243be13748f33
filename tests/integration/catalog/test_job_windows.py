"""Windows of jobs in the catalog: counted with their events, closed with their job, never lost in between."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sqlalchemy import Connection

from file_watcher.catalog.compaction import Compaction
from file_watcher.catalog.database import Database
from file_watcher.catalog.job_windows import JobWindows, Lane
from file_watcher.catalog.libraries import Libraries
from file_watcher.catalog.messages import NewMessage
from file_watcher.catalog.outbox import Outbox
from file_watcher.catalog.store import Batch, CatalogStore
from file_watcher.errors import CatalogError
from file_watcher.jobs.job import OpenWindow
from tests.support.catalog import ROOT, message, music, record
from tests.support.jobs import change

FAR = 1 << 62
LANE = Lane(1, "media:scan", "maintenance")


@pytest.fixture
def windows(database: Database) -> JobWindows:
    """The windows of a catalog that has the library of the records."""
    assert Libraries(database).ensure_library(ROOT).id == 1
    return JobWindows(database)


def told(window: OpenWindow) -> NewMessage:
    return message(
        event_type="job", path=window.path, routing_key="maintenance.media.scan", exchange="file_jobs"
    )


def close(windows: JobWindows, lane: Lane = LANE, limit: int = 100) -> list[OpenWindow]:
    return windows.close(lane, FAR, limit, told)


def test_events_of_several_commits_are_counted_in_one_window(
    store: CatalogStore, windows: JobWindows, database: Database
) -> None:
    first = [change(at_ns=10, due_ns=20), change(at_ns=11, due_ns=21, event="moved")]
    store.commit(Batch(windows=first))
    store.commit(
        Batch(windows=[change(at_ns=15, due_ns=25), change(at_ns=16, due_ns=26, trigger="file_moved")])
    )

    assert windows.due(19, None) == {}
    assert windows.due(20, None) == {LANE: 1}
    (window,) = close(windows)
    assert (dict(window.events), window.count) == ({"created": 3, "moved": 1}, 4)
    assert (window.start_ns, window.due_ns, window.trigger) == (10, 20, "new_file_added")
    assert (window.path, window.library) == (ROOT, music())
    assert close(windows) == []
    (waiting,) = Outbox(database, [1]).pending(0, 10)
    assert (waiting.exchange, waiting.event_type, waiting.path) == ("file_jobs", "job", ROOT)


def test_a_window_that_was_closed_opens_anew_with_the_next_event(
    store: CatalogStore, windows: JobWindows
) -> None:
    store.commit(Batch(windows=[change(at_ns=10, due_ns=20)]))
    close(windows)
    store.commit(Batch(windows=[change(at_ns=30, due_ns=40)]))
    (window,) = close(windows)
    assert (window.start_ns, window.count) == (30, 1)


def test_many_windows_open_in_one_commit_and_names_may_be_any_bytes(
    store: CatalogStore, windows: JobWindows
) -> None:
    many = [
        change(key=f"{number:040}", path=ROOT + b"/\xff%d" % number, due_ns=number) for number in range(450)
    ]
    store.commit(Batch(windows=many))
    store.commit(Batch(windows=many))

    assert windows.due(FAR, None) == {LANE: 450}
    assert windows.next_due(100, None) == 101
    assert windows.next_due(449, None) is None
    closed = close(windows, limit=400)
    assert [window.path for window in closed] == [each.path for each in many[:400]]
    assert {window.count for window in closed} == {2}
    assert windows.due(FAR, None) == {LANE: 50}


def test_windows_are_seen_and_closed_by_whoever_owns_their_library(
    store: CatalogStore, windows: JobWindows
) -> None:
    mine = change(due_ns=10)
    other = change(key="b" * 40, library_id=2, due_ns=5, type="x")
    store.commit(Batch(windows=[mine, other]))

    assert windows.due(FAR, [1]) == {LANE: 1}
    assert windows.due(FAR, []) == {}
    assert list(windows.due(FAR, None)) == [Lane(2, "x", "maintenance"), LANE]
    assert windows.next_due(0, [1]) == 10
    assert [window.library_id for window in close(windows)] == [1]
    (orphan,) = windows.close(Lane(2, "x", "maintenance"), FAR, 10, lambda window: None)
    assert orphan.library is None, "there is no such library"


def test_a_window_is_recorded_with_its_event_or_not_at_all(
    store: CatalogStore, windows: JobWindows, database: Database
) -> None:
    good, bad = record("good.mp3"), record("bad.mp3", version=None, inode=43)
    batch = Batch(
        inserts=[good, bad],
        messages=[message(good), message(bad)],
        windows=[
            change(file_id=good.file_id),
            change(file_id=bad.file_id),
            change(file_id=bad.file_id, key="b" * 40),
        ],
    )
    store.commit(batch)

    assert [waiting.path for waiting in Outbox(database, [1]).pending(0, 10)] == [good.path]
    (window,) = close(windows)
    assert window.count == 1


def test_a_window_stays_open_where_its_job_cannot_be_recorded(
    store: CatalogStore, windows: JobWindows
) -> None:
    store.commit(Batch(windows=[change()]))

    def impossible(window: OpenWindow) -> NewMessage:
        return message(event_id=None)

    with pytest.raises(CatalogError):
        windows.close(LANE, FAR, 10, impossible)
    assert windows.due(FAR, None) == {LANE: 1}


def test_a_closed_window_asks_whether_its_library_is_still_ours(
    store: CatalogStore, database: Database, windows: JobWindows
) -> None:
    store.commit(Batch(windows=[change()]))

    class Refused(Exception):
        pass

    class Another:
        def confirm(self, connection: Connection, library_ids: object) -> None:
            assert library_ids == {1}
            raise Refused

    with pytest.raises(Refused):
        JobWindows(database, Another()).close(LANE, FAR, 10, told)
    assert windows.due(FAR, None) == {LANE: 1}


def test_windows_of_a_clock_that_was_ahead_are_due_at_once(store: CatalogStore, windows: JobWindows) -> None:
    now_ns = time.time_ns()
    store.commit(
        Batch(
            windows=[
                change(at_ns=now_ns - 5, due_ns=now_ns + 50),
                change(key="b" * 40, at_ns=FAR, due_ns=FAR + 9),
            ]
        )
    )
    windows.hasten_future(now_ns, [2])
    assert windows.due(now_ns, None) == {}
    windows.hasten_future(now_ns, None)
    windows.hasten_future(now_ns, None)
    assert windows.due(now_ns, None) == {LANE: 1}
    assert windows.next_due(now_ns, None) == now_ns + 50


def test_jobs_are_neither_merged_nor_merged_into(
    store: CatalogStore, windows: JobWindows, database: Database, tmp_path: Path
) -> None:
    outbox = Outbox(database, [1])
    compaction = Compaction(database, outbox, 1, lambda count: None)
    compaction.keep_limit(0, lambda: False)
    file = record("a.mp3")
    for kind in ("created", "modified"):
        store.commit(Batch(messages=[message(file, kind)], windows=[change(path=file.path)]))
        close(windows)
    kinds = [waiting.event_type for waiting in outbox.pending(0, 10)]
    assert kinds == ["created", "job", "modified", "job"]

    assert compaction.keep_limit(4, lambda: False) == 1

    assert [waiting.event_type for waiting in outbox.pending(0, 10)] == ["job", "modified", "job"]
