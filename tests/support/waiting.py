"""Waiting for a thing instead of sleeping for a guess."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_PAUSE = threading.Event()  # never set: a pause that no test can cut short


def wait_for(condition: Callable[[], T], what: str, timeout: float = 10.0, every: float = 0.02) -> T:
    """Call `condition` until it returns something true, and return that.

    Blocks for at most `timeout` seconds (one more look is taken after the last pause), then raises
    AssertionError that says `what` did not happen. An exception in `condition` ends the wait at once.
    """
    end = time.monotonic() + timeout
    while True:
        last_look = time.monotonic() >= end
        if value := condition():
            return value
        if last_look:
            raise AssertionError(f"waited {timeout:g} s in vain for {what}")
        _PAUSE.wait(every)
