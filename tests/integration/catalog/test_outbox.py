from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from file_watcher.catalog.database import Database
from file_watcher.catalog.libraries import Libraries
from file_watcher.catalog.messages import MessageWriter
from file_watcher.catalog.outbox import Outbox
from file_watcher.catalog.store import Batch, CatalogStore
from tests.support.catalog import ROOT, message, opened, record


@pytest.fixture
def outbox(database: Database) -> Outbox:
    assert Libraries(database).ensure_library(ROOT).id == 1
    return Outbox(database, [1])


def waiting(outbox: Outbox, after: int = 0) -> list[int]:
    return [one.sequence for one in outbox.pending(after, 1000)]


def test_a_message_waits_exactly_as_it_was_recorded(outbox: Outbox) -> None:
    about = record(b"caf\xe9.mp3")
    recorded = message(about, "moved", old_path=b"/data/music/\xff", body=b'{"x": "\xc3\xa9\x00"}')

    assert outbox.record([recorded]) == (1, 1)

    (found,) = outbox.pending(0, 10)
    assert (found.event_id, found.event_type, found.routing_key) == (recorded.event_id, "moved", "file.moved")
    assert (found.path, found.old_path, found.body) == (recorded.path, recorded.old_path, recorded.body)
    assert (found.library, found.created_ns) == ("music", recorded.created_ns)


def test_messages_wait_in_commit_order_in_pages(outbox: Outbox) -> None:
    outbox.record([message() for _ in range(10)])

    assert [one.sequence for one in outbox.pending(0, 4)] == [1, 2, 3, 4]
    assert [one.sequence for one in outbox.pending(4, 4)] == [5, 6, 7, 8]
    assert outbox.record([]) is None


def test_what_was_confirmed_out_of_order_is_gone_and_the_rest_still_waits(outbox: Outbox) -> None:
    outbox.record([message() for _ in range(6)])

    outbox.mark_published([2, 5])
    outbox.mark_published([2])
    outbox.mark_published([])
    outbox.mark_unrouted([3])

    assert waiting(outbox) == [1, 4, 6]
    assert outbox.unpublished_up_to(3) == 1
    assert outbox.unpublished_up_to(6) == 3
    assert outbox.last_sequence() == 6


def test_the_depth_tells_how_many_wait_and_since_when(outbox: Outbox) -> None:
    assert outbox.depth() == (0, None)
    assert outbox.last_sequence() == 0

    outbox.record([message(created_ns=100 + number) for number in range(4)])
    outbox.mark_published([1])

    assert outbox.depth() == (3, 101)


def test_a_library_that_is_left_behind_is_read_apart(database: Database) -> None:
    """The others are read on without it, but for what tells of a move; it is read from where it stopped."""
    outbox = Outbox(database, [1, 2, 3])
    outbox.record([message(library_id=1 + number % 2) for number in range(10)])
    outbox.record([message(record(b"a.mp3"), "moved", old_path=b"/data/other/a.mp3", library_id=1)])
    outbox.record([message(library_id=3), message(library_id=4)])

    def found(left_behind: list[int], after: int = 0) -> list[int]:
        return [one.sequence for one in outbox.pending(after, 5, left_behind)]

    assert found([]) == [1, 2, 3, 4, 5]
    assert found([1]) == [2, 4, 6, 8, 10]
    assert found([1], 10) == [11, 12]
    assert found([3, 1, 2]) == [11]
    assert [one.sequence for one in outbox.pending_of(1, 3, 9, 2)] == [5, 7]
    assert [one.sequence for one in outbox.pending_of(1, 7, 11, 9)] == [9, 11]
    assert outbox.pending_of(4, 0, 99, 9) == [], "it is another's"


def test_the_messages_of_other_libraries_are_left_alone(database: Database, outbox: Outbox) -> None:
    outbox.record([message(), message(library_id=2)])

    assert waiting(outbox) == [1]
    assert outbox.depth()[0] == 1
    assert outbox.unpublished_up_to(9) == 1
    assert waiting(Outbox(database, [2])) == [2]
    assert waiting(Outbox(database, [1, 2])) == [1, 2]
    assert waiting(Outbox(database, [])) == []
    outbox.mark_published([1])
    outbox.prune(0, 0)
    assert waiting(Outbox(database, [2])) == [2]


