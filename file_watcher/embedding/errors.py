"""What a `Watcher` raises. Owns no thread."""

from __future__ import annotations

from pathlib import Path

from file_watcher.errors import FileWatcherError


class WatcherError(FileWatcherError):
    """Something that the watcher was asked for, or did by itself, failed; the cause is chained where there is one.

    `op` is what failed: `"watch"` (a folder), `"open"` (the catalog), `"events"`, `"metadata"`, `"run"` (the
    watcher ended by itself) or `"on_event"` (your callback raised). `path` is the folder, catalog or file that it was about.
    """

    def __init__(self, op: str, path: Path | None, reason: str) -> None:
        super().__init__(f"{op}: {reason}" if path is None else f"{op} {str(path)!r}: {reason}")
        self.op = op
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type[WatcherError], tuple[str, Path | None, str]]:
        return type(self), (self.op, self.path, self.reason)


class WatcherStopped(WatcherError):
    """The watcher was stopped. It cannot be started again: make a new one."""
