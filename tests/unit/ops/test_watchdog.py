from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from structlog.testing import capture_logs

from file_watcher.lifecycle import Deadline
from file_watcher.ops.metrics import Metrics
from file_watcher.ops.watchdog import Vigil, Watchdog, stacks
from file_watcher.pulse import Progress, Pulse
from tests.support.waiting import wait_for

STILL = Progress("fw-decide", 7, "decides on 3 files")


def looks(vigil: Vigil, progress: Progress, until: int, since: int = 0) -> list[str]:
    """One look a second; returns when a stage was found stuck, and when moving again."""
    found = []
    for second in range(since, until):
        verdict = vigil.look([progress], second)
        found += [f"stuck at {second}" for _ in verdict.stuck]
        found += [f"moves at {second}" for _ in verdict.moving]
    return found


def test_a_stage_with_work_and_without_progress_is_stuck_once() -> None:
    assert looks(Vigil(10, 2), STILL, 40) == ["stuck at 10"]


def test_a_stage_without_work_is_never_stuck() -> None:
    assert looks(Vigil(10, 2), Progress("fw-decide", 7, None), 40) == []


def test_a_stage_that_gets_on_is_never_stuck() -> None:
    vigil = Vigil(10, 2)
    for second in range(100):
        assert vigil.look([Progress("fw-decide", second // 9, "decides")], second).stuck == []


def test_a_stage_may_be_granted_more_patience() -> None:
    assert looks(Vigil(10, 2), Progress("fw-decide", 7, "decides", patience=3), 60) == ["stuck at 30"]


def test_a_stage_that_moves_again_is_told_and_may_be_stuck_once_more() -> None:
    vigil = Vigil(10, 2)
    looks(vigil, STILL, 20)

    assert looks(vigil, Progress("fw-decide", 8, "decides"), 40, 20) == ["moves at 20", "stuck at 30"]
    assert looks(vigil, Progress("fw-decide", 8, None), 50, 40) == ["moves at 40"]


def test_time_in_which_the_whole_process_stood_still_is_nobodys_fault() -> None:
    vigil = Vigil(10, 2)
    assert looks(vigil, STILL, 5) == []

    assert vigil.look([STILL], 3_600).stuck == []
    assert looks(vigil, STILL, 3_620, 3_601) == ["stuck at 3604"]


@contextmanager
def watched(pulse: Pulse, metrics: Metrics) -> Iterator[Watchdog]:
    watchdog = Watchdog([pulse.look], metrics, lambda name, error: None, limit=0.2)
    watchdog.start()
    try:
        yield watchdog
    finally:
        watchdog.close()
        watchdog.close()
        assert watchdog.join(Deadline(5))


def test_a_stuck_stage_fails_the_health_and_is_logged_with_the_stacks_until_it_moves() -> None:
    pulse, metrics = Pulse("fw-hash-2"), Metrics()
    pulse.at("examines", b"/music/hangs.mp3")
    with capture_logs() as logs, watched(pulse, metrics) as watchdog:
        assert watchdog.health().ok
        wait_for(lambda: not watchdog.health().ok, "the hang to be noticed")
        health = watchdog.health()
        assert "fw-hash-2" in health.detail
        assert "examines /music/hangs.mp3" in health.detail
        assert "fw-hash-2" in health.facts["stuck_seconds"]

        pulse.step()
        wait_for(lambda: watchdog.health().ok, "the move to be noticed")

    assert [each["event"] for each in logs] == ["stage_stuck", "stage_moves_again"]
    assert logs[0]["waits"] == "examines /music/hangs.mp3"
    assert "fw-watchdog: " in logs[0]["stacks"]
    assert metrics.registry.get_sample_value("watcher_stage_stuck_total", {"stage": "fw-hash-2"}) == 1


def test_a_stuck_stage_that_is_not_vital_is_told_and_the_health_stays_well() -> None:
    pulse, metrics = Pulse("fw-journal", is_vital=False), Metrics()
    pulse.at("writes lines")
    with capture_logs() as logs, watched(pulse, metrics) as watchdog:
        wait_for(lambda: "fw-journal" in watchdog.health().detail, "the hang to be noticed")
        assert watchdog.health().ok
        assert "fw-journal" in watchdog.health().facts["stuck_seconds"]
        assert "all else goes on" in watchdog.health().detail
    assert [(each["event"], each["effect"]) for each in logs] == [
        ("stage_stuck", "all else goes on, and /healthz stays well")
    ]


def test_the_stacks_name_the_place_where_each_thread_waits() -> None:
    release = threading.Event()

    def wait_here() -> None:
        release.wait(10)

    thread = threading.Thread(target=wait_here, name="fw-sleeper")
    thread.start()
    try:
        (line,) = [each for each in stacks().splitlines() if each.startswith("fw-sleeper: ")]
    finally:
        release.set()
        thread.join()

    assert "test_watchdog.py:" in line
    assert "wait_here" in line


def test_a_stage_that_was_stuck_and_ended_since_has_moved_again() -> None:
    """Workers come and go; one that hung and then ended must not fail the health for ever."""
    vigil = Vigil(10, 2)
    looks(vigil, STILL, 20)
    assert vigil.look([], 20).moving == ["fw-decide"]
    assert vigil.look([], 21).moving == []
    assert looks(vigil, STILL, 40, 22) == ["stuck at 31"]


def test_threads_whose_number_changes_are_watched_as_a_group() -> None:
    pulse, metrics, members = Pulse("fw-hash-7"), Metrics(), [Progress("fw-hash-1", 1, None)]
    watchdog = Watchdog([], metrics, lambda name, error: None, 0.2, [lambda: members])
    watchdog.start()
    try:
        pulse.at("examines", b"/music/hangs.mp3")
        members.append(pulse.look())
        wait_for(lambda: not watchdog.health().ok, "the hang to be noticed")
        members.pop()
        wait_for(lambda: watchdog.health().ok, "the end of the thread to be noticed")
    finally:
        watchdog.close()
        assert watchdog.join(Deadline(5))
