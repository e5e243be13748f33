"""The limits on watches, the kernel's and our own, and what to say when one is reached.

No thread; a `WatchBudget` may be asked from several.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from file_watcher.model import display

_FOLDER: Final = Path("/proc/sys/fs/inotify")


@dataclass(frozen=True, slots=True)
class InotifyLimits:
    """Limits per user (watches, instances) and per instance (queued events); None where not known."""

    max_user_watches: int | None
    max_user_instances: int | None
    max_queued_events: int | None

    @classmethod
    def read(cls, folder: Path = _FOLDER) -> InotifyLimits:
        """The limits that hold now (see inotify(7), /proc interfaces)."""
        return cls(
            _number(folder / "max_user_watches"),
            _number(folder / "max_user_instances"),
            _number(folder / "max_queued_events"),
        )


NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""The errors of a folder that could be watched if others were not: the kernel's limit, and our own."""


class WatchBudget:
    """How many watches this service may hold, over all its libraries; None: as many as the kernel grants.

    Nothing is kept back of what the kernel grants: a service that shares its user's limit with others is
    given a share by `max_watches`.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._holders: list[Callable[[], int]] = []

    def join(self, holds: Callable[[], int]) -> None:
        """Count what this one holds, from now on."""
        with self._lock:
            self._holders.append(holds)

    def leave(self, holds: Callable[[], int]) -> None:
        """It holds nothing any more. Does nothing where it never joined."""
        with self._lock:
            self._holders = [each for each in self._holders if each != holds]

    def held(self) -> int:
        """How many watches are held now."""
        with self._lock:
            holders = list(self._holders)
        return sum(holds() for holds in holders)

    def require_one(self, folder: bytes) -> None:
        """Raises OSError (EDQUOT, which inotify itself never gives) where one more would be too many."""
        if self._limit is not None and self.held() >= self._limit:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), folder)


def explain_watch_error(error: OSError, path: bytes, limits: InotifyLimits | None = None) -> str:
    """One sentence on why a folder cannot be watched, and the exact command where a limit is the reason."""
    limits = limits or InotifyLimits.read()
    if error.errno == errno.ENOSPC:
        return (
            f"No inotify watch is free for {display(path)}: "
            f"{_mend('fs.inotify.max_user_watches', limits.max_user_watches)}"
        )
    if error.errno == errno.EMFILE:
        return (
            "No inotify instance or file descriptor is free: "
            f"{_mend('fs.inotify.max_user_instances', limits.max_user_instances)}, "
            "or raise the limit of open files (ulimit -n)"
        )
    if error.errno == errno.EDQUOT:
        return (
            f"FILE_WATCH_MAX_WATCHES allows no watch for {display(path)}: "
            "raise it, or unset it to use all that the kernel grants"
        )
    if error.errno == errno.EACCES:
        return f"No permission to read {display(path)}: let the user that runs file_watcher read the folder"
    return f"{display(path)} cannot be watched: {error.strerror or error}"


def _mend(name: str, limit: int | None) -> str:
    if limit is None:
        return f"raise {name} with sysctl -w"
    return f"the limit {name} is {limit}, raise it with: sysctl -w {name}={limit * 2}"


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
