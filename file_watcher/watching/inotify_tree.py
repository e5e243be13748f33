"""The kernel's queue and the watches of one tree, on top of watchdog's.

The `Reader` is the thread that empties the queue; the `WatchTree` it calls keeps the watches. The tree's
lock is held while folders are walked, so the queue waits meanwhile.

Different from watchdog on purpose:
- A queue overflow is reported, not repaired in place: the repair, on the reader's thread, refills the
  queue that it should empty.
- Folders that cannot be watched are remembered with their errno.
- When a folder moved, everything below it is watched again: a folder that was made or renamed while the
  reader was behind would stay blind. Trees are walked without recursion.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Final

import structlog
from watchdog.observers.inotify import InotifyWatchGroup
from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    Watch,
    WatchCallback,
    WatchDescriptor,
)
from watchdog.observers.inotify_move_event_grouper import PathedInotifyEvent

from file_watcher.model import display
from file_watcher.watching.canary import Canary
from file_watcher.watching.limits import NO_ROOM, WatchBudget, explain_watch_error
from file_watcher.watching.moves import MovePairs
from file_watcher.watching.trouble import ReportTrouble, Trouble, TroubleKind, report_death

log = structlog.get_logger(__name__)

_IN_UNMOUNT: Final = InotifyConstants.IN_UNMOUNT
_NOT_OURS: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
"""Vanished, no folder any more, or beyond the reach of any path: scans pass it over too, and tell of the latter."""


class Reader(InotifyFD):
    """Empties the kernel's queue. Owns the inotify descriptor."""

    def __init__(self, canary: Canary, report: ReportTrouble) -> None:
        super().__init__()
        # watchdog says True here, and would leave three descriptors open if stopped before the first read.
        self._is_reading = False
        self.name = "fw-watch-reader"
        self.tree: WatchTree | None = None
        self._sole_callbacks: dict[CallbackId, dict[CallbackId, WatchCallback]] = {}
        self._canary = canary
        self._report = report
        self._unmounting = False

    @classmethod
    def _create_inotify_fd(cls) -> int:
        descriptor = super()._create_inotify_fd()
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - takes no keyword
        return descriptor

    def run(self) -> None:
        """Read until stopped. An event that fails is reported and passed over, a read that fails ends it."""
        try:
            while self.should_keep_running():
                for event in self.read_events():
                    self._handle_one(event)
        except Exception as exc:
            report_death(self.name, exc, self._report)
            with self._lock:
                self._is_reading = False
                if self._closed:
                    self._close_resources()

    def handle_event(self, event: InotifyEvent) -> None:
        """Divert what watchdog would handle in a harmful way or not at all."""
        if event.is_queue_overflow:
            self._report(Trouble(TroubleKind.OVERFLOW, "the kernel's queue was full and hints were lost"))
            return
        if event.is_ignored and self._canary.is_mark(event.wd) and self.tree is not None:
            self.tree.pass_mark(event)
            return
        if event.mask & _IN_UNMOUNT:
            self._note_unmount(event)
        elif not event.is_ignored:
            self._unmounting = False
        super().handle_event(event)

    def _handle_one(self, event: InotifyEvent) -> None:
        try:
            self.handle_event(event)
        except Exception as exc:
            log.exception("watch_event_failed", watch_event=repr(event))
            self._report(Trouble(TroubleKind.EVENT_FAILED, f"an event could not be worked on: {exc!r}"))

    def _note_unmount(self, event: InotifyEvent) -> None:
        """Every watch on the filesystem gets this event; one report for them all will do."""
        if self._unmounting:
            return
        self._unmounting = True
        path = self.tree.path_of(event.wd) if self.tree is not None else None
        where = display(path) if path is not None else "the root"
        self._report(Trouble(TroubleKind.UNMOUNTED, f"the filesystem of {where} was unmounted", path))

    def _add_callback(
        self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId
    ) -> WatchDescriptor:
        """Like watchdog's, without its warning: watching a folder once more is how we make sure.

        Nearly every watch has one callback, the tree's: the dict of it is kept once for them all.
        """
        watch = self._get_or_create_watch(path, mask)
        if watch.callbacks.keys() <= {id_}:
            watch.callbacks = self._sole_callbacks.setdefault(id_, {id_: callback})
        else:
            watch.callbacks = {**watch.callbacks, id_: callback}
        return watch.wd

    def _remove_callback(self, wd: WatchDescriptor, id_: CallbackId) -> None:
        watch = self._watch_for_wd.get(wd)
        if watch is not None:
            watch.callbacks = dict(watch.callbacks)
        super()._remove_callback(wd, id_)

    def _get_or_create_watch(self, path: bytes, mask: Mask) -> Watch:
        """Like watchdog's, but a refusal for want of permission is an error, not a watch with number -1."""
        watch = super()._get_or_create_watch(path, mask)
        if watch.wd == -1:
            del self._watch_for_wd[watch.wd]
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return watch


