"""Which state of a file is asked for: the stat as it travels between parent and child.

A copy of `model.FileStat` without its imports, which would lengthen the start of the children.
"""

from __future__ import annotations

from typing import NamedTuple


class Identity(NamedTuple):
    """The stat of the file that is asked for, in the order of `model.FileStat`."""

    size: int
    mtime_ns: int
    ctime_ns: int
    device: int
    inode: int
