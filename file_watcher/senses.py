"""Joins the senses: how the decider and the workers look at, read and ask about the files of all libraries.

Owns no thread; everything may be called from several at once.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from file_watcher.catalog.store import CatalogStore
from file_watcher.model import FileRecord, FileStat, Library, Sight, attributes_of
from file_watcher.processing.examine import MetadataFuture
from file_watcher.processing.fingerprint import Fingerprinter, Reading
from file_watcher.processing.in_hand import FileInHand
from file_watcher.processing.lease import WriterProbe
from file_watcher.processing.tags.formats import wants_tags
from file_watcher.processing.tags.pace import Pace
from file_watcher.processing.tags.pool import TagReader
from file_watcher.processing.tags.whole import WholeFuture
from file_watcher.roster import Roster
from file_watcher.telemetry import Telemetry
from file_watcher.watching.mounts import MountTable, answers_leases
from file_watcher.watching.sight import Eyes, RootState, inode_with_other_names, look


class LeaseTrust:
    """Remembers which devices answer truly when asked who has a file open for writing."""

    def __init__(self) -> None:
        self._devices: dict[int, bool] = {}

    def learn(self, library: Library) -> None:
        """Look at the filesystems that the library lies on."""
        table = MountTable.read()
        for folder in (library.root, *table.mountpoints_below(library.root)):
            try:
                device = os.stat(folder).st_dev
            except OSError:
                continue
            self._devices[device] = answers_leases(table.fs_type_of(folder)) is True

    def __call__(self, device: int) -> bool:
        """Whether the device's answers can be trusted."""
        return self._devices.get(device, False)


class DecidersEye:
    """How the decider looks."""

    def __init__(
        self, eyes: Eyes, roster: Roster, holds: Callable[[int], bool] = lambda _library_id: True
    ) -> None:
        """`holds(library_id)` tells whether the library is ours, where others share the catalog."""
        self._eyes = eyes
        self._roster = roster
        self._holds = holds

    def look(self, path: bytes, library_id: int) -> Sight:
        """What is at the path now; UNKNOWN where the library is not watched."""
        return self._eyes.look(path, library_id)

    def look_at_all(self, places: Sequence[tuple[bytes, int]]) -> list[Sight]:
        """`look` at each path in the library of that number, for less than so many looks cost."""
        return self._eyes.look_at_all(places)

    def glance(self, path: bytes, library_id: int) -> Sight:
        """A cheaper look, for what is looked at again before it counts."""
        return self._eyes.glance(path, library_id)

    def is_verified(self, library: Library) -> bool:
        """Whether the library is ours and open, and its root the one that was opened."""
        return self._holds(library.id) and self._eyes.root_state(library) is RootState.OK

    def is_unmatched(self, path: bytes) -> bool:
        """Whether a file stands at the path that the filters do not want, or where no root is any more."""
        library = self._roster.of(path)
        if library is not None and self._roster.filter_of(library).wants_file(path):
            return False
        return isinstance(look(path), FileStat)


@dataclass(frozen=True, slots=True)
class Looking:
    """How the files of one library are looked at."""

    follow_symlinks: bool = False
    wants_attributes: bool = False


class WorkersSenses:
    """What the examiner asks of disk, catalog and tag reader (None: nobody wants tags)."""

    def __init__(
        self,
        eye: DecidersEye,
        store: CatalogStore,
        probe: WriterProbe,
        fingerprinter: Fingerprinter,
        tags: TagReader | None,
        telemetry: Telemetry,
        looking_of: Callable[[Library], Looking],
    ) -> None:
        self._looking_of = looking_of
        self._eye = eye
        self._store = store
        self._probe = probe
        self._fingerprinter = fingerprinter
        self._tags = tags
        self._telemetry = telemetry
        self._pace = Pace()
        self._pace_lock = threading.Lock()

    def look(self, path: bytes, library: Library) -> Sight:
        """What is at the path now; the decider makes sure of it."""
        return self._eye.glance(path, library.id)

    def find(self, path: bytes, inode: int) -> Sequence[FileRecord]:
        """Rows at the path or with the inode."""
        return self._store.find(path, inode)

    def in_hand(self, path: bytes, library: Library, device: int) -> FileInHand:
        """The file that was seen there on that device, to ask who writes to it and to read it."""
        return FileInHand(
            path,
            device,
            self._probe,
            self._fingerprinter,
            self._note,
            follow_symlinks=self._looking_of(library).follow_symlinks,
        )

    def _note(self, reading: Reading) -> None:
        self._telemetry.hashed(reading.stat.size, reading.seconds)

    def inode_with_other_names(self, path: bytes) -> int:
        """The inode of a file with more names than this one, else 0."""
        return inode_with_other_names(path)

    def attributes(self, path: bytes, library: Library) -> str | None:
        """Mode and owner now; None where nobody wants to know, or the file cannot be looked at."""
        looking = self._looking_of(library)
        if not looking.wants_attributes:
            return None
        try:
            return attributes_of(os.stat(path, follow_symlinks=looking.follow_symlinks))
        except OSError:  # gone or out of reach since it was looked at; the decider's own look tells which
            return None

    def read_tags(self, path: bytes, stat: FileStat) -> MetadataFuture | None:
        """Begin to read the medium's tags; None where the name is no medium's."""
        if self._tags is None or not wants_tags(path):
            return None
        return self._tags.submit(path, stat)

    def read_whole(self, path: bytes, stat: FileStat) -> WholeFuture | None:
        """Begin to read and hash the small medium, and to read its tags; None where the name is no medium's, or
        the disk lets the children wait.

        Blocks while the limit of what may be read is exceeded.
        """
        if self._tags is None or not wants_tags(path) or not self._pace.is_at_hand(time.monotonic()):
            return None
        self._fingerprinter.book(stat.size)
        future = self._tags.submit_whole(path, stat)
        future.add_done_callback(self._note_whole)
        return future

    def _note_whole(self, future: WholeFuture) -> None:
        if future.exception() is None and (reading := future.result().reading) is not None:
            with self._pace_lock:
                self._pace.note(reading.stat.size, reading.seconds, time.monotonic())
            self._note(reading)
