"""How many workers are at files at once: all of them, or a single one while files are small and at hand.

Examining a small file that lies in memory takes some 50 microseconds with a dozen system calls, each of which gives
the interpreter's lock away. Several threads that do so mostly wake each other: measured, one thread examines 4,400
such files a second and leaves a third of the processor to others, four examine 3,300. Where a file is large, or its
disk lets one wait, it is the other way round. So it is tried out, again and again.

Pure: takes the time as an argument, owns no thread; its caller sees to it that one call comes after the other.
"""

from __future__ import annotations

from typing import Final

_LARGE_BYTES: Final = 1 << 16
"""64 KiB: from here on both hashes are computed without the interpreter's lock, so that others get on meanwhile."""
_QUICK_SECONDS: Final = 0.0003
"""A small file at hand takes a sixth of that, but ten times as much where the decider has the interpreter's lock."""
_NONE_QUICK: Final = 16
"""So many in a row, none of them quick, are not at hand."""
_TRY_AGAIN_SECONDS: Final = 2.0
STUCK_SECONDS: Final = 0.05
"""A single worker that has been at a file for so long is not waited for."""


class Parallelism:
    """Says whether one more worker may begin a file."""

    def __init__(self) -> None:
        self._active = 0
        self._is_alone = True
        self._since = 0.0
        """When working alone began."""
        self._last_begun = 0.0
        self._since_quick = 0
        self._try_again_at = 0.0

    @property
    def is_alone(self) -> bool:
        """Whether a single worker is to be at files."""
        return self._is_alone

    def may_begin(self, now: float) -> bool:
        """Whether one more worker may begin a file now. A single one that is stuck ends working alone."""
        if self._is_alone and self._active and now - self._last_begun >= STUCK_SECONDS:
            self._work_together(now)
        return not self._is_alone or not self._active

    def begin(self, now: float) -> None:
        """A worker begins a file."""
        self._active += 1
        self._last_begun = now

    def end(self, began: float, now: float, bytes_read: int) -> None:
        """A worker is done with the file that it began at that time."""
        self._active -= 1
        if not self._is_alone:
            if now >= self._try_again_at:
                self._is_alone, self._since = True, now
                self._since_quick = 0
            return
        if began < self._since:  # others were at files at the same time, or may have been
            return
        self._since_quick = 0 if now - began < _QUICK_SECONDS else self._since_quick + 1
        if bytes_read >= _LARGE_BYTES or self._since_quick >= _NONE_QUICK:
            self._work_together(now)

    def _work_together(self, now: float) -> None:
        self._is_alone, self._try_again_at = False, now + _TRY_AGAIN_SECONDS
