"""watchdog's inotify observer, with the holes closed that would make it deaf without a word.

Only on Linux; `observer` imports this where it is supported. Three threads per library, all watchdog's:
the *reader* (see `inotify_tree`) empties the kernel's queue and keeps the watches, the *emitter* pairs
moves and makes events, the *dispatcher* calls the handler. What escapes in any of them is logged and
reported as trouble.

Different from watchdog on purpose: the contents of new and moved folders are not told one by one. The
folder's own event comes when its watches stand, and whoever gets it lists the folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify import InotifyEmitter
from watchdog.observers.inotify_c import InotifyConstants, Mask
from watchdog.observers.inotify_move_event_grouper import GroupedInotifyEvent, PathedInotifyEvent

from file_watcher.model import HintKind
from file_watcher.watching.canary import Canary
from file_watcher.watching.inotify_tree import Reader, WatchTree
from file_watcher.watching.limits import WatchBudget
from file_watcher.watching.trouble import ReportTrouble, report_death


class MarkPassed(FileSystemEvent):
    """The canary's mark on its way through emitter and dispatcher; `src_path` is its watch descriptor."""


class AttributesChanged(FileSystemEvent):
    """A file's mode, owner, times or number of links changed. watchdog's own event asks for every write, too."""

    event_type = "attributes"


class FileWritten(FileSystemEvent):
    """Something was written to a file, which may stay open. The kernel merges one write with the next."""

    event_type = "written"


_MORE_EVENTS: Final = {
    HintKind.ATTRIBUTES: InotifyConstants.IN_ATTRIB,
    HintKind.WRITTEN: InotifyConstants.IN_MODIFY,
}

EVENTS: Final[list[type[FileSystemEvent]]] = [
    FileCreatedEvent,
    FileClosedEvent,
    FileMovedEvent,
    FileDeletedEvent,
    DirCreatedEvent,
    DirMovedEvent,
    DirDeletedEvent,
    AttributesChanged,
    FileWritten,
    MarkPassed,
]
"""No opens and no closes after reading, or our own hashing would fill the queue; single writes only of streams."""


class InotifyEngine:
    """One observer on one root: starts and stops its threads, passes events to the handler."""

    def __init__(
        self,
        root: bytes,
        handler: FileSystemEventHandler,
        report: ReportTrouble,
        *,
        recursive: bool,
        wants_folder: Callable[[bytes], bool],
        budget: WatchBudget,
        more_hints: frozenset[HintKind] = frozenset(),
    ) -> None:
        self._budget = budget
        self._more_hints = more_hints
        self._root = root
        self._canary = Canary()
        self._handler = _MarkTaker(handler, self._canary)
        self._report = report
        self._recursive = recursive
        self._wants_folder = wants_folder
        self._reader: Reader | None = None
        self._observer: Dispatcher | None = None

    def start(self) -> None:
        """Start the threads; blocks until the watches stand. Raises OSError, and leaves nothing behind then."""
        self._reader = Reader(self._canary, self._report)
        self._reader.start()
        try:
            self._observer = Dispatcher(
                self._report,
                inotify_fd=self._reader,
                wants_folder=self._wants_folder,
                budget=self._budget,
                more_hints=self._more_hints,
            )
            self._observer.schedule(
                self._handler,
                self._root,  # type: ignore[arg-type]  # bytes work everywhere in watchdog, text would lose names
                recursive=self._recursive,
                event_filter=EVENTS,
            )
            self._observer.start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the threads and wait for them."""
        self._canary.close()
        if self._observer is not None and self._observer.is_alive():
            self._observer.stop()
            self._observer.join()
        if self._reader is not None:
            self._reader.stop()
            self._reader.join()
            if self._reader.tree is not None:
                self._reader.tree.release()

    def drain(self, timeout: float) -> bool:
        """See `LibraryWatch.drain`. Raises OSError where the kernel refuses the canary."""
        return self._reader is not None and self._canary.send(self._reader, timeout)

    def dead_thread(self) -> str | None:
        """The name of a thread that should run and does not."""
        if self._reader is None or self._observer is None:
            return "all"
        threads = [self._reader, self._observer, *self._observer.emitters]
        return next((thread.name for thread in threads if not thread.is_alive()), None)

    def watch_count(self) -> int:
        """How many folders are watched."""
        tree = self._reader.tree if self._reader is not None else None
        return 0 if tree is None else tree.watch_count()

    def watch_more(self) -> None:
        """Try once more to watch what could not be."""
        if self._reader is not None and self._reader.tree is not None:
            self._reader.tree.watch_more()

    def unwatched(self) -> list[tuple[bytes, int]]:
        """The folders that could not be watched, each with its errno."""
        tree = self._reader.tree if self._reader is not None else None
        return [] if tree is None else tree.unwatched()


class _MarkTaker(FileSystemEventHandler):
    """Takes the canary's marks out of the events; all others go on."""

    def __init__(self, handler: FileSystemEventHandler, canary: Canary) -> None:
        self._handler = handler
        self._canary = canary

    def dispatch(self, event: FileSystemEvent) -> None:
        """Called by the dispatcher, in order."""
        if isinstance(event, MarkPassed):
            self._canary.passed(int(event.src_path))
        else:
            self._handler.dispatch(event)


