"""The queue between the scheduler and the workers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from file_watcher.model import Library, Source, Ticket
from file_watcher.processing.ticket_queue import TicketQueue
from tests.support.waiting import wait_for

LIBRARY = Library(1, "music", "production", b"/lib")


def ticket(number: int) -> Ticket:
    return Ticket(
        path=b"/lib/%d" % number,
        library=LIBRARY,
        is_folder=False,
        closed=False,
        must_hash=False,
        moved_from=frozenset(),
        source=Source.KERNEL,
        noticed=0.0,
        changed_ns=0,
        waited_since=0.0,
        last_stat=None,
        still_since=0.0,
        told_growing=None,
    )


def take(tickets: TicketQueue) -> Ticket | None:
    """Take a ticket, and be done with it at once."""
    taken = tickets.get(0.0)
    if taken is not None:
        tickets.done(time.monotonic(), 0)
    return taken


def run(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_tickets_come_out_in_their_order() -> None:
    tickets = TicketQueue(4)
    for number in range(3):
        assert tickets.put(ticket(number), 0.0)
    assert len(tickets) == 3
    assert [tickets.get(0.0) for _ in range(3)] == [ticket(number) for number in range(3)]


def test_what_is_put_back_comes_before_the_others_of_its_lane_even_where_that_is_full() -> None:
    tickets = TicketQueue(2)
    first = replace(ticket(9), is_first=True)
    for each in (ticket(1), ticket(2), first):
        assert tickets.put(each, 0.0)
    tickets.put_back(ticket(0))
    assert [tickets.get(0.0) for _ in range(4)] == [first, ticket(0), ticket(1), ticket(2)]
    tickets.put(first, 0.0)
    tickets.put_back(replace(ticket(8), is_first=True))
    assert [tickets.get(0.0) for _ in range(2)] == [replace(ticket(8), is_first=True), first]


def test_who_waits_is_woken_by_what_is_put_back() -> None:
    tickets = TicketQueue(2)
    taken: list[Ticket | None] = []
    waiting = run(lambda: taken.append(tickets.get(30.0)))
    wait_for(lambda: tickets._idle, "somebody to wait")
    tickets.put_back(ticket(0))
    waiting.join(10)
    assert taken == [ticket(0)]


def test_it_is_left_to_one_until_a_large_file_was_read() -> None:
    tickets = TicketQueue(4)
    tickets.put(ticket(0), 0.0)
    assert tickets.is_left_to_one
    began = time.monotonic()
    tickets.get(0.0)
    tickets.done(began, 1 << 20)
    assert not tickets.is_left_to_one


def test_an_empty_queue_gives_nothing() -> None:
    assert TicketQueue(4).get(0.01) is None


def test_a_full_queue_takes_nothing() -> None:
    tickets = TicketQueue(1)
    assert tickets.put(ticket(1), 0.0)
    assert not tickets.put(ticket(2), 0.01)
    assert len(tickets) == 1


def test_a_queue_of_one_passes_on_what_a_blocked_producer_has() -> None:
    tickets = TicketQueue(1)
    tickets.put(ticket(1), 0.0)
    producer = run(lambda: tickets.put(ticket(2), 30.0))
    taken = [wait_for(lambda: tickets.get(0.05), "a ticket") for _ in range(2)]
    producer.join()
    assert taken == [ticket(1), ticket(2)]


def test_a_worker_that_waits_is_woken_by_a_ticket() -> None:
    tickets = TicketQueue(4)
    taken: list[Ticket | None] = []
    workers = [run(lambda: taken.append(tickets.get(30.0))) for _ in range(3)]
    wait_for(lambda: tickets._idle == 3, "the workers to wait")
    for number in range(3):
        tickets.put(ticket(number), 0.0)
    for worker in workers:
        worker.join()
    assert sorted(each.path for each in taken if each) == [b"/lib/0", b"/lib/1", b"/lib/2"]


def test_many_producers_and_workers_lose_nothing() -> None:
    tickets = TicketQueue(8)
    taken: list[bytes] = []

    def produce(first: int) -> None:
        for number in range(first, first + 500):
            while not tickets.put(ticket(number), 1.0):
                pass

    def work() -> None:
        while (each := tickets.get(2.0)) is not None:
            taken.append(each.path)

    threads = [run(lambda first=first: produce(first)) for first in (0, 500)]  # type: ignore[misc]
    threads += [run(work) for _ in range(3)]
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(b"/lib/%d" % number for number in range(1000))


def first(number: int) -> Ticket:
    return replace(ticket(number), is_first=True)


def test_what_goes_first_overtakes_and_the_others_keep_their_share() -> None:
    lanes = TicketQueue(100)
    for number in range(4):
        lanes.put(ticket(number), 0.0)
    for number in range(8):
        lanes.put(first(number), 0.0)
    taken = [take(lanes) for _ in range(len(lanes))]
    kinds = "".join("F" if each is not None and each.is_first else "o" for each in taken)
    assert kinds == "FFFoFFFoFFoo"
    assert lanes.get(0.0) is None


def test_a_queue_full_of_others_has_room_for_what_goes_first() -> None:
    lanes = TicketQueue(1)
    assert lanes.put(ticket(1), 0.0)
    assert not lanes.put(ticket(2), 0.0)
    assert lanes.put(first(3), 0.0)
    assert not lanes.put(first(4), 0.0)


def test_a_steady_stream_of_what_goes_first_leaves_every_fourth_turn_to_the_others() -> None:
    lanes = TicketQueue(100)
    for number in range(25):
        lanes.put(ticket(number), 0.0)
    others = 0
    for number in range(100):
        assert lanes.put(first(number), 0.0)
        taken = take(lanes)
        assert taken is not None
        others += not taken.is_first
    assert others == 25


# -- another size --------------------------------------------------------------------------------------


def test_a_larger_queue_lets_in_who_found_it_full() -> None:
    tickets = TicketQueue(1)
    tickets.put(ticket(1), 0.0)
    producer = run(lambda: tickets.put(ticket(2), 30.0))
    wait_for(lambda: tickets._has_room._waiters, "the producer to wait")  # type: ignore[attr-defined]
    tickets.resize(4)
    producer.join(10)
    assert len(tickets) == 2


def test_a_smaller_queue_keeps_what_it_holds_and_takes_nothing_before_there_is_room() -> None:
    tickets = TicketQueue(4)
    for number in range(4):
        tickets.put(ticket(number), 0.0)
    tickets.resize(2)
    for number in range(3):
        assert not tickets.put(ticket(9), 0.0)
        assert tickets.get(0.0) == ticket(number)
    assert tickets.put(ticket(9), 0.0)


def test_who_waits_for_a_ticket_can_be_sent_away() -> None:
    tickets = TicketQueue(4)
    taken: list[Ticket | None] = []
    worker = run(lambda: taken.append(tickets.get(30.0)))
    wait_for(lambda: tickets._idle == 1, "the worker to wait")
    tickets.call_off()
    worker.join(10)
    assert taken == [None]
    tickets.put(ticket(1), 0.0)
    assert tickets.get(0.0) == ticket(1), "it was those who waited then"


def test_of_many_small_files_each_goes_to_whoever_did_the_last() -> None:
    tickets, taken, others = TicketQueue(100), [], []
    for number in range(50):
        tickets.put(ticket(number), 0.0)
    first = tickets.get(0.0)
    other = run(lambda: others.append(tickets.get(0.01)))
    other.join()
    assert others == [None], "one is at it already"
    while first is not None and len(tickets) > 10:
        taken.append(first)
        tickets.done(time.monotonic(), 100)
        first = tickets.get(0.0)
    assert taken == [ticket(number) for number in range(39)]


def test_the_last_few_go_to_whoever_is_free() -> None:
    tickets = TicketQueue(100)
    for number in range(4):
        tickets.put(ticket(number), 0.0)
    assert [tickets.get(0.0) for _ in range(4)] == [ticket(number) for number in range(4)]


def test_a_large_file_calls_the_others() -> None:
    tickets, others = TicketQueue(100), list[Ticket | None]()
    for number in range(50):
        tickets.put(ticket(number), 0.0)
    assert tickets.get(0.0) is not None
    waiting = [run(lambda: others.append(tickets.get(30.0))) for _ in range(3)]
    tickets.done(time.monotonic(), 1 << 20)
    for thread in waiting:
        thread.join(10)
    assert sorted(each.path for each in others if each) == [b"/lib/1", b"/lib/2", b"/lib/3"]


def test_who_is_stuck_at_a_file_holds_up_nobody() -> None:
    tickets, others = TicketQueue(100), list[Ticket | None]()
    for number in range(50):
        tickets.put(ticket(number), 0.0)
    assert tickets.get(0.0) == ticket(0)
    waiting = [run(lambda: others.append(tickets.get(30.0))) for _ in range(3)]
    for thread in waiting:
        thread.join(10)
    assert len(others) == 3
