from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from file_watcher.embedding.handover import Handover, Parcel
from file_watcher.model import OutboxMessage
from tests.support.parcels import parcel


class Confirms:
    """What was confirmed, by sequence."""

    def __init__(self) -> None:
        self.sequences: list[int] = []

    def __call__(self, messages: Sequence[OutboxMessage]) -> None:
        self.sequences += [message.sequence for message in messages]


@pytest.fixture
def confirms() -> Confirms:
    return Confirms()


@pytest.fixture
def handover(confirms: Confirms) -> Handover:
    handover = Handover()
    handover.attach(confirms)
    return handover


def taken(handover: Handover, handled: Parcel | None = None) -> Parcel:
    got = handover.take(handled, 10.0)
    assert got is not None
    return got


def test_events_are_taken_in_order_and_confirmed_when_the_next_is_asked_for(
    handover: Handover, confirms: Confirms
) -> None:
    handover.put([parcel(1), parcel(2)])
    first = taken(handover)
    assert (first.message.sequence, confirms.sequences) == (1, [])
    second = taken(handover, first)
    assert (second.message.sequence, confirms.sequences) == (2, [1])
    assert handover.take(second, 0) is None
    assert confirms.sequences == [1, 2]


def test_what_a_given_up_iteration_had_in_hand_is_confirmed_when_anybody_asks(
    handover: Handover, confirms: Confirms
) -> None:
    handover.put([parcel(1)])
    handover.leave(taken(handover))
    assert confirms.sequences == []
    assert handover.take(None, 0) is None
    assert confirms.sequences == [1]


def test_who_waits_gets_what_comes(handover: Handover) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(handover.take, None, 30.0)
        handover.put([parcel(1)])
        got = waiting.result(timeout=10)
    assert got is not None
    assert got.message.sequence == 1


def test_the_end_wakes_all_who_wait_and_what_is_left_is_for_nobody(
    handover: Handover, confirms: Confirms
) -> None:
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(handover.take, None, None) for _ in range(3)]
        handover.end()
        assert [each.result(timeout=10) for each in waiting] == [None, None, None]
    handover.put([parcel(1)])
    assert handover.take(None, None) is None
    assert confirms.sequences == []


def test_a_new_core_puts_nothing_twice(handover: Handover, confirms: Confirms) -> None:
    handover.put([parcel(1), parcel(2), parcel(3)])
    second = taken(handover, taken(handover))
    anew = Confirms()
    handover.attach(anew)
    # The outbox still holds 1 (its confirm was not recorded yet) and 2 (in hand).
    handover.put([parcel(1), parcel(2), parcel(3)])
    assert (confirms.sequences, anew.sequences) == ([1], [1])
    third = taken(handover, second)
    assert (third.message.sequence, anew.sequences) == (3, [1, 2])
    assert handover.take(third, 0) is None


def test_what_the_outbox_has_recorded_need_not_be_remembered(handover: Handover) -> None:
    handover.put([parcel(1)])
    first = taken(handover)
    handover.take(first, 0)
    handover.settled(first.message)
    handover.put([parcel(1)])
    assert taken(handover).message.sequence == 1


def test_what_is_taken_is_counted_by_kind(handover: Handover) -> None:
    handover.put([parcel(1), parcel(2, kind="deleted"), parcel(3)])
    last = taken(handover, taken(handover, taken(handover)))
    assert handover.taken() == {"created": 2, "deleted": 1}
    assert last.event.kind == "created"


def test_many_takers_get_each_event_once(handover: Handover, confirms: Confirms) -> None:
    seen: list[int] = []
    lock = threading.Lock()

    def work() -> None:
        mine: Parcel | None = None
        while (mine := handover.take(mine, 10.0)) is not None:
            with lock:
                seen.append(mine.message.sequence)
                if len(seen) == 500:
                    handover.end()

    with ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(work) for _ in range(4)]
        for start in range(1, 501, 10):
            handover.put([parcel(number) for number in range(start, start + 10)])
        for each in workers:
            each.result(timeout=30)
    assert sorted(seen) == list(range(1, 501))
    assert len(confirms.sequences) == len(set(confirms.sequences))