class Emitter(InotifyEmitter):
    """Takes what the reader queued, moves paired by their cookie, and makes events of it."""

    def __init__(
        self,
        *args: Any,
        report: ReportTrouble,
        wants_folder: Callable[[bytes], bool],
        budget: WatchBudget,
        more_hints: frozenset[HintKind],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._more_hints = more_hints
        self.name = "fw-watch-emitter"
        self._budget = budget
        self._report = report
        self._wants_folder = wants_folder
        self._tree: WatchTree | None = None

    def on_thread_start(self) -> None:
        """Add the watches, in the thread that starts the observer. Raises OSError for the root's."""
        assert isinstance(self._inotify_fd, Reader)
        mask = self.get_event_mask_from_filter()
        for kind in self._more_hints:
            mask = Mask(mask | _MORE_EVENTS[kind])
        self._tree = self._inotify = WatchTree(
            self._inotify_fd,
            os.fsencode(self.watch.path),
            mask,
            recursive=self.watch.is_recursive,
            wants_folder=self._wants_folder,
            report=self._report,
            budget=self._budget,
        )
        self._inotify_fd.tree = self._tree

    def run(self) -> None:
        """Emit until stopped."""
        try:
            super().run()
        except Exception as exc:
            report_death(self.name, exc, self._report)

    def queue_events(self, timeout: float, *, full_events: bool = False) -> None:  # noqa: ARG002
        """Wait for one event and queue it. At the end of the watch there is none."""
        if self._tree is not None and (event := self._tree.read_event()) is not None:
            self.build_and_queue_event(event)

    def build_and_queue_event(self, event: GroupedInotifyEvent, *, full_events: bool = False) -> None:  # noqa: ARG002
        """Queue at most one event: none for what lies below it, none for its parent."""
        if not isinstance(event, PathedInotifyEvent):
            source, target = event
            moved = DirMovedEvent if source.ev.is_directory else FileMovedEvent
            self.queue_event(moved(source.path, target.path))
        elif event.ev.is_ignored:
            self.queue_event(MarkPassed(str(event.ev.wd)))
        elif event.ev.is_create or event.ev.is_moved_to:
            created = DirCreatedEvent if event.ev.is_directory else FileCreatedEvent
            self.queue_event(created(event.path))
        elif event.ev.is_delete or event.ev.is_moved_from:
            deleted = DirDeletedEvent if event.ev.is_directory else FileDeletedEvent
            self.queue_event(deleted(event.path))
        elif event.ev.is_close_write:
            self.queue_event(FileClosedEvent(event.path))
        elif event.ev.is_attrib and not event.ev.is_directory:
            self.queue_event(AttributesChanged(event.path))
        elif event.ev.is_modify and not event.ev.is_directory:
            self.queue_event(FileWritten(event.path))


class Dispatcher(BaseObserver):
    """watchdog's observer; its thread calls the handler."""

    def __init__(self, report: ReportTrouble, **for_emitter: Any) -> None:
        super().__init__(Emitter, report=report, **for_emitter)
        self.name = "fw-watch-dispatcher"
        self._report = report

    def run(self) -> None:
        """Dispatch until stopped."""
        try:
            super().run()
        except Exception as exc:
            report_death(self.name, exc, self._report)
