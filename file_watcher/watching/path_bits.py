"""A set of paths that never takes more than 1 MiB, at the price of now and then holding one that was not added.

Pure. When there are too many dirty paths, folders stand for them, and two things must not be forgotten of each:

- That it was closed after writing, which always means a reading (rule 5): stores through a writable mapping
  leave mtime and ctime alone until the page is written back, so that a file which was read in the meantime
  can change behind an equal and old stat, and a scan, which compares stats, would take it for unchanged.
- That the kernel hinted at it at all: what is missing without a word is for the loss guard to judge.

So bits of the names' hashes are kept (Bloom, 1970). No name that was added is ever denied; one that is taken
for another costs a reading, or is believed gone without the guard, and nothing else.
"""

from __future__ import annotations

from typing import Final

_BITS: Final = 1 << 23
"""1 MiB: with a million names in it, 2 of 100 others are read for nothing; with more, still nothing is lost."""
_PROBES: Final = 4


class PathBits:
    """A set of paths that may grow without bound, and never takes more than 1 MiB."""

    def __init__(self) -> None:
        self._bits = bytearray()

    def __bool__(self) -> bool:
        """Whether any path was added."""
        return bool(self._bits)

    def add(self, path: bytes) -> None:
        """Keep the path."""
        if not self._bits:
            self._bits = bytearray(_BITS // 8)
        for at in _places(path):
            self._bits[at >> 3] |= 1 << (at & 7)

    def may_hold(self, path: bytes) -> bool:
        """True for every path that was added, and by chance for a few others."""
        return bool(self._bits) and all(self._bits[at >> 3] >> (at & 7) & 1 for at in _places(path))

    def clear(self) -> None:
        """Forget all."""
        self._bits = bytearray()


def _places(path: bytes) -> list[int]:
    value = hash(path)  # SipHash with a key of this process: nobody can choose names that collide
    first, step = value & 0xFFFFFFFF, value >> 32 | 1
    return [(first + probe * step) % _BITS for probe in range(_PROBES)]
