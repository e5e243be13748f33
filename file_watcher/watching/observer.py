"""Watching one library: what the kernel tells about its tree, as hints.

`LibraryWatch` owns the observer's threads (see `inotify`, on other systems `native_observer`) and, at its
end, one that stops them. Hints are delivered on the dispatcher's thread, in the order in which the kernel
told them.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Final, Protocol

import structlog
from watchdog.events import FileSystemEvent, FileSystemEventHandler, FileSystemMovedEvent

from file_watcher.errors import RetryableError
from file_watcher.lifecycle import Deadline, spawn
from file_watcher.model import Hint, HintKind, Library, display
from file_watcher.paths import inner
from file_watcher.watching.limits import WatchBudget, explain_watch_error
from file_watcher.watching.trouble import ReportTrouble, Trouble, TroubleKind

log = structlog.get_logger(__name__)

_KINDS: Final = {
    "created": HintKind.CREATED,
    "closed": HintKind.CLOSED,
    "attributes": HintKind.ATTRIBUTES,
    "written": HintKind.WRITTEN,
    "deleted": HintKind.DELETED,
    # Only on systems that do not tell when a file is closed; there it may have become another one.
    "modified": HintKind.CREATED,
}


def native_supported() -> bool:
    """Whether the kernel's own watches (inotify) can be used, with all that they promise."""
    return sys.platform == "linux"


class LibraryWatch:
    """Watches one library from `start` to `close`.

    `on_hint` and `on_trouble` are called on the observer's threads: they take note and return. An
    exception in `on_hint` is reported as trouble; the watch goes on. Folders that `wants_folder` refuses
    are not watched, nor is anything below them. Links are not followed: what they may lead to lies
    inside the root and is watched there.
    """

    def __init__(
        self,
        library: Library,
        on_hint: Callable[[Hint], None],
        on_trouble: ReportTrouble,
        *,
        recursive: bool = True,
        wants_folder: Callable[[bytes], bool] = lambda _: True,
        budget: WatchBudget | None = None,
        more_hints: frozenset[HintKind] = frozenset(),
    ) -> None:
        """`more_hints`: ATTRIBUTES and WRITTEN give hints, too (where there is no inotify they do anyway)."""
        self._more_hints = more_hints
        self._library = library
        self._on_hint = on_hint
        self._on_trouble = on_trouble
        self._recursive = recursive
        self._wants_folder = wants_folder
        self._budget = budget or WatchBudget()
        self._engine: _Engine | None = None
        self._lost: str | None = None
        self._closed = threading.Event()
        self._closing = threading.Lock()
        self._stopper: threading.Thread | None = None

    def start(self) -> None:
        """Start watching; blocks until the watches stand (about 25 µs a folder). Called once.

        Raises RetryableError where the root cannot be watched; its text says how to mend that.
        """
        root = self._library.root
        if not os.path.isdir(root):
            raise RetryableError(f"The folder {display(root)} does not exist or is no folder.")
        engine = self._make_engine()
        try:
            engine.start()
        except OSError as exc:
            self._closed.set()
            raise RetryableError(explain_watch_error(exc, root)) from exc
        with self._closing:
            self._engine = engine
        if self._closed.is_set():
            engine.stop()
        log.info("watch_started", library=self._library.name, folders=engine.watch_count())

    def close(self) -> None:
        """End the watch: no hint comes after this returns but one that is under way. Never blocks."""
        with self._closing:
            first, engine = not self._closed.is_set(), self._engine
            self._closed.set()
        if first and engine is not None:
            self._stopper = spawn("fw-watch-stop", engine.stop, self._stop_failed)

    def join(self, deadline: Deadline) -> bool:
        """Wait until the threads have ended; False where one had not at the deadline."""
        if self._stopper is None:
            return True
        self._stopper.join(deadline.remaining())
        return not self._stopper.is_alive()

    def drain(self, timeout: float) -> bool:
        """Wait until all that happened before this call has been given to `on_hint`.

        Blocks for at most `timeout` seconds. False where that cannot be promised: hints were lost, the
        observer is dead or slow, the system has no such watches. Then only a scan can tell.
        """
        engine = self._engine
        if engine is None or self.alive() is not None:
            return False
        try:
            return engine.drain(timeout) and self._lost is None
        except OSError as exc:
            log.warning("watch_drain_failed", library=self._library.name, error=str(exc))
            return False

    def alive(self) -> str | None:
        """None while hints can be relied on, else the reason why not, as a sentence."""
        if self._closed.is_set() or self._engine is None:
            return "the library is not being watched"
        if self._lost is not None:
            return self._lost
        dead = self._engine.dead_thread()
        return None if dead is None else f"the thread {dead} has ended"

    def may_miss(self) -> str | None:
        """Why changes may come without a hint although all is well, in words; None where each has its hint."""
        return None if native_supported() else "the watches of this system may miss changes"

    def watch_count(self) -> int:
        """How many folders are watched."""
        return 0 if self._engine is None else self._engine.watch_count()

    def unwatched(self) -> list[tuple[bytes, int]]:
        """The folders that could not be watched, with errno; nothing below them is watched either."""
        return [] if self._engine is None else self._engine.unwatched()

    def watch_more(self) -> None:
        """Try once more to watch those folders; a scan has to tell what happened there meanwhile."""
        if (engine := self._engine) is not None and not self._closed.is_set():
            engine.watch_more()

    def _make_engine(self) -> _Engine:
        handler = _HintHandler(self._hint, self._trouble)
        if not native_supported():
            from file_watcher.watching.native_observer import NativeEngine

            return NativeEngine(self._library.root, handler, recursive=self._recursive)
        from file_watcher.watching.inotify import InotifyEngine

        return InotifyEngine(
            self._library.root,
            handler,
            self._trouble,
            recursive=self._recursive,
            wants_folder=self._wants_folder,
            budget=self._budget,
            more_hints=self._more_hints,
        )

    def _hint(self, hint: Hint) -> None:
        if not self._closed.is_set():
            self._on_hint(hint)

    def _trouble(self, trouble: Trouble) -> None:
        if self._closed.is_set():
            return
        self._tell(trouble)
        if trouble.loses_hints:
            self._lost = trouble.detail
        try:
            self._on_trouble(trouble)
        except Exception:
            log.exception("trouble_not_taken", library=self._library.name, trouble=trouble.kind.value)

    def _tell(self, trouble: Trouble) -> None:
        name, detail = self._library.name, trouble.detail
        if trouble.loses_hints:
            log.warning("watch_trouble", library=name, trouble=trouble.kind.value, detail=detail)
            return
        # What may not be read cannot be listed either: the scan that follows tells of all such folders at once.
        tell = log.debug if trouble.errno == errno.EACCES else log.warning
        tell("folder_not_watched", library=name, detail=detail, effect="it is polled, and others like it")

    def _stop_failed(self, _thread: str, error: BaseException) -> None:
        """Logged by the thread itself; kept for whoever asks what became of the watch."""
        self._lost = f"the watch could not be stopped: {error!r}"


