"""Which state of a file is asked for: the stat as it travels between parent and child.

A copy of `model.FileStat` without its imports, which would lengthen the start of the children.
"""

from __future__ import annotations

import os
from typing import Final, NamedTuple

_FARTHEST_NS: Final = (1 << 63) - 1
"""Times beyond are cut to it, as `model.FileStat` does, or the file would never be the one that was asked for."""


class Identity(NamedTuple):
    """The stat of the file that is asked for, in the order of `model.FileStat`."""

    size: int
    mtime_ns: int
    ctime_ns: int
    device: int
    inode: int

    @classmethod
    def of(cls, result: os.stat_result) -> Identity:
        """Take what identifies the file out of what os.stat returned."""
        mtime_ns, ctime_ns = _within(result.st_mtime_ns), _within(result.st_ctime_ns)
        return cls(result.st_size, mtime_ns, ctime_ns, result.st_dev, result.st_ino)


def _within(ns: int) -> int:
    return max(-_FARTHEST_NS, min(ns, _FARTHEST_NS))
