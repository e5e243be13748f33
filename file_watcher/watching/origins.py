"""Where a file was before it was moved more than once, or with its folder, and nobody has looked yet. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from file_watcher.watching.entry import Entry

EntryOf = Callable[[bytes], Entry | None]
"""The entry of a dirty path."""


def with_earlier_ones(paths: Iterable[bytes], entry_of: EntryOf) -> frozenset[bytes]:
    """The paths that a file had, and those that it had before by the hints that are undecided, at itself or at its folders.

    What the hints say of one path reaches back to where it was at first; a folder's origins do not tell what its files
    had been called before, so it takes two steps.
    """
    known = frozenset(paths)
    for _ in range(2):
        known |= {origin for path in known for origin in _one_step_back(path, entry_of)}
    return known


def _one_step_back(path: bytes, entry_of: EntryOf) -> Iterator[bytes]:
    if entry := entry_of(path):
        yield from entry.origins
    cut = len(path)
    while (cut := path.rfind(b"/", 0, cut)) > 0:
        if entry := entry_of(path[:cut]):
            for origin in entry.origins:
                yield origin + path[cut:]
