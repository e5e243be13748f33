"""Which libraries are to be swept for what found no room in the background, and how far each sweep has come.

Pure. A sweep is a walk over a library that hints in the background, as far as there is room; the next one goes
on behind the last path that was hinted at. So it comes to an end even where files can never be made sure of,
as those that may not be read.
"""

from __future__ import annotations

from collections.abc import Iterable

from file_watcher.model import Library


class Sweeps:
    """The sweeps that are wanted."""

    def __init__(self) -> None:
        self._reached: dict[Library, bytes] = {}

    def want(self, libraries: Iterable[Library]) -> None:
        """Sweep these from their beginning."""
        self._reached.update(dict.fromkeys(libraries, b""))

    def next(self) -> tuple[Library, bytes] | None:
        """The library whose turn it is, and the path behind which to go on."""
        return next(iter(self._reached.items()), None)

    def reached(self, library: Library, path: bytes) -> None:
        """The sweep has come so far; others have their turn first."""
        self._reached.pop(library, None)
        self._reached[library] = path

    def finish(self, library: Library) -> None:
        """All of the library was swept."""
        self._reached.pop(library, None)
