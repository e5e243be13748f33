"""Which files are owed a reading although their stat may look unchanged, in a fixed amount of memory.

Pure. A close after writing always means a reading (rule 5), since a stat does not tell all: stores through a
writable mapping leave mtime and ctime alone until the page is written back, so that a file which was read in
the meantime can change behind an equal and old stat. When dirty paths are folded into their folder, the
folder's scan compares stats; without more it would take such a file for unchanged. So the names of those
that were closed after writing are kept here: not the names themselves, but bits of their hashes (Bloom,
1970). It never forgets a name; it may take another for one of them, which costs a reading and nothing else.
"""

from __future__ import annotations

from typing import Final

_BITS: Final = 1 << 23
"""1 MiB: with a million names in it, 2 of 100 others are read for nothing; with more, still nothing is lost."""
_PROBES: Final = 4


class OwedReadings:
    """A set of paths that may grow without bound, and never takes more than 1 MiB."""

    def __init__(self) -> None:
        self._bits = bytearray()

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
        """Nothing is owed any more."""
        self._bits = bytearray()


def _places(path: bytes) -> list[int]:
    value = hash(path)  # SipHash with a key of this process: nobody can choose names that collide
    first, step = value & 0xFFFFFFFF, value >> 32 | 1
    return [(first + probe * step) % _BITS for probe in range(_PROBES)]
