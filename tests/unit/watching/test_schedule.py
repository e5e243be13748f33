"""The scheduler's thread: what is noted is delivered, and nobody is told that all is decided too early."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from file_watcher.lifecycle import Deadline
from file_watcher.model import FileStat, Hint, HintKind, Library, Source, Ticket
from file_watcher.telemetry import Telemetry
from file_watcher.watching.dirty import DebounceTiming
from file_watcher.watching.schedule import Scheduler
from tests.support.waiting import wait_for

MUSIC = Library(1, "music", "production", b"/m")
STAT = FileStat(10, 1, 1, 2, 3)


class Counts(Telemetry):
    """Remembers what was reported."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.suppressed = 0

    def hint_seen(self, kind: str, library: Library) -> None:
        self.kinds.append(kind)

    def debounced(self, count: int = 1) -> None:
        self.suppressed += count


class Desk:
    """A scheduler and the queues that it delivers to. `has_room` False: the workers' queue is full."""

    def __init__(self, window: float = 0.02) -> None:
        self.files: queue.SimpleQueue[Ticket] = queue.SimpleQueue()
        self.folders: queue.SimpleQueue[Ticket] = queue.SimpleQueue()
        self.has_room = True
        self.counts = Counts()
        self.failures: list[BaseException] = []
        self.scheduler = Scheduler(
            lambda _: DebounceTiming(window),
            self.wants,
            self.deliver,
            self.folders.put,
            self.counts,
            lambda _, error: self.failures.append(error),
            goes_first=lambda path, _: path.endswith(b".first"),
        )

    def wants(self, hint: Hint, library: Library) -> bool:
        return not hint.path.endswith(b".part")

    def deliver(self, ticket: Ticket, timeout: float) -> bool:
        has_room = self.has_room or ticket.is_first
        if has_room:
            self.files.put(ticket)
        return has_room

    def hint(self, path: bytes, kind: HintKind = HintKind.CLOSED, *, is_folder: bool = False) -> None:
        self.scheduler.observe(Hint(path, kind, is_folder), MUSIC)

    def ticket(self) -> Ticket:
        return self.files.get(timeout=10)


@contextmanager
def running(window: float = 0.02) -> Iterator[Desk]:
    desk = Desk(window)
    desk.scheduler.start()
    try:
        yield desk
    finally:
        desk.scheduler.close()
        assert desk.scheduler.join(Deadline(5))
    assert desk.failures == []


def test_a_hint_becomes_a_ticket_once_the_window_is_over() -> None:
    with running(window=0.2) as desk:
        before = time.monotonic()
        desk.hint(b"/m/a.mp3", HintKind.CREATED)
        desk.hint(b"/m/a.mp3")
        ticket = desk.ticket()
        assert time.monotonic() - before >= 0.2
        assert (ticket.path, ticket.closed, ticket.library) == (b"/m/a.mp3", True, MUSIC)
        assert desk.scheduler.depth() == 1, "it is dirty until it is done"
        desk.scheduler.done(ticket)
        assert desk.scheduler.depth() == 0
        assert desk.files.empty()


def test_hints_are_counted_once_the_filters_want_them_and_when_they_fall_into_a_window() -> None:
    with running() as desk:
        for name in (b"/m/a.mp3", b"/m/a.mp3", b"/m/b.part"):
            desk.hint(name)
        desk.ticket()
        assert desk.counts.kinds == ["closed", "closed"]
        assert desk.counts.suppressed == 1


def test_a_folder_goes_its_own_way() -> None:
    with running() as desk:
        desk.hint(b"/m/album", is_folder=True)
        assert desk.folders.get(timeout=10).path == b"/m/album"
        assert desk.files.empty()


def test_a_full_queue_is_waited_for_and_loses_nothing() -> None:
    with running() as desk:
        desk.has_room = False
        for number in range(100):
            desk.hint(b"/m/%d.mp3" % number)
        wait_for(lambda: desk.scheduler.depth() == 100, "all hints to be taken in")
        desk.has_room = True
        assert {desk.ticket().path for _ in range(100)} == {b"/m/%d.mp3" % number for number in range(100)}


