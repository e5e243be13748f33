"""What was recorded, as `events` reads it, on both databases."""

from __future__ import annotations

import pytest

from file_watcher.catalog import history
from file_watcher.catalog.database import Database
from file_watcher.catalog.history import History, Told, Wanted
from file_watcher.catalog.libraries import Libraries
from file_watcher.catalog.outbox import Outbox
from file_watcher.catalog.snapshot import at_and_below
from tests.support.catalog import ROOT, message, record


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a handful of messages takes several questions."""
    monkeypatch.setattr(history, "SPAN", 4)
    monkeypatch.setattr(history, "_PAGE", 3)


@pytest.fixture
def outbox(database: Database) -> Outbox:
    """Eleven messages: ten of files, created at 1 to 10 ns, and a notice."""
    Libraries(database).ensure_library(ROOT)
    outbox = Outbox(database, [1])
    kinds = ["created", "modified", "deleted"]
    outbox.record(
        [
            message(record(f"{n % 2}/{n}.mp3"), kinds[n % 3], created_ns=n, body=b"%d" % n)
            for n in range(1, 11)
        ]
    )
    outbox.record([message(created_ns=11)])
    return outbox


def found(database: Database, wanted: Wanted, *, newest: int = 0, with_bodies: bool = False) -> list[Told]:
    asked = History(database, wanted, with_bodies=with_bodies)
    last = asked.last()
    start = asked.start_of_newest(newest, last) if newest else asked.start(last)
    return list(asked.between(start, last))


def sequences(database: Database, wanted: Wanted, *, newest: int = 0) -> list[int]:
    return [told.sequence for told in found(database, wanted, newest=newest)]


def test_all_comes_in_the_order_in_which_it_was_recorded(database: Database, outbox: Outbox) -> None:
    told = found(database, Wanted())
    assert [each.sequence for each in told] == list(range(1, 12))
    first, notice = told[0], told[-1]
    assert (first.event_type, first.path, first.created_ns) == ("modified", ROOT + b"/1/1.mp3", 1)
    assert (first.library, first.root, first.body) == ("music", ROOT.decode(), None)
    assert (notice.routing_key, notice.path, notice.old_path) == ("library.scanned", ROOT, None)


def test_the_message_comes_only_where_it_is_asked_for(database: Database, outbox: Outbox) -> None:
    assert [told.body for told in found(database, Wanted(), newest=2, with_bodies=True)] == [
        b"10",
        b'{"event_type": "x"}',
    ]


def test_what_became_of_each_is_told_and_narrows(database: Database, outbox: Outbox) -> None:
    outbox.mark_published([1, 2, 5])
    outbox.mark_unrouted([3])
    assert [told.state for told in found(database, Wanted())][:4] == ["sent", "sent", "unrouted", "waiting"]
    assert sequences(database, Wanted(state="sent")) == [1, 2, 5]
    assert sequences(database, Wanted(state="unrouted")) == [3]
    assert sequences(database, Wanted(state="waiting")) == [4, *range(6, 12)]


def test_the_newest_are_found_behind_any_number_of_others(database: Database, outbox: Outbox) -> None:
    assert sequences(database, Wanted(), newest=3) == [9, 10, 11]
    assert sequences(database, Wanted(event_types=("deleted",)), newest=2) == [5, 8]
    assert sequences(database, Wanted(event_types=("deleted",)), newest=3) == [2, 5, 8]
    assert sequences(database, Wanted(event_types=("deleted",)), newest=99) == [2, 5, 8]
    assert sequences(database, Wanted(event_types=("idle",)), newest=1) == []


def test_a_folder_holds_what_lies_below_it_and_a_file_itself(database: Database, outbox: Outbox) -> None:
    outbox.record([message(record("0 b/x.mp3")), message(record("0.mp3"))])
    assert sequences(database, Wanted(within=at_and_below(ROOT + b"/0"))) == [2, 4, 6, 8, 10]
    assert sequences(database, Wanted(within=at_and_below(ROOT + b"/1/3.mp3"))) == [3]


def test_a_path_that_was_left_counts_too(database: Database, outbox: Outbox) -> None:
    outbox.record([message(record("new.mp3"), "moved", old_path=ROOT + b"/left/old.mp3")])
    (told,) = found(database, Wanted(within=at_and_below(ROOT + b"/left")))
    assert (told.path, told.old_path) == (ROOT + b"/new.mp3", ROOT + b"/left/old.mp3")


def test_a_time_narrows_whatever_the_order_of_the_times(database: Database, outbox: Outbox) -> None:
    outbox.record([message(record("late.mp3"), created_ns=2)])
    assert sequences(database, Wanted(since_ns=9)) == [9, 10, 11]
    assert sequences(database, Wanted(since_ns=9, event_types=("created",)), newest=2) == [9, 11]
    assert sequences(database, Wanted(since_ns=12)) == []


def test_a_library_narrows_and_one_whose_row_is_gone_has_no_name(database: Database, outbox: Outbox) -> None:
    outbox.record([message(record("x.mp3", library_id=7))])
    assert sequences(database, Wanted(library_id=7)) == [12]
    assert [(told.library, told.root) for told in found(database, Wanted(library_id=7))] == [(None, None)]
    assert len(sequences(database, Wanted(library_id=1))) == 11


def test_what_was_pruned_is_passed_over(database: Database, outbox: Outbox) -> None:
    outbox.mark_published([1, 2, 3, 4, 5, 6])
    outbox.prune(0, 0)
    assert sequences(database, Wanted()) == [7, 8, 9, 10, 11]
    assert sequences(database, Wanted(), newest=99) == [7, 8, 9, 10, 11]


def test_an_empty_catalog_has_nothing(database: Database) -> None:
    assert sequences(database, Wanted()) == sequences(database, Wanted(since_ns=1), newest=5) == []


def test_what_is_recorded_later_follows(database: Database, outbox: Outbox) -> None:
    asked = History(database, Wanted(), with_bodies=False)
    last = asked.last()
    outbox.record([message(record("new.mp3"))])
    assert [told.path for told in asked.between(last, asked.last())] == [ROOT + b"/new.mp3"]


def test_every_question_goes_along_the_sequences(database: Database, outbox: Outbox) -> None:
    wanted = Wanted(1, ("created",), at_and_below(ROOT), 5, "sent")
    asked = History(database, wanted, with_bodies=True)
    explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
    for sql in (asked._page, asked._newest):
        with database.reading() as connection:
            plan = "\n".join(
                str(row[-1]) for row in connection.exec_driver_sql(explain + sql, (0, 5, *asked._values, 5))
            )
        index = "INTEGER PRIMARY KEY" if database.is_sqlite else "fw_events_pkey"
        assert index in plan, plan
        assert "TEMP B-TREE" not in plan
        assert "Sort" not in plan


def test_text_of_a_path_narrows_and_its_wildcards_are_themselves(database: Database) -> None:
    Libraries(database).ensure_library(ROOT)
    outbox = Outbox(database, [1])
    names = [b"a%b/c.mp3", b"axb/c_d.mp3", b"axb/cxd.mp3", b"\xfcber.mp3", "über.mp3".encode()]
    outbox.record([message(record(name)) for name in names])
    moved = record("new.mp3")
    outbox.record([message(moved, "moved", old_path=ROOT + b"/old_name.mp3")])
    assert sequences(database, Wanted(text="a%b")) == [1]
    assert sequences(database, Wanted(text="c_d")) == [2]
    assert sequences(database, Wanted(text="über")) == [5]
    assert sequences(database, Wanted(text="old_name")) == [6]
    assert sequences(database, Wanted(text="b/c", event_types=("created",)), newest=2) == [2, 3]
    assert sequences(database, Wanted(text="nothing")) == []