class WatchTree(InotifyWatchGroup):
    """The watches of one root and the path that each stands for. Adds them all when it is made."""

    def __init__(
        self,
        reader: Reader,
        root: bytes,
        mask: Mask,
        *,
        recursive: bool,
        wants_folder: Callable[[bytes], bool],
        report: ReportTrouble,
        budget: WatchBudget,
    ) -> None:
        self._wants_folder = wants_folder
        self._budget = budget
        self._report = report
        self._unwatched: dict[bytes, int] = {}
        self._told: set[int] = set()
        # ONLYDIR: a file that took a folder's place meanwhile is not watched in its stead.
        super().__init__(reader, root, Mask(mask | InotifyConstants.IN_ONLYDIR), recursive)

    def __post_init__(self) -> None:
        """Called by watchdog at the end of __init__: this is where the watches are added."""
        self._move_event_grouper = MovePairs()
        self._budget.join(self.watch_count)
        super().__post_init__()

    def watch_count(self) -> int:
        """How many folders are watched."""
        return len(self._active_callbacks_by_watch)

    def unwatched(self) -> list[tuple[bytes, int]]:
        """The folders that could not be watched, each with its errno. Takes no lock: `report` may ask."""
        return list(self._unwatched.items())

    def watch_more(self) -> None:
        """Try once more to watch the folders that could not be; ends early where no watch is free."""
        is_full = False
        with self._lock:
            for folder, number in self.unwatched():
                if is_full and number in NO_ROOM:
                    continue
                self._add_all_callbacks(folder)
                is_full = is_full or self._unwatched.get(folder) in NO_ROOM

    def release(self) -> None:
        """The watches are gone, with the reader: others may have as many."""
        self._budget.leave(self.watch_count)

    def path_of(self, descriptor: WatchDescriptor) -> bytes | None:
        """The folder that a watch stands for."""
        return self._active_callbacks_by_watch.get(descriptor)

    def pass_mark(self, event: InotifyEvent) -> None:
        """Queue a mark behind all events that came before it."""
        self._move_event_grouper.put_event(PathedInotifyEvent(event, b""))

    def on_event(self, event: InotifyEvent) -> None:
        """Forget what could not be watched where it is gone now, then go on as watchdog does."""
        if self._unwatched and event.is_directory and (event.is_delete or event.is_moved_from):
            with self._lock:
                path = self._build_event_source_path(event)
                if path is not None:
                    self._forget_unwatched(path)
        super().on_event(event)

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """The kernel ended a watch: its folder is gone, or its filesystem."""
        path = self.path_of(wd)
        super().on_watch_deleted(wd)
        if path == self.path and self.is_active:
            self._report(Trouble(TroubleKind.ROOT_LOST, f"{display(path)} is gone or unmounted", path))

    def _move_watches(self, move_src_path: bytes, move_dst_path: bytes) -> bool:
        """Give the moved watches their new paths, then make sure that every folder there has one."""
        super()._move_watches(move_src_path, move_dst_path)
        if self.is_recursive:
            self._add_all_callbacks(move_dst_path)
        return True

    def _recursive_simulate(self, src_path: bytes) -> list[InotifyEvent]:  # noqa: ARG002
        return []

    def _add_all_callbacks(self, path: bytes) -> None:
        """Watch a folder and all that is wanted below it; each is watched first and listed then."""
        pending = [path]
        while pending:
            folder = pending.pop()
            wanted = folder == self.path or self._wants_folder(folder)
            if wanted and self._watch(folder) and self.is_recursive:
                pending += self._subfolders(folder)

    def _watch(self, folder: bytes) -> bool:
        try:
            if folder not in self._active_callbacks_by_path:
                self._budget.require_one(folder)
            descriptor = self._inotify_fd.add_callback(folder, self.event_mask, self._callback, self._id)
        except OSError as exc:
            if folder == self.path:
                raise
            self._note_unwatched(folder, exc)
            return False
        self._unwatched.pop(folder, None)
        self._stand_for(folder, descriptor)
        return True

    def _stand_for(self, folder: bytes, descriptor: WatchDescriptor) -> None:
        """One watch, one path: what either stood for before is taken back."""
        earlier_path = self._active_callbacks_by_watch.get(descriptor)
        if earlier_path is not None and self._active_callbacks_by_path.get(earlier_path) == descriptor:
            del self._active_callbacks_by_path[earlier_path]
        earlier_watch = self._active_callbacks_by_path.get(folder)
        if earlier_watch is not None and earlier_watch != descriptor:
            self._remove_callbacks([earlier_watch])
        self._active_callbacks_by_path[folder] = descriptor
        self._active_callbacks_by_watch[descriptor] = folder

    def _subfolders(self, folder: bytes) -> list[bytes]:
        try:
            return _folders_in(folder)
        except OSError as exc:
            self._note_unwatched(folder, exc)
            return []

    def _note_unwatched(self, folder: bytes, error: OSError) -> None:
        if error.errno in _NOT_OURS:
            self._unwatched.pop(folder, None)
            return
        number = error.errno or 0
        self._unwatched[folder] = number
        if number not in self._told:
            self._told.add(number)
            detail = explain_watch_error(error, folder)
            self._report(Trouble(TroubleKind.UNWATCHED, detail, folder, number))

    def _forget_unwatched(self, path: bytes) -> None:
        below = path + b"/"
        for folder in [each for each in self._unwatched if each == path or each.startswith(below)]:
            del self._unwatched[folder]

    def _remove_watch_internally(self, wd: WatchDescriptor) -> None:
        """Like watchdog's, for a watch that stands for nothing any more too (there: KeyError, a dead reader)."""
        path = self._active_callbacks_by_watch.pop(wd, None)
        if path is not None and self._active_callbacks_by_path.get(path) == wd:
            del self._active_callbacks_by_path[path]


def _folders_in(folder: bytes) -> list[bytes]:
    """The folders directly in this one. Raises OSError, also for a link, which may have taken a folder's place
    since that was watched, and may lead anywhere."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with os.scandir(descriptor) as entries:
            names = [os.fsencode(entry.name) for entry in entries if entry.is_dir(follow_symlinks=False)]
    finally:
        os.close(descriptor)
    return [os.path.join(folder, name) for name in names]
