"""watchdog's own observer, where there is no inotify: hints, and no promise that they are all.

Owns watchdog's threads: FSEvents' on macOS, ReadDirectoryChangesW's on Windows. What they leave out or put together
is found by the next rescan, so `rescan_interval` says how long that may take.
"""

from __future__ import annotations

import os
import sys

from watchdog.events import DirDeletedEvent, FileDeletedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers.api import BaseObserver


class NativeEngine:
    """Runs such an observer for one tree; see `observer.LibraryWatch`, which it serves."""

    def __init__(self, root: bytes, handler: FileSystemEventHandler, *, recursive: bool) -> None:
        self._root = root
        self._handler = _FoldersToo(handler) if sys.platform == "win32" else handler
        self._recursive = recursive
        self._observer: BaseObserver | None = None

    def start(self) -> None:
        """Start watching. Raises OSError where the system refuses it."""
        from watchdog.observers import Observer  # which is another one on each system

        self._observer = Observer()
        # With slashes, which Windows takes as well.
        self._observer.schedule(self._handler, os.fsdecode(self._root), recursive=self._recursive)
        self._observer.start()

    def stop(self) -> None:
        """End the threads, and wait for them."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()

    def drain(self, timeout: float) -> bool:  # noqa: ARG002
        """Always False: nothing tells whether all was told. Whoever needs to know has to scan."""
        return False

    def dead_thread(self) -> str | None:
        """What has ended, None while all goes on: the observer, or what reads the system's messages for it."""
        if self._observer is None or not self._observer.is_alive():
            return "observer"
        ended = [emitter.name for emitter in self._observer.emitters if not emitter.is_alive()]
        return ended[0] if ended else None

    def watch_count(self) -> int:
        """One: the system watches the tree as a whole."""
        return 1

    def unwatched(self) -> list[tuple[bytes, int]]:
        """None that could be known."""
        return []

    def watch_more(self) -> None:
        """Nothing was refused that could be known."""


class _FoldersToo(FileSystemEventHandler):
    """Windows does not say of what is gone whether it was a folder: then it may have been one."""

    def __init__(self, handler: FileSystemEventHandler) -> None:
        self._handler = handler

    def dispatch(self, event: FileSystemEvent) -> None:
        """Hand it on."""
        if isinstance(event, FileDeletedEvent):
            event = DirDeletedEvent(event.src_path)
        self._handler.dispatch(event)
