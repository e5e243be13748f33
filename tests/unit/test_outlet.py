from __future__ import annotations

import threading

from file_watcher.errors import CatalogUnavailable
from file_watcher.outlet import Backlog


def test_there_is_room_while_few_wait() -> None:
    assert Backlog(lambda: 9, 10).wait_for_room(0)


def test_whoever_would_add_to_too_much_waits_in_vain_for_so_long() -> None:
    assert not Backlog(lambda: 10, 10).wait_for_room(0)
    assert not Backlog(lambda: 11, 10).wait_for_room(0.05)


def test_the_wait_ends_when_there_is_room() -> None:
    waiting = [10]
    asked = threading.Event()

    def count() -> int:
        asked.set()
        return waiting[0]

    made_room = threading.Thread(target=lambda: (asked.wait(10), waiting.__setitem__(0, 0)))
    made_room.start()
    assert Backlog(count, 10).wait_for_room(30)
    made_room.join()


def test_nothing_is_held_up_while_the_program_itself_waits() -> None:
    assert Backlog(lambda: 10, 10, lambda: True).wait_for_room(0)


def test_a_catalog_that_is_away_holds_up_by_itself() -> None:
    def away() -> int:
        raise CatalogUnavailable("away")

    assert Backlog(away, 10).wait_for_room(0)
