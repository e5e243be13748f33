"""The barrier: everything that happened before the call is confirmed when it returns."""

from __future__ import annotations

import threading

import pytest

from file_watcher import barrier as barrier_module
from file_watcher.model import Source
from tests.support.stages import MUSIC, StubStages
from tests.support.waiting import wait_for

NEVER = threading.Event().is_set


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(barrier_module, "_WAIT_SECONDS", 0.05)


def test_the_barrier_asks_from_the_disk_to_the_broker() -> None:
    world = StubStages()
    assert world.barrier().wait(NEVER) == 42
    assert world.asked == ["steered 7", "obeyed", "drained", "scanned", "decided", "sequence", "published 42"]


@pytest.mark.parametrize(
    ("attribute", "before", "after"),
    [
        ("steered", False, True),
        ("obedient", False, True),
        ("scanned", False, True),
        ("decided", False, True),
        ("held", True, False),
        ("undecided_after_all", True, False),
        ("published", False, True),
    ],
)
def test_the_barrier_waits_for_every_stage(attribute: str, before: object, after: object) -> None:
    world = StubStages()
    setattr(world, attribute, before)
    result: list[int | None] = []
    waiting = threading.Thread(target=lambda: result.append(world.barrier().wait(NEVER)))
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    setattr(world, attribute, after)
    waiting.join(5)
    assert result == [42]


@pytest.mark.parametrize(
    ("attribute", "stuck"),
    [
        ("steered", False),
        ("obedient", False),
        ("scanned", False),
        ("decided", False),
        ("held", True),
        ("published", False),
    ],
)
def test_the_barrier_gives_up_when_the_service_stops(attribute: str, stuck: object) -> None:
    world = StubStages()
    setattr(world, attribute, stuck)
    stop = threading.Event()
    later = threading.Timer(0.1, stop.set)
    later.start()
    assert world.barrier().wait(stop.is_set) is None
    later.join()


def test_where_hints_cannot_tell_the_barrier_has_the_library_scanned_before_all_else() -> None:
    world = StubStages()
    world.undrained = [MUSIC]
    result: list[int | None] = []
    waiting = threading.Thread(target=lambda: result.append(world.barrier().wait(NEVER)))
    waiting.start()
    wait_for(lambda: world.jobs, "the scan")
    assert [(job.library, job.source) for job in world.jobs] == [(MUSIC, Source.SCAN)]
    waiting.join(0.2)
    assert "decided" not in world.asked
    world.jobs[0].finished.set()
    waiting.join(5)
    assert result == [42]
