"""The kernel's limits on inotify, and what to say when one is reached. No thread."""

from __future__ import annotations

import errno
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
