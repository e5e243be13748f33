"""A limit on the rate at which files are read, for hosts whose disks also serve others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class ReadLimit:
    """Spreads reads so that all threads together read at most `bytes_per_second`.

    Each call books the time that its bytes may take behind what is booked already, and waits for its turn;
    `wait(seconds)` is what it waits with, so that a stop can end it.
    """

    def __init__(self, bytes_per_second: float, wait: Callable[[float], object]) -> None:
        self._seconds_per_byte = 1.0 / bytes_per_second
        self._wait = wait
        self._lock = threading.Lock()
        self._booked_until = 0.0

    def __call__(self, size: int) -> None:
        """Account for `size` bytes just read; blocks while the limit is exceeded."""
        now = time.monotonic()
        with self._lock:
            self._booked_until = max(self._booked_until, now) + size * self._seconds_per_byte
            excess = self._booked_until - now
        if excess > 0:
            self._wait(excess)
