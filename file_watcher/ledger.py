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
from file_watcher.catalog.libraries import Libraries, LibraryState
from file_watcher.catalog.messages import NewMessage
from file_watcher.catalog.outbox import Outbox
from file_watcher.catalog.store import CatalogStore
from file_watcher.model import FileEvent, FileRecord, Library, Notice, uuid7
from file_watcher.processing.view import RowChanges
from file_watcher.publishing.message import encode_event, encode_notice, routing_key
from file_watcher.telemetry import Telemetry
from file_watcher.watching.memory import RememberedRoot
from file_watcher.watching.nested import MountIdentity
from file_watcher.watching.sight import RootIdentity

EVENTS: Final = "file_events"
"""Label of the queue in `watcher_enqueue_total`."""


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

    def __init__(self, store: CatalogStore, instance_id: str, telemetry: Telemetry) -> None:
        self._store = store
        self._instance_id = instance_id
        self._telemetry = telemetry

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
        self._store.commit(Batch(deletes, rows.updates, rows.inserts, messages))
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
    ) -> None:
        self._libraries = libraries
        self._store = store
        self._outbox = outbox
        self._instance_id = instance_id
        self._learn_mounts = learn_mounts
        self._on_recorded = on_recorded
        self._telemetry = telemetry

    def recall(self, library: Library) -> RememberedRoot:
        """What is remembered of the library's root."""
        state = self._libraries.library_state(library.id)
        if state is None:
            return RememberedRoot()
        mounts = state.mounts
        known = None if mounts is None else {point: MountIdentity(*each) for point, each in mounts.items()}
        return RememberedRoot(state.root_inode, state.fsid, state.first_scan_done, known)

    def remember(
        self, library: Library, root: RootIdentity | None, *, suspended: str | None, first_scan_done: bool
    ) -> None:
        """Keep the library's state, and the root's identity where there is a new one."""
        before = self._libraries.library_state(library.id) or LibraryState(library.id)
        self._libraries.save_library_state(
            replace(
                before,
                state="active" if suspended is None else "suspended",
                reason=suspended,
                root_device=root.device if root else before.root_device,
                root_inode=root.inode if root else before.root_inode,
                fsid=str(root.fsid) if root else before.fsid,
                first_scan_done=first_scan_done or before.first_scan_done,
            )
        )

    def remember_mounts(self, library: Library, mounts: Mapping[bytes, MountIdentity]) -> None:
        """Keep the disks that are known below the root."""
        before = self._libraries.library_state(library.id) or LibraryState(library.id)
        self._libraries.save_library_state(replace(before, mounts=mounts))

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
        now_ns = time.time_ns()
        notice = Notice(kind, library, fields, uuid7(now_ns), now_ns)
        message = NewMessage(
            event_id=notice.event_id,
            event_type=kind,
            routing_key=routing_key(notice),
            library_id=library.id,
            path=library.root,
            body=encode_notice(notice, self._instance_id),
            created_ns=now_ns,
        )
        self._outbox.record([message])
        self._telemetry.recorded(EVENTS, kind)
        self._on_recorded()
