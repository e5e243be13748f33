"""Whether small files are at hand, so that a few children read them as fast as they can be hashed.

Where a disk lets one wait (a cold one that turns, one behind a network), it is better asked by all workers at once.
So what the children's readings took is watched, and while it is much more than hashing takes they get none; now and
then it is tried again. Pure: takes the time as an argument. One thread notes at a time; any may ask.
"""

from __future__ import annotations

from typing import Final

_SLOW_SECONDS: Final = 0.005
_SLOW_BYTES_PER_SECOND: Final = 200e6
"""Hashing alone takes a fifth of that or less."""
_SLOW_IN_A_ROW: Final = 8
"""So many are no accident of a busy machine."""
_FIRST_PAUSE: Final = 2.0
_LONGEST_PAUSE: Final = 60.0


class Pace:
    """Judges by the last readings."""

    def __init__(self) -> None:
        self._slow = 0
        self._pause = _FIRST_PAUSE
        self._try_again_at = float("-inf")

    def is_at_hand(self, now: float) -> bool:
        """Whether children are to read small files."""
        return now >= self._try_again_at

    def note(self, size: int, seconds: float, now: float) -> None:
        """A child read and hashed so many bytes in so many seconds."""
        if seconds < _SLOW_SECONDS + size / _SLOW_BYTES_PER_SECOND:
            self._slow, self._pause = 0, _FIRST_PAUSE
            return
        self._slow += 1
        if self._slow >= _SLOW_IN_A_ROW and self.is_at_hand(now):
            self._slow = 0
            self._try_again_at = now + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