def test_hints_are_taken_in_while_the_queue_is_full() -> None:
    with running() as desk:
        desk.has_room = False
        desk.hint(b"/m/a.mp3")
        wait_for(lambda: desk.counts.kinds == ["closed"], "the first hint")
        desk.hint(b"/m/b.mp3")
        wait_for(lambda: desk.counts.kinds == ["closed", "closed"], "the second hint")


def test_a_path_that_is_looked_at_again_keeps_what_was_seen() -> None:
    with running() as desk:
        desk.hint(b"/m/a.mp3")
        first = desk.ticket()
        desk.scheduler.again(first, STAT, 0.01)
        second = desk.ticket()
        assert (second.last_stat, second.noticed, second.closed) == (STAT, first.noticed, True)


def test_a_path_may_be_asked_for_without_a_window() -> None:
    with running(window=60) as desk:
        desk.scheduler.look_at(b"/m/a.mp3", MUSIC, Source.SCAN, moved_from=frozenset({b"/m/b.mp3"}))
        ticket = desk.ticket()
        assert (ticket.source, ticket.moved_from) == (Source.SCAN, frozenset({b"/m/b.mp3"}))


def test_an_earlier_due_time_wakes_the_thread() -> None:
    with running(window=60) as desk:
        desk.hint(b"/m/a.mp3")
        wait_for(lambda: desk.scheduler.depth() == 1, "the hint")
        desk.scheduler.look_at(b"/m/b.mp3", MUSIC, Source.SCAN, delay=0.05)
        assert desk.ticket().path == b"/m/b.mp3"


# waiting


def test_waiting_ends_when_everything_from_before_is_done() -> None:
    with running() as desk:
        desk.hint(b"/m/a.mp3")
        now = time.monotonic()
        assert not desk.scheduler.wait_until_decided(now, 30, 0.1)
        ticket = desk.ticket()
        assert not desk.scheduler.wait_until_decided(now, 30, 0.1), "it is in flight"
        later = threading.Timer(0.1, lambda: desk.scheduler.done(ticket))
        later.start()
        assert desk.scheduler.wait_until_decided(now, 30, 10)
        later.join()


def test_what_came_later_is_not_waited_for() -> None:
    with running(window=60) as desk:
        now = time.monotonic()
        desk.hint(b"/m/a.mp3")
        assert desk.scheduler.wait_until_decided(now, 30, 10)
        assert not desk.scheduler.wait_until_decided(time.monotonic(), 30, 0.05)


def test_a_file_that_keeps_growing_is_not_waited_for_beyond_the_patience() -> None:
    with running() as desk:
        desk.hint(b"/m/a.mp3")
        now = time.monotonic()
        desk.scheduler.again(desk.ticket(), STAT, 60)
        assert not desk.scheduler.wait_until_decided(now, 30, 0.05)
        wait_for(
            lambda: desk.scheduler.wait_until_decided(now, 0.1, 0.05), "the patience with the file to end"
        )


def test_a_file_that_waits_for_its_turn_or_is_being_read_is_waited_for_however_long() -> None:
    with running() as desk:
        desk.hint(b"/m/a.mp3")
        desk.hint(b"/m/b.mp3")
        now = time.monotonic()
        desk.ticket(), desk.ticket()
        assert not desk.scheduler.wait_until_decided(now, 0.0, 0.1)


def test_a_file_whose_row_could_not_be_read_is_waited_for_however_long() -> None:
    with running() as desk:
        desk.hint(b"/m/a.mp3")
        now = time.monotonic()
        desk.scheduler.again(desk.ticket(), None, 60)
        assert not desk.scheduler.wait_until_decided(now, 0.0, 0.1)


def test_hints_that_another_thread_is_just_taking_in_are_waited_for() -> None:
    desk = Desk()
    asked, go_on = threading.Event(), threading.Event()

    def slow_wants(hint: Hint, library: Library) -> bool:
        asked.set()
        return go_on.wait(10)

    desk.scheduler = Scheduler(
        lambda _: DebounceTiming(60),
        slow_wants,
        desk.deliver,
        desk.folders.put,
        Telemetry(),
        lambda _, error: desk.failures.append(error),
    )
    desk.scheduler.start()
    try:
        desk.hint(b"/m/a.mp3")
        assert asked.wait(10)
        release = threading.Timer(0.1, go_on.set)
        release.start()
        assert not desk.scheduler.wait_until_decided(time.monotonic(), 30, 0.05)
        release.join()
    finally:
        go_on.set()
        desk.scheduler.close()
        assert desk.scheduler.join(Deadline(5))


