"""Remembers the files that ended the processes which read them, so that none is tried again until it changes.

The catalog's row keeps the error as well, and a restart does not read a file whose row proves it unchanged;
this is for files that are hashed again without a change, and for several names of one file. No thread.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from file_watcher.model import FileStat

_MOST: Final = 10_000
"""Some 2 MB at most. Those that were not asked for for longest are tried again."""


class Condemned:
    """Files by their stat, and why each could not be read."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._reasons: OrderedDict[FileStat, str] = OrderedDict()

    def add(self, stat: FileStat, reason: str) -> None:
        """Remember the file in this state of its."""
        self._reasons[stat] = reason
        if len(self._reasons) > self._most:
            self._reasons.popitem(last=False)

    def reason(self, stat: FileStat) -> str | None:
        """Why it is not to be tried; None where it may be."""
        reason = self._reasons.get(stat)
        if reason is not None:
            self._reasons.move_to_end(stat)
        return reason
