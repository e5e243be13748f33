"""What a scan finds that the catalog does not know: gathered, so that catalog and scheduler are asked once for many.

No thread: the scan's own, which may be made to wait by both.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

_MOST: Final = 256


class NewFiles:
    """Tells apart files that nobody knows from those that may have moved, and hints at both.

    Whoever may block for long before the next one is found flushes first.
    """

    def __init__(
        self,
        wait_for_room: Callable[[], int],
        recorded: Callable[[Collection[int]], Collection[int]],
        hint: Callable[[Sequence[tuple[bytes, bool]]], None],
    ) -> None:
        """`wait_for_room()` says how many may be hinted at together, at least one; `recorded(inodes)`: those that
        have a row anywhere; `hint` gets each path with whether no row can be of its file."""
        self._wait_for_room = wait_for_room
        self._recorded = recorded
        self._hint = hint
        self._found: list[tuple[bytes, int]] = []

    def add(self, path: bytes, inode: int) -> None:
        """A file was found that has no row at its path."""
        self._found.append((path, inode))
        if len(self._found) >= _MOST:
            self.flush()

    def flush(self) -> None:
        """Hint at what was gathered."""
        found, self._found = self._found, []
        at = 0
        while at < len(found):
            # First, since it may take long: others may have told of a file meanwhile, so that it has a row.
            part = found[at : at + self._wait_for_room()]
            recorded = self._recorded([inode for _, inode in part])
            self._hint([(path, inode not in recorded) for path, inode in part])
            at += len(part)