def test_many_threads_may_hint_and_wait_at_once() -> None:
    with running() as desk:
        stop = threading.Event()

        def answer() -> None:
            while not stop.is_set():
                try:
                    desk.scheduler.done(desk.files.get(timeout=0.05))
                except queue.Empty:
                    continue

        def hint_and_wait(name: int) -> None:
            for number in range(200):
                desk.hint(b"/m/%d-%d.mp3" % (name, number))
                if not number % 20:
                    desk.scheduler.wait_until_decided(time.monotonic(), 30, 0.001)
            assert desk.scheduler.wait_until_decided(time.monotonic(), 30, 30)
            done.append(name)

        done: list[int] = []
        helper = threading.Thread(target=answer)
        threads = [threading.Thread(target=hint_and_wait, args=(name,)) for name in range(4)]
        for thread in (helper, *threads):
            thread.start()
        for thread in threads:
            thread.join(60)
        stop.set()
        helper.join()
        assert sorted(done) == [0, 1, 2, 3]
        assert len(desk.counts.kinds) == 800


def test_room_is_there_once_fewer_paths_are_dirty() -> None:
    with running() as desk:
        for number in range(3):
            desk.hint(b"/m/%d.mp3" % number)
        tickets = [desk.ticket() for _ in range(3)]
        assert desk.scheduler.wait_for_room(4, 0)
        assert not desk.scheduler.wait_for_room(3, 0.05)
        later = threading.Timer(0.1, lambda: desk.scheduler.done(tickets[0]))
        later.start()
        assert desk.scheduler.wait_for_room(3, 10)
        later.join()


def test_closing_releases_everybody_who_waits() -> None:
    with running() as desk:
        desk.has_room = False
        desk.hint(b"/m/a.mp3")
        wait_for(lambda: desk.scheduler.depth() == 1, "the hint")
        threads = [
            threading.Thread(target=desk.scheduler.wait_for_room, args=(0, 60)),
            threading.Thread(target=desk.scheduler.wait_until_decided, args=(time.monotonic(), 60, 60)),
        ]
        for thread in threads:
            thread.start()
        desk.scheduler.close()
        desk.scheduler.close()
        for thread in threads:
            thread.join(5)
            assert not thread.is_alive()


def test_a_filter_that_fails_is_reported() -> None:
    desk = Desk()
    broken = ValueError("no such pattern")

    def raise_it(hint: Hint, library: Library) -> bool:
        raise broken

    desk.scheduler = Scheduler(
        lambda _: DebounceTiming(0),
        raise_it,
        desk.deliver,
        desk.folders.put,
        Telemetry(),
        lambda _, error: desk.failures.append(error),
    )
    desk.scheduler.start()
    desk.hint(b"/m/a.mp3")
    wait_for(lambda: desk.failures, "the report")
    assert desk.failures == [broken]
    desk.scheduler.close()
    assert desk.scheduler.join(Deadline(5))


@pytest.mark.parametrize("growing", [True, False])
def test_a_file_that_stays_open_is_looked_at_in_the_background(growing: bool) -> None:
    with running() as desk:
        desk.hint(b"/m/a.mp3")
        desk.scheduler.done(desk.ticket(), look_again_after=0.02, growing=growing)
        assert desk.scheduler.depth() == 0, "what it was is told"
        ticket = desk.ticket()
        assert ticket.source is Source.RECHECK
        assert (ticket.told_growing is not None) is growing


def test_what_goes_first_is_delivered_while_others_wait_for_room() -> None:
    with running() as desk:
        desk.has_room = False
        for number in range(200):
            desk.hint(b"/m/%d.mp3" % number)
        wait_for(lambda: desk.scheduler.depth() == 200, "the others")
        desk.hint(b"/m/a.first")
        assert desk.ticket().path == b"/m/a.first"
        assert desk.files.empty()
        desk.has_room = True
        assert len({desk.ticket().path for _ in range(200)}) == 200
