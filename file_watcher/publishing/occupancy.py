"""Which paths have something on its way, and whether a further path may go beside them.

Two paths are connected where they are equal or one is a folder of the other: `deleted /a` has to arrive
before `created /a/x`, and the refusal of one message must never let another overtake it. Files that merely
share a folder are not connected. Owns no thread.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

_REMEMBERED_FOLDERS: Final = 2048
"""Folders whose lineage is kept at hand: more than the files of a full window mostly lie in."""


class Occupancy:
    """A bag of paths. What a call costs depends on how deep the path lies, never on how many are inside."""

    def __init__(self) -> None:
        self._paths: dict[bytes, int] = {}
        self._in_folder: dict[bytes, int] = {}
        """How many of the paths lie directly in a folder."""
        self._below: dict[bytes, int] = {}
        """For each folder above any of them: how many folders that hold some it is or has below it."""

    def __len__(self) -> int:
        return len(self._paths)

    def add(self, path: bytes) -> None:
        """Put it in; a path may be inside several times."""
        count = self._paths.get(path, 0)
        self._paths[path] = count + 1
        if count:
            return
        folder = path.rpartition(b"/")[0]
        held = self._in_folder.get(folder, 0)
        self._in_folder[folder] = held + 1
        if not held:
            for above in _lineage(folder):
                self._below[above] = self._below.get(above, 0) + 1

    def remove(self, path: bytes) -> None:
        """Take it out, once. Raises KeyError where it is not inside."""
        if not _one_less(self._paths, path):
            return
        folder = path.rpartition(b"/")[0]
        if _one_less(self._in_folder, folder):
            for above in _lineage(folder):
                _one_less(self._below, above)

    def touches(self, path: bytes) -> bool:
        """Whether a path inside is this one, a folder above it, or something below it."""
        paths = self._paths
        return bool(paths) and (
            path in paths
            or path in self._below
            or not paths.keys().isdisjoint(_lineage(path.rpartition(b"/")[0]))
        )

    def clear(self) -> None:
        """Take everything out."""
        self._paths.clear()
        self._in_folder.clear()
        self._below.clear()


def _one_less(counts: dict[bytes, int], key: bytes) -> bool:
    """Count down; whether that was the last one."""
    left = counts[key] - 1
    if left:
        counts[key] = left
        return False
    del counts[key]
    return True


@lru_cache(_REMEMBERED_FOLDERS)
def _lineage(folder: bytes) -> tuple[bytes, ...]:
    """The folder itself and all above it, up to "/" (which is b"" without its slash)."""
    lineage = []
    while folder:
        lineage.append(folder)
        folder = folder.rpartition(b"/")[0]
    return (*lineage, b"/")
