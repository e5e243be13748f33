"""The worker pool: every ticket that is taken comes to an end, whatever happens to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace

import pytest

from file_watcher.errors import CatalogUnavailable
from file_watcher.lifecycle import Deadline
from file_watcher.model import UNKNOWN, FileStat, Fingerprint, Metadata, Observation, Source, Ticket
from file_watcher.processing.examine import Examination
from file_watcher.processing.fingerprint import Interrupted, Reading
from file_watcher.processing.pool import PoolConfig, WorkerPool
from file_watcher.processing.tags.errors import FileChanged, TagReaderClosed, TagsUnavailable
from file_watcher.processing.tags.whole import WholeFile, WholeFuture
from file_watcher.pulse import Progress
from file_watcher.telemetry import Telemetry
from tests.support.waiting import wait_for
from tests.support.world import LIBRARY

STAT = FileStat(3, 1, 2, 7, 100)


def ticket(name: str = "a") -> Ticket:
    return Ticket(
        path=b"/lib/" + name.encode(),
        library=LIBRARY,
        is_folder=False,
        closed=True,
        must_hash=False,
        moved_from=frozenset(),
        source=Source.KERNEL,
        noticed=5.0,
        changed_ns=7,
        waited_since=5.0,
        last_stat=None,
        still_since=5.0,
        told_growing=None,
    )


def seen(of: Ticket) -> Observation:
    return Observation(of.path, of.library, STAT, noticed=of.noticed)


class Outcomes(Telemetry):
    """A sink that remembers what came, and counts errors. `has_room` False: the decider is behind."""

    def __init__(self) -> None:
        self.submitted: list[tuple[Ticket, Examination]] = []
        self.put_off: list[tuple[Ticket, FileStat | None, float]] = []
        self.resting: list[tuple[Ticket, FileStat | None, float]] = []
        self.errors: list[str] = []
        self.has_room = True
        self.turns = 0
        """How often a worker let a decision end before it took a file."""

    def wait_while_deciding(self, timeout: float) -> None:
        assert 0 < timeout < 1
        self.turns += 1

    def wait_for_room(self, timeout: float) -> bool:
        if not self.has_room:
            threading.Event().wait(0.01)
        return self.has_room

    def submit(self, ticket: Ticket, examination: Examination) -> None:
        self.submitted.append((ticket, examination))

    def again(self, ticket: Ticket, stat: FileStat | None, after: float) -> None:
        self.put_off.append((ticket, stat, after))

    def rest(self, ticket: Ticket, stat: FileStat | None, after: float) -> None:
        self.resting.append((ticket, stat, after))

    def error(self, stage: str) -> None:
        self.errors.append(stage)

    def only(self) -> Examination:
        """What was submitted of the one ticket."""
        wait_for(lambda: self.submitted, "the examination")
        ((_, examination),) = self.submitted
        return examination


@contextmanager
def working(
    examine: Callable[[Ticket, float], Examination], config: PoolConfig | None = None
) -> Iterator[tuple[WorkerPool, Outcomes]]:
    outcomes = Outcomes()
    failures: list[BaseException] = []
    config = config or PoolConfig(threads=2, queue_size=8, in_flight=2)
    pool = WorkerPool(config, examine, outcomes, outcomes, lambda _, error: failures.append(error))
    pool.start()
    try:
        yield pool, outcomes
    finally:
        pool.close()
        assert pool.join(Deadline(5))
    assert failures == []


def all_slots_are_free(pool: WorkerPool, outcomes: Outcomes) -> None:
    """So many files as may be in flight at once are examined: none before has kept its place."""
    before = len(outcomes.submitted) + len(outcomes.put_off)
    for number in range(4):
        assert pool.put(ticket(f"after {number}"), 5)
    wait_for(lambda: len(outcomes.submitted) + len(outcomes.put_off) == before + 4, "four more files")


def test_an_observation_goes_to_the_decider() -> None:
    with working(lambda ticket, now: Examination(seen(ticket))) as (pool, outcomes):
        assert pool.put(ticket(), 1)
        assert outcomes.only().observation == seen(ticket())
        all_slots_are_free(pool, outcomes)


def test_a_file_that_is_not_settled_is_put_off_with_what_was_seen() -> None:
    with working(lambda ticket, now: Examination(None, STAT, 1.5)) as (pool, outcomes):
        pool.put(ticket(), 1)
        wait_for(lambda: outcomes.put_off == [(ticket(), STAT, 1.5)], "the file to be put off")
        all_slots_are_free(pool, outcomes)


def test_a_lost_database_puts_the_file_off() -> None:
    def examine(ticket: Ticket, now: float) -> Examination:
        raise CatalogUnavailable("away")

    with working(examine) as (pool, outcomes):
        pool.put(ticket(), 1)
        wait_for(lambda: outcomes.put_off == [(ticket(), None, 1.0)], "the file to be put off")
        assert outcomes.errors == ["db"]
        all_slots_are_free(pool, outcomes)


def test_a_worker_that_met_a_database_that_is_away_takes_no_other_file_for_a_while() -> None:
    asked: list[float] = []

    def examine(ticket: Ticket, now: float) -> Examination:
        asked.append(now)
        raise CatalogUnavailable("away")

    with working(examine) as (pool, _):
        for number in range(6):
            pool.put(ticket(str(number)), 1)
        wait_for(lambda: len(asked) == 4, "two rounds of two workers")

        assert asked[2] - asked[0] >= 1.0
        assert all(worker.doing is None for worker in pool.progress()[:2]), "that is no hang"


def test_a_worker_tells_what_it_is_at_and_each_block_of_a_file_is_progress() -> None:
    go_on, is_over = threading.Semaphore(0), threading.Event()

    def examine(ticket: Ticket, now: float) -> Examination:
        while not is_over.is_set():
            go_on.acquire(timeout=10)
            assert not pool.gives_up()
        return Examination(seen(ticket))

    with working(examine, PoolConfig(threads=1, queue_size=8, in_flight=1)) as (pool, outcomes):

        def worker() -> Progress:
            return pool.progress()[0]

        def workers() -> Progress:
            return pool.progress()[-1]

        assert (worker().doing, workers().doing) == (None, None)
        pool.put(ticket("large"), 1)
        pool.put(ticket("behind it"), 1)
        wait_for(lambda: worker().doing == "examines /lib/large", "the worker to be at it")
        wait_for(lambda: workers().doing == "1 files wait to be read", "the other to wait")
        before = worker().steps, workers().steps
        go_on.release()
        wait_for(lambda: worker().steps > before[0], "a step")
        assert workers().steps > before[1]
        outcomes.has_room = False
        assert workers().doing is None, "it is the decider that is behind"
        outcomes.has_room = True
        is_over.set()
        go_on.release(2)
        wait_for(lambda: len(outcomes.submitted) == 2, "both files")
        assert worker().doing is None


def test_a_surprise_costs_neither_the_worker_nor_those_who_wait_for_the_file() -> None:
    def examine(ticket: Ticket, now: float) -> Examination:
        raise ValueError("what is this?")

    with working(examine) as (pool, outcomes):
        pool.put(ticket(), 1)
        observation = outcomes.only().observation
        assert observation is not None
        assert (observation.path, observation.sight, observation.noticed) == (b"/lib/a", UNKNOWN, 5.0)
        assert outcomes.errors == ["hash"]
        all_slots_are_free(pool, outcomes)


def test_what_the_end_interrupts_is_forgotten() -> None:
    began = threading.Event()

    def examine(ticket: Ticket, now: float) -> Examination:
        began.set()
        pool.wait_for_close(10)
        assert pool.is_closing
        raise Interrupted(ticket.path)

    with working(examine) as (pool, outcomes):
        pool.put(ticket(), 1)
        assert began.wait(5)
    assert (outcomes.submitted, outcomes.put_off, outcomes.errors) == ([], [], [])


# bounds


def test_a_full_queue_says_so() -> None:
    gate = threading.Event()

    def examine(ticket: Ticket, now: float) -> Examination:
        gate.wait(10)
        return Examination(seen(ticket))

    with working(examine, PoolConfig(threads=1, queue_size=2, in_flight=1)) as (pool, outcomes):
        assert pool.put(ticket("running"), 1)
        wait_for(lambda: pool.depth() == 0, "the first to be taken")
        assert pool.put(ticket("1"), 0.01)
        assert pool.put(ticket("2"), 0.01)
        assert not pool.put(ticket("3"), 0.01)
        assert pool.depth() == 2
        gate.set()
        wait_for(lambda: len(outcomes.submitted) == 3, "the three files")


def test_no_file_is_begun_while_the_decider_is_behind() -> None:
    with working(lambda ticket, now: Examination(seen(ticket))) as (pool, outcomes):
        outcomes.has_room = False
        wait_for(lambda: pool.put(ticket("blocker"), 0.01) and pool.depth() > 2, "the queue to stand still")
        taken = len(outcomes.submitted)
        assert taken <= 2, "those whose wait had ended before"
        outcomes.has_room = True
        wait_for(lambda: pool.depth() == 0, "the queue to be worked off")


def test_no_more_files_are_in_flight_than_allowed_even_while_tags_are_read() -> None:
    tags: list[Future[Metadata | None]] = []

    def examine(ticket: Ticket, now: float) -> Examination:
        tags.append(Future())
        return Examination(seen(ticket), tags=tags[-1])

    with working(examine, PoolConfig(threads=2, queue_size=8, in_flight=3)) as (pool, outcomes):
        for number in range(6):
            pool.put(ticket(str(number)), 1)
        wait_for(lambda: len(tags) == 3, "three files in flight")
        assert pool.depth() == 3
        tags[0].set_result(None)
        wait_for(lambda: len(tags) == 4, "another one")
        for each in tags[1:]:
            each.set_result(None)
        wait_for(lambda: len(tags) == 6, "the last ones")
        for each in tags[4:]:
            each.set_result(None)
        assert len(outcomes.submitted) == 6


def test_a_worker_that_is_alone_lets_decisions_end_before_it_takes_a_file() -> None:
    with working(lambda ticket, now: Examination(seen(ticket))) as (pool, outcomes):
        assert pool.put(ticket("a"), 1)
        wait_for(lambda: len(outcomes.submitted) == 1, "the file")
        assert outcomes.turns > 0


# tags


@contextmanager
def one_file_with_tags() -> Iterator[tuple[WorkerPool, Outcomes, Future[Metadata | None]]]:
    """A file whose examination waits for its tags; the files that come later have none."""
    tags: Future[Metadata | None] = Future()

    def examine(ticket: Ticket, now: float) -> Examination:
        plain = Examination(seen(ticket), STAT)
        return replace(plain, tags=tags, again_after=1.5) if ticket.path == b"/lib/a" else plain

    with working(examine) as (pool, outcomes):
        pool.put(ticket(), 1)
        wait_for(lambda: tags._done_callbacks, "somebody to wait for the tags")  # type: ignore[attr-defined]
        assert outcomes.submitted == []
        yield pool, outcomes, tags
        all_slots_are_free(pool, outcomes)


def test_tags_join_the_observation() -> None:
    with one_file_with_tags() as (_, outcomes, tags):
        tags.set_result({"duration": 3.0})
        told = replace(seen(ticket()), metadata={"duration": 3.0})
        assert outcomes.only() == Examination(told, STAT, 1.5)


def test_a_medium_that_could_not_be_understood_is_counted_by_who_read_it_alone() -> None:
    with one_file_with_tags() as (_, outcomes, tags):
        tags.set_result({"error": "The content is damaged."})
        assert outcomes.only().observation.metadata == {"error": "The content is damaged."}  # type: ignore[union-attr]
        assert outcomes.errors == []


def test_a_file_that_changed_before_its_tags_were_read_is_looked_at_again_when_it_was_quiet() -> None:
    """At once would be a busy loop where it is rewritten without end."""
    with one_file_with_tags() as (_, outcomes, tags):
        tags.set_exception(FileChanged(b"/lib/a"))
        assert outcomes.put_off == [(ticket(), None, 1.5)]
        assert outcomes.submitted == []


def test_a_file_whose_tags_the_end_interrupts_is_not_told_without_them() -> None:
    with one_file_with_tags() as (_, outcomes, tags):
        tags.set_exception(TagReaderClosed())
        assert (outcomes.submitted, outcomes.put_off) == ([], [])


@pytest.mark.parametrize(
    ("error", "counted"), [(TagsUnavailable("no child starts"), []), (KeyError("title"), ["tags"])]
)
def test_a_file_whose_tags_cannot_be_had_is_told_with_the_reason(
    error: Exception, counted: list[str]
) -> None:
    with one_file_with_tags() as (_, outcomes, tags):
        tags.set_exception(error)
        assert outcomes.only().observation.metadata == {"error": str(error)}  # type: ignore[union-attr]
        assert outcomes.errors == counted
        assert outcomes.only().read_again is isinstance(error, TagsUnavailable), (
            "what may pass is tried again"
        )


# small media, which children read


@contextmanager
def one_whole_file() -> Iterator[tuple[WorkerPool, Outcomes, WholeFuture]]:
    """A file that a child reads, until a worker is to do so; the files that come later are plain."""
    whole: WholeFuture = Future()

    def examine(ticket: Ticket, now: float) -> Examination:
        if ticket.path == b"/lib/a" and not ticket.by_worker:
            return Examination(seen(ticket), STAT, 1.5, whole=whole)
        return Examination(replace(seen(ticket), error="read by a worker"), STAT)

    with working(examine) as (pool, outcomes):
        pool.put(ticket(), 1)
        wait_for(lambda: whole._done_callbacks, "somebody to wait for the file")  # type: ignore[attr-defined]
        assert outcomes.submitted == []
        yield pool, outcomes, whole
        all_slots_are_free(pool, outcomes)


def test_hashes_and_tags_of_a_whole_file_join_the_observation() -> None:
    reading = Reading(STAT, Fingerprint(b"s" * 32, b"x" * 16), 5_000, 0.1)
    with one_whole_file() as (_, outcomes, whole):
        whole.set_result(WholeFile({"duration": 3.0}, reading))
        told = replace(
            seen(ticket()), metadata={"duration": 3.0}, fingerprint=reading.fingerprint, read_at_ns=5_000
        )
        assert outcomes.only() == Examination(told, STAT, 1.5)


@pytest.mark.parametrize(
    ("error", "counted"),
    [
        (TagsUnavailable("no child starts"), []),
        (FileChanged(b"/lib/a"), []),
        (KeyError("title"), ["tags"]),
        (None, []),
    ],
)
def test_a_whole_file_that_no_child_can_read_or_that_changed_is_looked_at_by_a_worker(
    error: Exception | None, counted: list[str]
) -> None:
    with one_whole_file() as (_, outcomes, whole):
        if error is None:
            whole.set_result(WholeFile({"error": "It ended two processes."}, None))
        else:
            whole.set_exception(error)
        assert outcomes.only().observation.error == "read by a worker"  # type: ignore[union-attr]
        assert outcomes.errors == counted


def test_a_whole_file_whose_reading_the_end_interrupts_is_not_told() -> None:
    with one_whole_file() as (_, outcomes, whole):
        whole.set_exception(TagReaderClosed())
        assert (outcomes.submitted, outcomes.put_off) == ([], [])


# the end


def test_an_idle_pool_ends_at_once_and_closing_twice_does_no_harm() -> None:
    with working(lambda ticket, now: Examination(seen(ticket))) as (pool, _):
        began = time.monotonic()
        pool.close()
        pool.close()
        assert pool.join(Deadline(5))
        assert time.monotonic() - began < 1


def test_joining_does_not_wait_beyond_the_deadline() -> None:
    gate = threading.Event()

    def examine(ticket: Ticket, now: float) -> Examination:
        gate.wait(10)
        return Examination(seen(ticket))

    with working(examine) as (pool, _):
        pool.put(ticket(), 1)
        wait_for(lambda: pool.depth() == 0, "the file to be taken")
        pool.close()
        assert not pool.join(Deadline(0.05))
        gate.set()


# -- another size --------------------------------------------------------------------------------------


class Gate:
    """An examination that lasts until it is let go, and tells how many are under way at once."""

    def __init__(self) -> None:
        self.go_on = threading.Semaphore(0)
        self.inside: list[str] = []
        self.most_inside = 0
        self.names: set[str] = set()
        self._lock = threading.Lock()

    def examine(self, ticket: Ticket, now: float) -> Examination:
        with self._lock:
            self.inside.append(ticket.path.decode())
            self.most_inside = max(self.most_inside, len(self.inside))
            self.names.add(threading.current_thread().name)
        self.go_on.acquire(timeout=30)
        with self._lock:
            self.inside.remove(ticket.path.decode())
        return Examination(seen(ticket))


def workers_of(pool: WorkerPool) -> list[str]:
    return [worker.stage for worker in pool.progress()[:-1]]


def test_more_threads_take_what_waits() -> None:
    gate = Gate()
    with working(gate.examine, PoolConfig(threads=1, queue_size=8, in_flight=1)) as (pool, outcomes):
        for number in range(4):
            pool.put(ticket(str(number)), 1)
        wait_for(lambda: len(gate.inside) == 1, "the one worker to be at a file")
        pool.resize(PoolConfig(threads=3, queue_size=8, in_flight=3))
        wait_for(lambda: len(gate.inside) == 3, "three workers to be at files")
        assert workers_of(pool) == ["fw-hash-1", "fw-hash-2", "fw-hash-3"]
        assert pool.threads == 3
        gate.go_on.release(4)
        wait_for(lambda: len(outcomes.submitted) == 4, "all files")


def test_a_thread_too_many_ends_after_its_file_and_idle_ones_at_once() -> None:
    gate = Gate()
    with working(gate.examine, PoolConfig(threads=4, queue_size=8, in_flight=4)) as (pool, outcomes):
        for number in range(2):
            pool.put(ticket(str(number)), 1)
        wait_for(lambda: len(gate.inside) == 2, "two workers to be at files")
        pool.resize(PoolConfig(threads=1, queue_size=8, in_flight=1))
        wait_for(lambda: len(workers_of(pool)) <= 3, "the idle ones to end")
        pool.put(ticket("later"), 1)
        gate.go_on.release(3)
        wait_for(lambda: len(outcomes.submitted) == 3, "all files")
        wait_for(lambda: workers_of(pool) == ["fw-hash-1"], "the others to end")
        assert sorted(each.path for each, _ in outcomes.submitted) == [b"/lib/0", b"/lib/1", b"/lib/later"]


def test_a_thread_that_is_wanted_again_before_it_ended_goes_on() -> None:
    gate = Gate()
    with working(gate.examine, PoolConfig(threads=2, queue_size=8, in_flight=2)) as (pool, outcomes):
        for number in range(4):
            pool.put(ticket(str(number)), 1)
        wait_for(lambda: len(gate.inside) == 2, "both workers to be at files")
        pool.resize(PoolConfig(threads=1, queue_size=8, in_flight=1))
        pool.resize(PoolConfig(threads=2, queue_size=8, in_flight=2))
        gate.go_on.release(4)
        wait_for(lambda: len(outcomes.submitted) == 4, "all files")
        assert gate.names == {"fw-hash-1", "fw-hash-2"}
        assert gate.most_inside == 2


def test_resizing_all_the_time_loses_no_file_and_examines_none_twice() -> None:
    with working(lambda ticket, now: Examination(seen(ticket))) as (pool, outcomes):

        def feed() -> None:
            for number in range(2000):
                while not pool.put(ticket(str(number)), 1.0):
                    pass

        feeder = threading.Thread(target=feed)
        feeder.start()
        sizes = 0
        while feeder.is_alive():
            sizes += 1
            pool.resize(PoolConfig(threads=1 + sizes % 5, queue_size=1 + sizes % 7, in_flight=1 + sizes % 3))
            feeder.join(0.001)
        wait_for(lambda: len(outcomes.submitted) >= 2000, "all files")
        assert sizes > 1
        pool.resize(PoolConfig(threads=2, queue_size=8, in_flight=2))
        wait_for(lambda: len(workers_of(pool)) == 2, "the surplus to end")
        told = [each.path for each, _ in outcomes.submitted]
        assert len(told) == len(set(told)) == 2000


def test_a_pool_that_is_closing_starts_no_thread() -> None:
    with working(lambda ticket, now: Examination(seen(ticket)), PoolConfig(1, 8, 1)) as (pool, _):
        pool.close()
        pool.resize(PoolConfig(threads=4, queue_size=8, in_flight=4))
        assert len(workers_of(pool)) <= 1
