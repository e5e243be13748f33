"""Places for files in hand, more or fewer of them while they are used."""

from __future__ import annotations

import threading

from file_watcher.processing.slots import Slots


def test_no_more_are_taken_than_there_are() -> None:
    slots = Slots(2)
    assert slots.acquire(0.0)
    assert slots.acquire(0.0)
    assert not slots.acquire(0.01)
    slots.release()
    assert slots.acquire(0.0)


def test_more_places_let_in_who_waits() -> None:
    slots = Slots(1)
    slots.acquire(0.0)
    got: list[bool] = []
    threads = [threading.Thread(target=lambda: got.append(slots.acquire(30.0))) for _ in range(2)]
    for thread in threads:
        thread.start()
    slots.resize(3)
    for thread in threads:
        thread.join(10)
    assert got == [True, True]
    assert not slots.acquire(0.0)


def test_with_fewer_places_none_is_free_until_so_many_were_given_back() -> None:
    slots = Slots(3)
    for _ in range(3):
        slots.acquire(0.0)
    slots.resize(1)
    for _ in range(2):
        slots.release()
        assert not slots.acquire(0.0)
    slots.release()
    assert slots.acquire(0.0)
