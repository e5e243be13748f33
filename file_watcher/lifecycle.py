"""How the parts of the service start and stop.

A stage is started once, asked to close (never blocks, may be asked twice) and joined against a
deadline that all stages share, so that the whole service stops in a bounded time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

import structlog

log = structlog.get_logger(__name__)


class Deadline:
    """A moment on the monotonic clock that several waits share."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._at - time.monotonic())


class Stage(Protocol):
    """One part of the pipeline that owns threads."""

    def start(self) -> None:
        """Start the threads. Called once."""

    def close(self) -> None:
        """Ask for the end. Never blocks; a second call does nothing."""

    def join(self, deadline: Deadline) -> bool:
        """Wait for the end; False where a thread was still running at the deadline."""


FailureReport = Callable[[str, BaseException], None]
"""Called with a thread's name and the exception that escaped it."""


def spawn(name: str, target: Callable[[], None], on_failure: FailureReport) -> threading.Thread:
    """Start a named daemon thread whose escaped exception is logged and reported, never silent.

    The thread is a daemon so that a read that hangs in the kernel cannot keep the process alive.
    """

    def guarded() -> None:
        try:
            target()
        except BaseException as exc:
            log.exception("thread_died", thread=name)
            on_failure(name, exc)

    thread = threading.Thread(target=guarded, name=name, daemon=True)
    thread.start()
    return thread


def join_all(threads: list[threading.Thread], deadline: Deadline) -> bool:
    """Join every thread within the shared deadline; False where one is still alive."""
    for thread in threads:
        thread.join(deadline.remaining())
    return not any(thread.is_alive() for thread in threads)
