"""Who holds which library, with a real PostgreSQL and the real thread: taking over, losing, letting go."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from structlog.testing import capture_logs

from file_watcher.catalog.leases import LeaseBook, LeaseConfig, Leases
from file_watcher.catalog.outbox import Outbox
from file_watcher.errors import CatalogUnavailable
from file_watcher.lease_claims import Candidate, Claims
from file_watcher.lifecycle import Deadline
from file_watcher.root_sight import RootSight
from file_watcher.tenure import LeasedTenure, SoleTenure, TenureConfig
from tests.support.catalog import message, opened
from tests.support.postgresql import PostgresCluster
from tests.support.waiting import wait_for

LASTING = LeaseConfig(ttl=10.0)
CONFIG = TenureConfig(renew=0.3, look=0.1, linger=0.2)


class Instance:
    """One instance: it steers as the service does, by calling `hold` when it is told that something changed."""

    def __init__(self, url: str, name: str, stack: ExitStack) -> None:
        database = stack.enter_context(opened(url))
        self.changed = threading.Event()
        self.watched: frozenset[int] = frozenset()
        self.told: list[frozenset[int]] = []
        self.failures: list[BaseException] = []
        self.candidates: Sequence[Candidate] = ()
        self.book = LeaseBook(database, lambda: self.tenure.wake())  # noqa: PLW0108 - built below
        self.outbox = Outbox(database, [], self.book)
        self.tenure = LeasedTenure(
            Claims(name),
            Leases(database, name, LASTING),
            self.book,
            RootSight(self._fail),
            LASTING,
            CONFIG,
            in_use=lambda number: number in self.watched,
            on_held=self._note_held,
            on_changed=self.changed.set,
            on_failure=self._fail,
        )

    def _fail(self, _thread: str, error: BaseException) -> None:
        self.failures.append(error)

    def _note_held(self, held: frozenset[int]) -> None:
        self.told.append(held)
        self.outbox.own(held)

    def want(self, *candidates: Candidate) -> frozenset[int]:
        """Steer by these from now on."""
        self.candidates = candidates
        return self.steer()

    def steer(self) -> frozenset[int]:
        self.changed.clear()
        self.watched = self.tenure.hold(self.candidates)
        return self.watched

    def steers(self) -> bool:
        """Steer once where it was told to."""
        return self.changed.is_set() and bool(self.steer() or True)

    def stop(self) -> None:
        self.tenure.close()
        assert self.tenure.join(Deadline(10))
        assert self.failures == []


Join = Callable[[str], Instance]


@pytest.fixture
def join(postgres_url: str) -> Iterator[Join]:
    """Has another instance join; its thread runs until the test is over."""
    with ExitStack() as stack:

        def new(name: str) -> Instance:
            instance = Instance(postgres_url, name, stack)
            instance.tenure.start()
            stack.callback(instance.stop)
            return instance

        yield new


def named(number: int) -> Candidate:
    return Candidate(number, b"/nowhere", is_named=True)


def expire(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE fw_leases SET expires_ns = renewed_ns")


def test_a_catalog_with_one_owner_needs_no_leases() -> None:
    tenure = SoleTenure()
    tenure.start()

    assert tenure.hold([named(1), named(2)]) == {1, 2}
    assert tenure.held() == {1, 2}
    assert tenure.holds(7)
    assert tenure.may_publish(7)
    assert tenure.progress().doing is None
    tenure.release()
    tenure.close()
    assert tenure.join(Deadline(0))


def test_one_holds_and_the_other_takes_over_when_it_lets_go(join: Join) -> None:
    one, other = join("one"), join("other")

    assert one.want(named(1), named(2)) == {1, 2}
    assert other.want(named(1), named(2)) == set()
    assert one.tenure.may_publish(1)
    assert not other.tenure.may_publish(1)

    one.stop()
    one.tenure.release()
    assert not one.tenure.holds(1)
    wait_for(lambda: other.steers() and other.watched == {1, 2}, "the take-over", 10)
    assert other.told[-1] == {1, 2}


def test_what_was_lost_is_told_and_not_taken_back_before_it_was_dropped(
    join: Join, postgres_url: str
) -> None:
    one, other = join("one"), join("other")
    one.want(named(1))
    other.want(named(1))

    with capture_logs() as logs:
        with one.tenure._turn:  # as if it were frozen
            expire(postgres_url)
            wait_for(lambda: other.steers() and other.watched == {1}, "the take-over", 10)
        wait_for(one.changed.is_set, "the loss to be told", 10)
    assert "leases_lost" in [entry["event"] for entry in logs]
    assert not one.tenure.holds(1)

    other.stop()
    other.tenure.release()
    one.changed.clear()
    wait_for(one.changed.is_set, "being told again, as long as nobody listens", 10)
    assert not one.tenure.holds(1), "it is in use here still"
    assert one.steer() == set()
    wait_for(lambda: one.steers() and one.watched == {1}, "taking it anew", 10)
    assert one.book.held()[1].epoch == 3


def test_what_is_watched_no_more_is_held_until_its_last_message_is_published(join: Join) -> None:
    one, other = join("one"), join("other")
    one.want(named(1), named(2))
    one.outbox.record([message()])

    assert one.want(named(2)) == {2}
    other.want(named(1))
    assert one.tenure.held() == {1, 2}
    (waiting,) = one.outbox.pending(0, 10)
    steps = one.tenure.progress().steps
    wait_for(lambda: one.tenure.progress().steps > steps + 5, "looks at the outbox", 10)
    assert one.tenure.held() == {1, 2}

    one.outbox.mark_published([waiting.sequence])
    wait_for(lambda: other.steers() and other.watched == {1}, "the other one to have it", 10)
    assert one.tenure.held() == {2}


def test_a_root_that_is_seen_here_is_taken_by_whoever_sees_it(join: Join, tmp_path: Path) -> None:
    one, other = join("one"), join("other")
    here = str(tmp_path).encode()

    assert one.want(Candidate(1, b"/not/mounted/here")) == set()
    assert other.want(Candidate(1, here), Candidate(2, here, "one")) == {1}


def test_a_database_that_is_away_costs_no_lease_as_long_as_nobody_takes_it(
    join: Join, postgres: PostgresCluster
) -> None:
    one = join("one")
    one.want(named(1))
    before = one.book.held()[1]
    with capture_logs() as logs:
        postgres.stop()
        try:
            wait_for(lambda: any(entry["event"] == "leases_not_renewed" for entry in logs), "the loss", 20)
            assert one.tenure.holds(1)
            with pytest.raises(CatalogUnavailable):
                one.want(named(1), named(2))
        finally:
            postgres.start()
    wait_for(lambda: one.book.held()[1].deadline > before.deadline, "the renewal", 30)
    assert one.book.held()[1].epoch == before.epoch
    assert [entry["event"] for entry in logs].count("leases_not_renewed") == 1
