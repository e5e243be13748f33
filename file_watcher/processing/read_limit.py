"""A limit on the rate at which files are read, for hosts whose disks also serve others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

_LOOK_SECONDS: Final = 0.5
"""How long one wait lasts before it is asked whether another rate holds by now."""


class ReadLimit:
    """Spreads reads so that all threads together read at most `bytes_per_second`; None: as fast as they can.

    Each call books the time that its bytes may take behind what is booked already, and waits for its turn;
    `wait(seconds)` is what it waits with, so that a stop can end it: it returns True then.
    """

    def __init__(self, bytes_per_second: float | None, wait: Callable[[float], object]) -> None:
        self._bytes_per_second = bytes_per_second
        self._wait = wait
        self._lock = threading.Lock()
        self._booked_until = 0.0
        self._rates = 0
        """How many rates there were."""

    def set_rate(self, bytes_per_second: float | None) -> None:
        """Hold this rate from now on. What was booked by the one before is forgotten. Never blocks."""
        with self._lock:
            if bytes_per_second == self._bytes_per_second:
                return
            self._bytes_per_second = bytes_per_second
            self._booked_until = 0.0
            self._rates += 1

    def __call__(self, size: int) -> None:
        """Account for `size` bytes just read, or about to be; blocks while the limit is exceeded."""
        now = time.monotonic()
        with self._lock:
            if self._bytes_per_second is None:
                return
            self._booked_until = max(self._booked_until, now) + size / self._bytes_per_second
            excess, rates = self._booked_until - now, self._rates
        while excess > 0 and self._rates == rates and not self._wait(min(excess, _LOOK_SECONDS)):
            excess -= _LOOK_SECONDS
