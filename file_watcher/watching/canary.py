"""The canary: a mark sent through the kernel's queue, to learn when everything before it has come out.

Adding a watch and removing it makes the kernel queue one IN_IGNORED event for it, behind all that
happened before, whatever the disk does. The watch lies on an anonymous file in memory, so that no
folder is needed and no other watch can be meant; descriptors of watches are not used twice within two
thousand million. Owns no thread: `send` works in the caller's, `passed` in the observer's.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from watchdog.observers.inotify_c import CallbackId, InotifyConstants, WatchDescriptor

from file_watcher.lifecycle import Deadline

if TYPE_CHECKING:
    from watchdog.observers.inotify_c import InotifyEvent, InotifyFD


class Canary:
    """Sends marks through one inotify instance. Several threads may send at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[int, threading.Event] = {}
        self._memory = -1
        self._closed = False

    def send(self, reader: InotifyFD, timeout: float) -> bool:
        """Wait until the mark has passed; False after `timeout` seconds, or where it could not be sent.

        Raises OSError where the kernel refuses the mark (no watch or descriptor is free).
        """
        deadline = Deadline(timeout)
        arrived = threading.Event()
        with self._lock:
            if self._closed:
                return False
            mark = self._queue_mark(reader, arrived)
        try:
            return arrived.wait(deadline.remaining()) and not self._closed
        finally:
            self._waiting.pop(mark, None)

    def is_mark(self, descriptor: int) -> bool:
        """Whether an IN_IGNORED for this watch descriptor is a mark of ours that somebody waits for."""
        return descriptor in self._waiting

    def passed(self, descriptor: int) -> None:
        """The mark came out at the far end."""
        if arrived := self._waiting.get(descriptor):
            arrived.set()

    def close(self) -> None:
        """Release everybody who waits (with False). May be called twice."""
        with self._lock:
            self._closed = True
            if self._memory >= 0:
                os.close(self._memory)
                self._memory = -1
        for arrived in list(self._waiting.values()):
            arrived.set()

    def _queue_mark(self, reader: InotifyFD, arrived: threading.Event) -> int:
        """Add the watch, expect its end, end it: under the lock, or two marks would be one watch."""
        if self._memory < 0:
            self._memory = os.memfd_create("file_watcher_canary", os.MFD_CLOEXEC)
        path = b"/proc/self/fd/%d" % self._memory
        callback_id = CallbackId(id(self))
        descriptor = reader.add_callback(path, InotifyConstants.IN_DELETE_SELF, _NoCallback(), callback_id)
        self._waiting[descriptor] = arrived
        reader.remove_callbacks([(descriptor, callback_id)])
        return descriptor


class _NoCallback:
    """What watchdog wants to call for a watch; nothing ever happens to the file in memory."""

    def on_event(self, event: InotifyEvent) -> None:
        """Not of interest."""

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """Not of interest: the mark is read from the queue itself."""

    def on_queue_overflow(self) -> None:
        """Not of interest: a mark that was lost runs into its timeout."""
