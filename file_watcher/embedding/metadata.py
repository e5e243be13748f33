"""Reads the metadata of an event's file when the program asks for them.

Owns the tag reader's thread `fw-tags` and its child process, both from the first question on.
"""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta
from typing import Final

from file_watcher.embedding.errors import WatcherError, WatcherStopped
from file_watcher.embedding.event import FileEvent
from file_watcher.lifecycle import Deadline, FailureReport
from file_watcher.model import FileStat, Metadata, is_regular
from file_watcher.paths import inner
from file_watcher.processing.tags.errors import FileChanged, TagReaderClosed, TagsUnavailable
from file_watcher.processing.tags.formats import wants_tags
from file_watcher.processing.tags.pool import TagReader
from file_watcher.settings import FileWatchSettings

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class MetadataOnDemand:
    """Any thread may ask, and waits for its answer; one child reads for all."""

    def __init__(self, settings: FileWatchSettings, on_failure: FailureReport) -> None:
        self._follow_symlinks = settings.follow_symlinks
        self._lock = threading.Lock()
        self._reader = TagReader(
            1,
            settings.tag_memory_limit,
            settings.tag_timeout,
            on_failure=on_failure,
            follow_symlinks=settings.follow_symlinks,
        )
        self._is_started = False
        self._is_closed = False

    def read(self, event: FileEvent) -> Metadata | None:
        """See `FileEvent.metadata`. Raises WatcherStopped, and WatcherError where no child can be started."""
        path = inner(event.path)
        if event.operation == "delete" or not wants_tags(path):
            return None
        self._start()
        stat = self._stat_of(path, event)
        if stat is None:
            return None
        try:
            return self._reader.submit(path, stat).result()
        except FileChanged:
            return None
        except TagReaderClosed as exc:
            raise _stopped() from exc
        except TagsUnavailable as exc:
            raise WatcherError(
                "metadata", event.path, f"it cannot be read now ({exc}); ask again later"
            ) from exc

    def close(self) -> None:
        """End the child; whoever waits gets WatcherStopped. May be called twice."""
        with self._lock:
            self._is_closed = True
        self._reader.close()

    def join(self, deadline: Deadline) -> bool:
        """Wait for the thread."""
        return self._reader.join(deadline)

    def _start(self) -> None:
        with self._lock:
            if self._is_closed:
                raise _stopped()
            if not self._is_started:
                self._reader.start()
                self._is_started = True

    def _stat_of(self, path: bytes, event: FileEvent) -> FileStat | None:
        """The file's stat, as long as it is the one that was told."""
        try:
            found = os.stat(path, follow_symlinks=self._follow_symlinks)
        except OSError:
            return None  # gone or out of reach: another event tells so
        is_same = found.st_size == event.size and _moment(found.st_mtime_ns) == event.modified_at
        return FileStat.of(found) if is_regular(found) and is_same else None


def _stopped() -> WatcherStopped:
    return WatcherStopped("metadata", None, "the watcher was stopped")


def _moment(nanoseconds: int) -> datetime | None:
    """As events tell it: whole microseconds, None where there is no such date."""
    try:
        return _EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        return None
