"""Leases on a real PostgreSQL: who may take, renew and commit, and that a former owner writes nothing more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import psycopg
import pytest

from file_watcher.catalog.batch import Batch
from file_watcher.catalog.database import MOST_READERS, Database
from file_watcher.catalog.leases import Lease, LeaseBook, LeaseConfig, LeaseRow, Leases
from file_watcher.catalog.libraries import Libraries, LibraryState
from file_watcher.catalog.messages import MessageWriter
from file_watcher.catalog.outbox import Outbox
from file_watcher.catalog.snapshot import Scope, SnapshotWriter
from file_watcher.catalog.store import CatalogStore
from file_watcher.errors import CatalogUnavailable, LeaseLost
from tests.support.catalog import DEVICE, ROOT, message, music, opened, record
from tests.support.waiting import wait_for

LONG = LeaseConfig(ttl=600.0)


@dataclass
class Instance:
    """One instance's part of the database that all share."""

    database: Database
    name: str
    ttl: float

    def __post_init__(self) -> None:
        self.leases = Leases(self.database, self.name, LeaseConfig(ttl=self.ttl))
        self.lost = 0
        self.now = 0.0
        self.book = LeaseBook(self.database, self._note_lost, lambda: self.now)
        self.outbox = Outbox(self.database, [1], self.book)
        self.store = CatalogStore(self.database, leases=self.book)
        self.store.own([music()])
        self.store.set_root_device(1, DEVICE)

    def _note_lost(self) -> None:
        self.lost += 1

    def take(self, *library_ids: int) -> dict[int, int]:
        """Take and note; the epochs of what was got."""
        got = self.leases.take(library_ids)
        self.book.put({each: Lease(epoch, self.now + self.ttl) for each, epoch in got.items()})
        return got

    def write(self) -> None:
        """Commit a row with its message."""
        row = record(f"{self.name} {len(self.outbox.pending(0, 1000))}.mp3", inode=hash(self.name) % 1000)
        self.store.commit(Batch(inserts=[row], messages=[message(row)]))


Join = Callable[..., Instance]


@pytest.fixture
def join(postgres_url: str) -> Iterator[Join]:
    """Has another instance join, with its own connections."""
    with ExitStack() as all_of_them:

        def new(name: str, ttl: float = 600.0) -> Instance:
            return Instance(all_of_them.enter_context(opened(postgres_url)), name, ttl)

        yield new


