"""Places for files in hand: a semaphore whose size may change while it is used. Owns no thread."""

from __future__ import annotations

import threading


class Slots:
    """At most `size` are taken at once; after a `resize` downwards, none is until so many were given back."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._taken = 0
        self._has_room = threading.Condition()

    def acquire(self, timeout: float) -> bool:
        """Take one; False where none was free for so many seconds."""
        with self._has_room:
            if self._taken >= self._size and not self._has_room.wait_for(
                lambda: self._taken < self._size, timeout
            ):
                return False
            self._taken += 1
            return True

    def release(self) -> None:
        """Give one back."""
        with self._has_room:
            self._taken -= 1
            self._has_room.notify()

    def resize(self, size: int) -> None:
        """Let so many be taken from now on."""
        with self._has_room:
            self._size = size
            self._has_room.notify_all()
