"""Joins the catalog and the wire: what the decider and the keeper record becomes rows and messages.

Owns no thread. The parts on either side do not know each other.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from file_watcher.catalog.batch import Batch
from file_watcher.catalog.libraries import Libraries, LibraryState, mark_unwatched
from file_watcher.catalog.messages import NewMessage
from file_watcher.catalog.outbox import Outbox
from file_watcher.catalog.store import CatalogStore
from file_watcher.errors import CatalogUnavailable
from file_watcher.jobs.job import WindowChange
from file_watcher.model import FileEvent, FileRecord, Library, Notice, uuid7
from file_watcher.processing.view import RowChanges
from file_watcher.publishing.message import encode_event, encode_notice, routing_key
from file_watcher.telemetry import Telemetry
from file_watcher.watching.memory import RememberedRoot
from file_watcher.watching.nested import MountIdentity
from file_watcher.watching.sight import RootIdentity

EVENTS: Final = "file_events"
"""Label of the queue in `watcher_enqueue_total`."""
UNWATCHED: Final = "library.unwatched"
_ROUND_SECONDS: Final = 2.0
"""A round of decisions takes milliseconds, and as long as the database is away."""


class SystemClock:
    """The wall clock and fresh identifiers."""

    def now_ns(self) -> int:
        """Nanoseconds since the epoch."""
        return time.time_ns()

    def new_id(self) -> str:
        """A fresh UUIDv7."""
        return uuid7()


class Ledger:
    """The decider's catalog: loads rows, commits rows and messages together."""

    def __init__(
        self,
        store: CatalogStore,
        instance_id: str,
        telemetry: Telemetry,
        windows_of: Callable[[Sequence[FileEvent]], Sequence[WindowChange]] = lambda _events: (),
        on_windows: Callable[[int], None] = lambda _due_ns: None,
    ) -> None:
        """`windows_of(events)` tells what they add to the windows of jobs; `on_windows(due_ns)` is told, after the
        commit, when the first of these is due."""
        self._store = store
        self._instance_id = instance_id
        self._telemetry = telemetry
        self._windows_of = windows_of
        self._on_windows = on_windows

    def load(
        self, paths: Iterable[bytes], inodes: Iterable[int], contents: Iterable[tuple[int, bytes]]
    ) -> list[FileRecord]:
        """Rows at the paths, with the inodes, or with the contents."""
        return self._store.load(list(paths), list(inodes), list(contents))

    def records_below(self, paths: Collection[bytes]) -> dict[bytes, list[FileRecord]]:
        """Every row below each of the paths, for those that have any."""
        return self._store.records_below_any(paths)

    def record(self, rows: RowChanges, events: Sequence[FileEvent]) -> None:
        """Commit rows and events together. Raises CatalogUnavailable where it is undone or unknown."""
        deletes = [row.row_id for row in rows.deletes if row.row_id is not None]
        messages = [self._message(event) for event in events]
        deletes_of = {row.library_id for row in rows.deletes}
        windows = self._windows_of(events)
        self._store.commit(Batch(deletes, rows.updates, rows.inserts, messages, deletes_of, windows))
        if windows:
            self._on_windows(min(change.due_ns for change in windows))
        for kind, count in Counter(event.event_type for event in events).items():
            self._telemetry.recorded(EVENTS, kind, count)

    def _message(self, event: FileEvent) -> NewMessage:
        return NewMessage(
            event_id=event.event_id,
            event_type=event.event_type,
            routing_key=routing_key(event),
            library_id=event.library.id,
            path=event.path,
            body=encode_event(event, self._instance_id),
            created_ns=event.noticed_ns or event.timestamp_ns,
            file_id=event.file_id,
            old_path=event.old_path,
        )