class _Engine(Protocol):
    """What runs an observer."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def drain(self, timeout: float) -> bool: ...
    def dead_thread(self) -> str | None: ...
    def watch_count(self) -> int: ...
    def unwatched(self) -> list[tuple[bytes, int]]: ...
    def watch_more(self) -> None: ...


class _HintHandler(FileSystemEventHandler):
    """Turns watchdog's events into hints."""

    def __init__(self, on_hint: Callable[[Hint], None], report: ReportTrouble) -> None:
        self._on_hint = on_hint
        self._report = report

    def dispatch(self, event: FileSystemEvent) -> None:
        """Never raises: an exception here would end the dispatcher."""
        try:
            for hint in hints_of(event):
                self._on_hint(hint)
        except Exception as exc:
            log.exception("hint_not_taken", watch_event=repr(event))
            self._report(Trouble(TroubleKind.EVENT_FAILED, f"a hint could not be taken: {exc!r}"))


def hints_of(event: FileSystemEvent) -> Iterator[Hint]:
    """The hints that an event gives: two for a move, one for each end; none for a folder's own change.

    What watchdog made up itself about the contents of a folder is left out: the folder's hint covers it.
    """
    if event.is_synthetic or (event.is_directory and event.event_type == "modified"):
        return
    path = inner(event.src_path)
    if isinstance(event, FileSystemMovedEvent):
        target = inner(event.dest_path)
        yield Hint(path, HintKind.MOVED, event.is_directory)
        yield Hint(target, HintKind.MOVED, event.is_directory, moved_from=path)
    elif (kind := _KINDS.get(event.event_type)) is not None:
        yield Hint(path, kind, event.is_directory)