def ask(url: str, question: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(question.encode()).fetchall()


def expire(url: str) -> None:
    """Let the time pass until no lease is valid."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE fw_leases SET expires_ns = renewed_ns")


def test_a_library_is_taken_by_the_first_and_by_nobody_else(join: Join) -> None:
    one, other = join("one"), join("other")

    assert one.leases.look([1, 2]) == {}
    assert one.leases.take([1, 2]) == {1: 1, 2: 1}
    assert other.leases.take([1, 2, 3]) == {3: 1}

    row = other.leases.look([1, 7])[1]
    assert row == LeaseRow(1, "one", 1, row.seconds_left)
    assert 590 < row.seconds_left <= 600, "counted on the database's clock"


def test_what_has_expired_is_taken_with_a_higher_epoch_and_cannot_be_renewed(
    join: Join, postgres_url: str
) -> None:
    one, other = join("one"), join("other")
    one.take(1, 2)
    expire(postgres_url)

    assert other.leases.take([1]) == {1: 2}
    assert one.leases.renew({1: 1, 2: 1}) == {2}, "what nobody took is renewed, also late"
    assert one.leases.renew({1: 2}) == {1}, "the epoch alone says whose it is"
    assert other.leases.take([2]) == {}


def test_a_process_takes_over_from_an_earlier_one_of_its_name_at_once(join: Join) -> None:
    before, after = join("same"), join("same")
    before.take(1)

    assert after.take(1) == {1: 2}
    with pytest.raises(LeaseLost):
        before.write()
    after.write()


def test_what_was_released_is_free_at_once(join: Join) -> None:
    one, other = join("one"), join("other")
    one.take(1, 2)

    assert one.leases.release({1: 1, 2: 99}) == {1}
    assert other.leases.take([1, 2]) == {1: 2}


def test_those_who_want_the_same_at_the_same_time_never_both_get_it(join: Join) -> None:
    instances = [join(f"instance {number}") for number in range(4)]
    wanted = list(range(1, 30))
    got: list[dict[int, int]] = []

    def take(instance: Instance) -> None:
        got.append(instance.leases.take(wanted))

    threads = [threading.Thread(target=take, args=(each,)) for each in instances]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(each for taken in got for each in taken) == wanted


def test_a_former_owner_commits_nothing_whatever_it_tries(join: Join, postgres_url: str) -> None:
    one, other = join("one"), join("other")
    one.take(1)
    one.write()
    (row,) = one.store.load([ROOT + b"/one 0.mp3"], [], [])
    expire(postgres_url)
    other.take(1)
    before = ask(postgres_url, "SELECT * FROM fw_files, fw_events, fw_outbox_marks")
    one.book.put({1: Lease(1, 1e9)})
    waiting = one.outbox.pending(0, 10)

    attempts: list[Callable[[], object]] = [
        one.write,
        lambda: one.store.commit(Batch(updates=[row])),
        lambda: one.store.commit(Batch(deletes=[row.row_id or 0], deletes_of={1})),
        lambda: one.outbox.record([message()]),
        lambda: one.outbox.reserve(99, [1]),
        lambda: one.outbox.remove_never_sent(
            [(each.sequence, each.sequence) for each in waiting], one.outbox.ours
        ),
        lambda: Libraries(one.database, one.book).save_library_state(LibraryState(1, "suspended")),
        lambda: SnapshotWriter(one.database, one.book).answer(
            1,
            [(Scope(1, ROOT), None)],  # type: ignore[list-item]
            lambda _: {},
            lambda: False,
        ),
    ]
    for attempt in attempts:
        one.book.put({1: Lease(1, 1e9)})  # as if nobody had told it yet
        with pytest.raises(LeaseLost) as lost:
            attempt()
        assert lost.value.library_ids == {1}
        assert not one.book.holds(1), "and it is known from then on"

    assert ask(postgres_url, "SELECT * FROM fw_files, fw_events, fw_outbox_marks") == before
    assert ask(postgres_url, "SELECT count(*) FROM fw_library_state") == [(0,)]
    assert one.lost == len(attempts)
    other.write()


def test_a_batch_that_touches_a_lost_library_and_a_kept_one_is_not_committed_by_halves(
    join: Join, postgres_url: str
) -> None:
    one, other = join("one"), join("other")
    one.take(1, 2)
    expire(postgres_url)
    other.take(2)
    mine, lost = record("a.mp3", inode=1), record("b.mp3", inode=2, library_id=2)

    with pytest.raises(LeaseLost) as told:
        one.store.commit(Batch(inserts=[mine, lost]))

    assert told.value.library_ids == {2}
    assert "library 2" in str(told.value)
    assert set(one.book.held()) == {1}
    one.store.commit(Batch(inserts=[mine]))
    assert ask(postgres_url, "SELECT library_id FROM fw_files") == [(1,)]


def test_taking_over_waits_for_the_commit_that_is_under_way_and_renewing_does_not(
    join: Join, postgres_url: str
) -> None:
    one, other = join("one"), join("other")
    one.take(1)
    with one.database.writing() as connection:
        one.book.confirm(connection, [1])
        assert one.leases.renew({1: 1}) == {1}
        expire(postgres_url)
        assert other.leases.take([1]) == {}, "its former owner is committing"

    assert other.leases.take([1]) == {1: 2}


def test_who_freezes_within_a_commit_is_cut_off_so_that_the_fleet_goes_on(
    join: Join, postgres_url: str
) -> None:
    one, other = join("one"), join("other")
    one.take(1)
    other.take(2)

    def freeze() -> None:
        with one.database.writing() as connection:
            MessageWriter(one.database).take_turn(connection)
            one.book.confirm(connection, [1])
            expire(postgres_url)
            wait_for(lambda: other.leases.take([1]), "the take-over", 30)
            connection.exec_driver_sql("SELECT 1")

    with pytest.raises(CatalogUnavailable):
        freeze()

    other.outbox.record([message(library_id=2)])
    one.book.put({1: Lease(1, 1e9)})
    with pytest.raises(LeaseLost):
        one.write()


def test_nothing_is_published_after_the_deadline_or_of_what_is_not_held(join: Join) -> None:
    one = join("one", ttl=10.0)
    one.take(1)
    assert one.book.may_publish(1)
    assert not one.book.may_publish(2)

    one.now = 10.0
    assert not one.book.may_publish(1)
    assert one.book.holds(1), "late, but not known to be another's"

    one.book.extend({1: 1, 2: 1}, 20.0)
    assert one.book.may_publish(1)
    assert not one.book.holds(2), "what was dropped meanwhile is not held by a late answer"
    one.book.extend({1: 7}, 90.0)
    assert one.book.held() == {1: Lease(1, 20.0)}
    one.book.drop([1])
    assert not one.book.may_publish(1)


def test_it_is_told_which_libraries_have_messages_that_wait(join: Join) -> None:
    one = join("one")
    one.take(1, 2)
    one.outbox.record([message(), message(library_id=2)])
    (first, _) = Outbox(one.database, [1, 2]).pending(0, 10)
    one.outbox.mark_published([first.sequence])

    assert one.leases.with_something_to_tell([1, 2, 3]) == {2}
    assert first.library_id == 1


def test_nothing_to_confirm_asks_nothing(join: Join) -> None:
    one = join("one")

    one.store.commit(Batch())

    with one.database.writing() as connection:
        one.book.confirm(connection, [])


def test_an_instance_needs_few_connections_however_many_threads_ask(
    join: Join, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = join("one")
    all_read = threading.Barrier(MOST_READERS + 1)

    def read() -> None:
        with one.database.reading():
            all_read.wait(30)
            all_read.wait(30)

    threads = [threading.Thread(target=read) for _ in range(MOST_READERS)]
    for thread in threads:
        thread.start()
    all_read.wait(30)
    monkeypatch.setattr("file_watcher.catalog.database.BUSY_SECONDS", 0.05)
    with pytest.raises(CatalogUnavailable, match="takes very long"):
        one.leases.look([1])
    all_read.wait(30)
    for thread in threads:
        thread.join(30)

    assert one.leases.look([1]) == {}
    (connections,) = ask(
        postgres_url,
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'file_watcher' "
        "AND datname = current_database()",
    )
    assert connections <= (MOST_READERS + 1,), "readers, and the one that writes"
