from __future__ import annotations

import threading
import time

import pytest
from structlog.testing import capture_logs

from file_watcher.lifecycle import Deadline, join_all, spawn

ENOUGH = 10.0


def no_failure(name: str, error: BaseException) -> None:
    raise AssertionError(f"{name} failed") from error


def wait_for_end(release: threading.Event) -> None:
    release.wait(ENOUGH)


# -- deadlines -----------------------------------------------------------------------------------------


def test_a_deadline_counts_down_to_zero_and_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    deadline = Deadline(5.0)
    assert deadline.remaining() == 5.0
    now = 1004.0
    assert deadline.remaining() == 1.0
    now = 1005.5
    assert deadline.remaining() == 0.0


# -- threads -------------------------------------------------------------------------------------------


def test_a_thread_is_named_and_cannot_keep_the_process_alive() -> None:
    seen: list[threading.Thread] = []
    thread = spawn("fw-test", lambda: seen.append(threading.current_thread()), no_failure)
    thread.join(ENOUGH)
    assert seen == [thread]
    assert (thread.name, thread.daemon) == ("fw-test", True)


def test_a_thread_that_ends_is_not_reported() -> None:
    reports: list[str] = []
    with capture_logs() as logs:
        spawn("fw-test", lambda: None, lambda name, error: reports.append(name)).join(ENOUGH)
    assert (reports, logs) == ([], [])


@pytest.mark.parametrize("error", [ValueError("surprise"), SystemExit(3), KeyboardInterrupt()])
def test_whatever_escapes_a_thread_is_logged_and_reported(error: BaseException) -> None:
    reports: list[tuple[str, BaseException]] = []

    def fail() -> None:
        raise error

    with capture_logs() as logs:
        thread = spawn("fw-test", fail, lambda name, escaped: reports.append((name, escaped)))
        thread.join(ENOUGH)
    assert reports == [("fw-test", error)]
    assert [(each["event"], each["thread"], each["log_level"]) for each in logs] == [
        ("thread_died", "fw-test", "error")
    ]


# -- joining -------------------------------------------------------------------------------------------


def test_threads_that_have_ended_are_joined_at_once() -> None:
    threads = [spawn(f"fw-test-{number}", lambda: None, no_failure) for number in range(3)]
    assert join_all(threads, Deadline(ENOUGH))
    assert not any(thread.is_alive() for thread in threads)
    assert join_all([], Deadline(0.0))


def test_all_threads_are_waited_for() -> None:
    release = threading.Event()
    first = spawn("fw-test-1", lambda: None, no_failure)
    second = spawn("fw-test-2", lambda: wait_for_end(release), no_failure)
    timer = threading.Timer(0.05, release.set)
    timer.start()
    assert join_all([first, second], Deadline(ENOUGH))
    assert release.is_set()
    timer.join(ENOUGH)


def test_several_threads_share_one_deadline_and_the_late_ones_are_told() -> None:
    release = threading.Event()
    threads = [spawn(f"fw-test-{number}", lambda: wait_for_end(release), no_failure) for number in range(3)]
    ended = spawn("fw-test-ended", lambda: None, no_failure)
    try:
        deadline = Deadline(0.1)
        assert not join_all([*threads, ended], deadline)
        assert deadline.remaining() == 0.0
        assert not join_all(threads[:1], deadline), "a deadline that is over waits for nobody"
    finally:
        release.set()
        assert join_all([*threads, ended], Deadline(ENOUGH))