def test_pruning_forgets_what_is_older_than_the_retention(outbox: Outbox) -> None:
    old, new = time.time_ns() - 100 * 10**9, time.time_ns()
    outbox.record([message(created_ns=created) for created in (old, old, old, new)])
    outbox.mark_published([1, 4])
    outbox.mark_unrouted([3])

    assert outbox.prune(retention_seconds=50, keep=1000) == 2

    assert waiting(outbox) == [2]
    assert outbox.last_sequence() == 4
    assert outbox.prune(retention_seconds=50, keep=1000) == 0


def test_pruning_keeps_the_newest_and_never_forgets_what_waits(outbox: Outbox) -> None:
    outbox.record([message() for _ in range(1300)])
    outbox.mark_published(range(2, 1301))

    assert outbox.prune(retention_seconds=3600, keep=100) == 1199

    assert waiting(outbox) == [1]
    outbox.mark_published([1])
    assert outbox.prune(retention_seconds=3600, keep=100) == 1
    assert outbox.prune(retention_seconds=0, keep=100) == 100


def test_a_sequence_is_never_given_again(outbox: Outbox) -> None:
    outbox.record([message() for _ in range(3)])
    outbox.mark_published([1, 2, 3])
    assert outbox.prune(retention_seconds=0, keep=0) == 3

    assert outbox.record([message(), message()]) == (4, 5)


def test_sequences_rise_in_commit_order_even_when_two_processes_record(
    database_url: str, database: Database, store: CatalogStore
) -> None:
    spans: list[tuple[int, int] | None] = []
    with opened(database_url) as other:

        def record_late() -> None:
            spans.append(Outbox(other, [1]).record([message()]))

        writer = MessageWriter(database)
        late = threading.Thread(target=record_late)
        with database.writing() as connection:
            writer.take_turn(connection)
            late.start()
            late.join(0.2)
            assert late.is_alive()
            early = writer.write(connection, [message()])
        late.join(10)

    assert early == (1, 1)
    assert spans == [(2, 2)]


def test_notices_and_events_share_one_order(outbox: Outbox, store: CatalogStore) -> None:
    about = record("a")
    outbox.record([message()])
    store.commit(Batch(inserts=[about], messages=[message(about)]))
    outbox.record([message()])

    assert [one.routing_key for one in outbox.pending(0, 9)] == [
        "library.scanned",
        "file.created",
        "library.scanned",
    ]


def test_the_mark_of_what_may_have_been_sent_only_rises(database: Database, outbox: Outbox) -> None:
    def mark(of: Outbox) -> int:
        with database.reading() as connection:
            return of.sent_up_to(connection)

    assert mark(outbox) == 0
    outbox.reserve(7, [1])
    outbox.reserve(5, [1])
    assert mark(outbox) == 7
    both, none = Outbox(database, [1, 2]), Outbox(database, [])
    assert mark(Outbox(database, [2])) == 0
    both.reserve(9, [1, 2])
    none.reserve(100, [])
    assert [mark(each) for each in (outbox, Outbox(database, [2]), both, none)] == [9, 9, 9, 0]


def test_what_was_found_waiting_is_looked_at_again_only_after_a_mark(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox.record([message() for _ in range(5)])
    assert outbox.prune(retention_seconds=0, keep=0) == 0
    looks: list[tuple[int, int]] = []
    between = outbox._prune_between

    def noted(after: int, bound: int, should_stop: Callable[[], bool]) -> tuple[int, int]:
        looks.append((after, bound))
        return between(after, bound, should_stop)

    monkeypatch.setattr(outbox, "_prune_between", noted)
    assert outbox.prune(retention_seconds=0, keep=0) == 0
    outbox.mark_published([4])
    outbox.mark_unrouted([3])
    assert outbox.prune(retention_seconds=0, keep=0) == 2
    assert looks == [(5, 5), (2, 5)]


def test_pruning_that_is_cut_short_is_taken_up_again(outbox: Outbox) -> None:
    outbox.record([message() for _ in range(1200)])
    outbox.mark_published(range(1, 1201))
    answers = iter([False, True])

    assert outbox.prune(retention_seconds=0, keep=0, should_stop=lambda: next(answers)) == 500
    assert outbox.prune(retention_seconds=0, keep=0) == 700
