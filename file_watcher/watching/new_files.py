"""What a scan finds that the catalog does not know: gathered, so that catalog and scheduler are asked once for many.

No thread: the scan's own, which may be made to wait by both.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

_MOST: Final = 256
_LONGEST_SECONDS: Final = 0.05
"""A scan may find the next one much later."""


class NewFiles:
    """Tells apart files that nobody knows from those that may have moved, and hints at both."""

    def __init__(
        self,
        recorded: Callable[[Collection[int]], Collection[int]],
        hint: Callable[[Sequence[tuple[bytes, bool]]], None],
    ) -> None:
        """`recorded(inodes)`: those that have a row anywhere; `hint` gets each path with whether no row can be
        of its file."""
        self._recorded = recorded
        self._hint = hint
        self._found: list[tuple[bytes, int]] = []
        self._since = 0.0

    def add(self, path: bytes, inode: int, now: float) -> None:
        """A file was found that has no row at its path."""
        if not self._found:
            self._since = now
        self._found.append((path, inode))
        if len(self._found) >= _MOST:
            self.flush()

    def flush_late(self, now: float) -> None:
        """Hint at what was gathered, if the first of it has waited long enough."""
        if self._found and now - self._since >= _LONGEST_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Hint at what was gathered."""
        found, self._found = self._found, []
        if found:
            recorded = self._recorded([inode for _, inode in found])
            self._hint([(path, inode not in recorded) for path, inode in found])
