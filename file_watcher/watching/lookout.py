"""The lookout of one library: the kernel's watch on it, or the knowledge that it has to be polled.

Owns no thread but those of its watches. A watch is never repaired: a new one stands before the old one
goes, so that nothing happens unseen in between. Only the keeper's thread changes anything here; the rest
may be asked from others.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from file_watcher.errors import RetryableError
from file_watcher.lifecycle import Deadline
from file_watcher.model import Hint, HintKind, Library, display
from file_watcher.watching.filters import PathFilter
from file_watcher.watching.limits import NO_ROOM, WatchBudget, explain_watch_error
from file_watcher.watching.mounts import MountTable, needs_polling
from file_watcher.watching.observer import LibraryWatch
from file_watcher.watching.trouble import Trouble

log = structlog.get_logger(__name__)


_LETTING_GO_SECONDS: Final = 2.0
"""A watch ends within half a second (see `inotify`); one that hangs is not waited for."""


@dataclass(frozen=True, slots=True)
class LookoutConfig:
    """`observer`: native (the kernel or nothing), polling, or auto (the kernel where it can tell).

    `more_hints`: those of these kinds, too.
    """

    observer: str = "auto"
    recursive: bool = True
    more_hints: frozenset[HintKind] = frozenset()


class Lookout:
    """Keeps watches on one library."""

    def __init__(
        self,
        config: LookoutConfig,
        library: Library,
        path_filter: PathFilter,
        observe: Callable[[Hint, Library], None],
        on_trouble: Callable[[], None],
        budget: WatchBudget | None = None,
    ) -> None:
        """`observe` takes the hints and `on_trouble` learns that some were lost, both on the watch's threads."""
        self._config = config
        self._library = library
        self._path_filter = path_filter
        self._observe = observe
        self._on_trouble = on_trouble
        self._budget = budget or WatchBudget()
        self._watch: LibraryWatch | None = None
        self._retired: list[LibraryWatch] = []
        self._lost_hints = threading.Event()
        self._closing = False
        self.polled: str | None = None
        """Why the library is polled, None where the kernel watches it."""
        self._polled_mounts: dict[bytes, str] = {}
        """Disks below the root that the kernel does not tell all of, with their filesystem types."""
        self._told: str | None = None
        self.can_try_again = False
        """Whether it is polled only because the kernel refused a watch, which it may grant later."""
        self.added = self.removed = 0
        """Folders' watches since the start."""

    def stand(self) -> None:
        """Put up a new watch, or decide to poll; then let go of the old watch, if any.

        Blocks until the watch stands. The old watch goes first only where there is no room for both. Raises RetryableError where only the kernel may watch and cannot now;
        nothing is watched then.
        """
        old, self._watch = self._watch, None
        self.polled, self.can_try_again = self._why_poll(), False
        try:
            if self.polled is None:
                self._start_watch(is_last_try=old is None)
        finally:
            self._retire(old)
        if old is not None and self._lacks_room():
            # The old watch held what the new one needs. The gap is scanned, as after every new watch.
            old.join(Deadline(_LETTING_GO_SECONDS))
            self._watch_more()
        if self.polled is not None and self.polled != self._told:
            log.warning("library_polled", library=self._library.name, reason=self.polled)
        self._told = self.polled

    def leave(self) -> None:
        """Watch no more. Never blocks."""
        old, self._watch = self._watch, None
        self.polled, self.can_try_again, self._told = None, False, None
        self._retire(old)

    def close(self) -> None:
        """The end: a watch that is just being put up goes again. May be called from any thread."""
        self._closing = True
        if (watch := self._watch) is not None:
            watch.close()

    def join(self, deadline: Deadline) -> bool:
        """Wait for the threads of all watches, after `close`."""
        watches = [watch for watch in (self._watch, *self._retired) if watch is not None]
        for watch in watches:
            watch.close()
        joined = [watch.join(deadline) for watch in watches]
        return all(joined)

    def why_renew(self) -> str | None:
        """Why hints can be relied on no more; None while they can, or nothing is watched."""
        if self._watch is None:
            return None
        return "hints were lost" if self._lost_hints.is_set() else self._watch.alive()

    def is_blind(self) -> bool:
        """Whether something of the library is only seen by scans."""
        return self.why_blind() is not None

    def why_blind(self) -> str | None:
        """What is only seen by scans and why, in words; None where the kernel tells of everything."""
        if self.polled is not None:
            return self.polled
        if unwatched := self.unwatched():
            folder, number = unwatched[0]
            reason = explain_watch_error(OSError(number, os.strerror(number)), folder)
            return f"folders that cannot be watched: {len(unwatched)}. {reason}"
        if (watch := self._watch) is None:
            return None
        if mounts := self._polled_mounts:
            point = min(mounts)
            return f"{mounts[point]} at {display(point)} does not tell of all changes"
        return watch.may_miss()

    def polled_count(self) -> int:
        """How many trees of folders are polled."""
        return (self.polled is not None) + len(self.unwatched()) + len(self._polled_mounts)

    def retry(self) -> None:
        """Try once more to watch the folders that the kernel refused; the next scan has to cover them."""
        if (watch := self._watch) is None or not (refused := len(watch.unwatched())):
            return
        before = watch.watch_count()
        watch.watch_more()
        self.added += max(0, watch.watch_count() - before)
        if len(watch.unwatched()) < refused:
            log.info("folders_watched_again", library=self._library.name, refused=len(watch.unwatched()))

    def drain(self, timeout: float) -> bool:
        """Wait until all that happened before the call was hinted at; False where only a scan can tell."""
        watch, deadline = self._watch, Deadline(timeout)
        return watch is not None and watch.drain(deadline.remaining()) and not self.is_blind()

    def watch_count(self) -> int:
        """How many folders are watched."""
        watch = self._watch
        return 0 if watch is None else watch.watch_count()

    def unwatched(self) -> list[tuple[bytes, int]]:
        """Folders that the kernel does not watch, with errno; they are polled."""
        watch = self._watch
        return [] if watch is None else watch.unwatched()

    def _why_poll(self) -> str | None:
        self._polled_mounts = {}
        if self._config.observer == "polling":
            return "the settings say so"
        if self._config.observer == "native":
            return None
        table = MountTable.read()
        fs_type = table.fs_type_of(self._library.root)
        if needs_polling(fs_type):
            return f"{fs_type} does not tell of all changes"
        below = table.mounts_below(self._library.root)
        self._polled_mounts = {
            point: mount.fs_type for point, mount in below.items() if needs_polling(mount.fs_type)
        }
        return None

    def _lacks_room(self) -> bool:
        return self.can_try_again or any(number in NO_ROOM for _, number in self.unwatched())

    def _watch_more(self) -> None:
        if self.can_try_again:
            self.polled, self.can_try_again = None, False
            self._start_watch(is_last_try=True)
        else:
            self.retry()

    def _start_watch(self, *, is_last_try: bool) -> None:
        watch = self._new_watch()
        # Known before it stands: whoever closes the lookout meanwhile closes it too.
        self._watch = watch
        if self._closing:
            return
        try:
            watch.start()
        except RetryableError as exc:
            self._watch = None
            if self._config.observer == "native" and is_last_try:
                raise
            self.polled, self.can_try_again = str(exc), True
            return
        self.added += watch.watch_count()

    def _new_watch(self) -> LibraryWatch:
        lost_hints = self._lost_hints = threading.Event()

        def note(trouble: Trouble) -> None:
            if trouble.loses_hints:
                lost_hints.set()
                self._on_trouble()

        return LibraryWatch(
            self._library,
            lambda hint: self._observe(hint, self._library),
            note,
            recursive=self._config.recursive,
            more_hints=self._config.more_hints,
            wants_folder=self._path_filter.wants_folder,
            budget=self._budget,
        )

    def _retire(self, watch: LibraryWatch | None) -> None:
        """Close a watch and remember it until its threads have ended."""
        self._retired = [each for each in self._retired if not each.join(Deadline(0))]
        if watch is not None:
            self.removed += watch.watch_count()
            watch.close()
            self._retired.append(watch)