class LibraryMemory:
    """The keeper's memory: roots and states of libraries, and the notices about them."""

    def __init__(
        self,
        libraries: Libraries,
        store: CatalogStore,
        outbox: Outbox,
        instance_id: str,
        learn_mounts: Callable[[Library], None],
        on_recorded: Callable[[], None],
        telemetry: Telemetry,
        is_decided: Callable[[float], bool] = lambda _seconds: True,
    ) -> None:
        """`is_decided(seconds)` waits so long at most until the round of decisions that is under way is over."""
        self._libraries = libraries
        self._store = store
        self._outbox = outbox
        self._instance_id = instance_id
        self._learn_mounts = learn_mounts
        self._on_recorded = on_recorded
        self._telemetry = telemetry
        self._is_decided = is_decided

    def recall(self, library: Library) -> RememberedRoot:
        """What is remembered of the library's root."""
        state = self._libraries.library_state(library.id)
        if state is None:
            return RememberedRoot()
        if state.root not in (None, library.root):
            return RememberedRoot(was_elsewhere=True)
        mounts = state.mounts
        known = None if mounts is None else {point: MountIdentity(*each) for point, each in mounts.items()}
        return RememberedRoot(state.root_inode, state.fsid, state.first_scan_done, known)

    def remember(
        self, library: Library, root: RootIdentity | None, *, suspended: str | None, first_scan_done: bool
    ) -> None:
        """Keep the library's state, and the root's identity where there is a new one."""
        before = self._state_here(library)
        self._libraries.save_library_state(
            replace(
                before,
                state="active" if suspended is None else "suspended",
                reason=suspended,
                root_device=root.device if root else before.root_device,
                root_inode=root.inode if root else before.root_inode,
                fsid=str(root.fsid) if root else before.fsid,
                first_scan_done=first_scan_done or before.first_scan_done,
                root=library.root if first_scan_done else before.root,
            )
        )

    def remember_mounts(self, library: Library, mounts: Mapping[bytes, MountIdentity]) -> None:
        """Keep the disks that are known below the root."""
        self._libraries.save_library_state(replace(self._state_here(library), mounts=mounts))

    def _state_here(self, library: Library) -> LibraryState:
        """What is remembered; of another root than now only where it was."""
        state = self._libraries.library_state(library.id) or LibraryState(library.id)
        if state.root in (None, library.root):
            return state
        return LibraryState(library.id, root=state.root, updated_ns=state.updated_ns)

    def count(self, library: Library) -> int:
        """How many files of the library are catalogued."""
        return self._store.count(library.id)

    def holds_below(self, folder: bytes) -> bool:
        """Whether any file below the folder is catalogued."""
        return self._store.exists_below(folder)

    def use_device(self, library: Library, device: int) -> None:
        """Say which device the root lies on now, before any row is read."""
        self._store.set_root_device(library.id, device)
        self._learn_mounts(library)

    def announce(self, kind: str, library: Library, fields: Mapping[str, Any]) -> None:
        """Record a notice about the library."""
        self._outbox.record([self._notice(kind, library, fields)])
        self._tell_recorded(kind)

    def say_goodbye(self, library: Library) -> None:
        """Record that the library is watched no more, unless that was recorded already.

        Asked for again after an outage it records nothing again. Raises CatalogUnavailable also while a decision
        is under way: the notice is the last that is recorded of the library.
        """
        if not self._is_decided(_ROUND_SECONDS):
            raise CatalogUnavailable("a decision about a library that is watched no more takes long")
        notice = self._notice(UNWATCHED, library, {})
        if self._outbox.record([notice], only_if=lambda on: mark_unwatched(on, library.id)) is not None:
            self._tell_recorded(UNWATCHED)

    def _notice(self, kind: str, library: Library, fields: Mapping[str, Any]) -> NewMessage:
        now_ns = time.time_ns()
        notice = Notice(kind, library, fields, uuid7(now_ns), now_ns)
        return NewMessage(
            event_id=notice.event_id,
            event_type=kind,
            routing_key=routing_key(notice),
            library_id=library.id,
            path=library.root,
            body=encode_notice(notice, self._instance_id),
            created_ns=now_ns,
        )

    def _tell_recorded(self, kind: str) -> None:
        self._telemetry.recorded(EVENTS, kind)
        self._on_recorded()
