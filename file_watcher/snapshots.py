"""Joins the catalog and the wire once more: tells again, on request, what a library's catalog knows.

A snapshot is a notice `snapshot.begin`, one `created` for each file, and a notice `snapshot.end`. Like every
notice they carry the library's root as their path, and nothing on or below a path is under way to the broker
together with it: the beginning is confirmed before the first file is sent, and every file before the end.

Owns no thread; the desk's calls it, and waits for the database.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from file_watcher.catalog.messages import NewMessage
from file_watcher.catalog.snapshot import Recorded, Scope, SnapshotWriter
from file_watcher.errors import UsageError
from file_watcher.model import EventType, FileEvent, FileRecord, Library, Notice, display, uuid7
from file_watcher.publishing.message import encode_event, encode_notice, routing_key, utc_text
from file_watcher.telemetry import Telemetry

BEGIN: Final = "snapshot.begin"
END: Final = "snapshot.end"
_LABEL: Final = "replay"
"""Label of the queue in `watcher_enqueue_total`: what is told again is no change."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a command asks for. With nothing set: all libraries, whole, to the exchange.

    `folders` are the ways to write one absolute path, of which the first counts that lies inside of a library;
    `since_ns` is in ns since the epoch; `queue` alone gets the messages.
    """

    library: str | None = None
    folders: tuple[bytes, ...] = ()
    since_ns: int | None = None
    queue: str | None = None

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Wish:
        """What stands in a request (see `arguments`)."""
        return cls(
            arguments.get("library"),
            tuple(os.fsencode(folder) for folder in arguments.get("folders", ())),
            arguments.get("since_ns"),
            arguments.get("queue"),
        )

    def arguments(self) -> dict[str, Any]:
        """The wish as a request carries it: JSON, with bytes that are no UTF-8 as surrogates."""
        folders = [os.fsdecode(folder) for folder in self.folders]
        return {"library": self.library, "folders": folders, "since_ns": self.since_ns, "queue": self.queue}

    def folder_in(self, library: Library) -> bytes | None:
        """What is meant of the library; None for nothing of it."""
        ways = self.folders or (library.root,)
        return next((folder for folder in ways if library.holds(folder)), None)


class Telling:
    """The words of one snapshot of one library (see `catalog.snapshot.Wording`)."""

    def __init__(
        self, library: Library, scope: Scope, queue: str | None, instance_id: str, now_ns: int
    ) -> None:
        self.snapshot = uuid7(now_ns)
        self.library = library
        self._queue = queue
        self._instance_id = instance_id
        self._now_ns = now_ns
        whole = scope.folder == library.root
        self._scope: dict[str, Any] = {
            "library": library.name,
            "path_prefix": None if whole else display(scope.folder),
            "changed_since": None if scope.since_ns is None else utc_text(scope.since_ns),
        }
        if not whole and display(scope.folder).encode() != scope.folder:
            self._scope["path_prefix_base64"] = base64.b64encode(scope.folder).decode("ascii")

    def begin(self, suspended: str | None) -> NewMessage:
        """Says what comes, and whether the library is watched at present."""
        return self._notice(BEGIN, {"suspended": suspended is not None, "reason": suspended})

    def file(self, record: FileRecord) -> NewMessage:
        """The file as the last message about it left it."""
        event = FileEvent(
            EventType.CREATED,
            record.path,
            self.library,
            record.file_id,
            record.version,
            None,
            record.stat,
            record.fingerprint,
            record.metadata,
            growing=record.growing,
            event_id=uuid7(self._now_ns),
            timestamp_ns=self._now_ns,
            snapshot=self.snapshot,
        )
        body = encode_event(event, self._instance_id)
        return self._message(event, record.path, body, file_id=record.file_id)

    def end(self, count: int) -> NewMessage:
        """Says that it was all, so that a consumer can forget what was not in it."""
        return self._notice(END, {"count": count})

    def _notice(self, kind: str, fields: Mapping[str, Any]) -> NewMessage:
        fields = {"snapshot": self.snapshot, "scope": self._scope, **fields}
        notice = Notice(kind, self.library, fields, uuid7(self._now_ns), self._now_ns)
        return self._message(notice, self.library.root, encode_notice(notice, self._instance_id))

    def _message(
        self, told: FileEvent | Notice, path: bytes, body: bytes, file_id: str | None = None
    ) -> NewMessage:
        return NewMessage(
            told.event_id,
            told.kind if isinstance(told, Notice) else told.event_type,
            routing_key(told),
            self.library.id,
            path,
            body,
            self._now_ns,
            file_id,
            queue=self._queue,
            snapshot=self.snapshot,
        )


class Replayer:
    """Records the snapshots that requests want."""

    def __init__(
        self,
        writer: SnapshotWriter,
        libraries: Callable[[], Sequence[Library]],
        instance_id: str,
        on_recorded: Callable[[], None],
        telemetry: Telemetry,
    ) -> None:
        """`libraries()` are those that the service watches, or waits for."""
        self._writer = writer
        self._libraries = libraries
        self._instance_id = instance_id
        self._on_recorded = on_recorded
        self._telemetry = telemetry

    def replay(
        self, request_id: int, wish: Wish, should_stop: Callable[[], bool]
    ) -> Mapping[str, Any] | None:
        """Record what is wished and answer the request, in one transaction; None where stopped before.

        Asking again for the same request records nothing again. Blocks (see `SnapshotWriter.answer`). Raises
        UsageError where there is nothing such, CatalogUnavailable or CatalogError.
        """
        began, now_ns = time.monotonic(), time.time_ns()
        scopes = chosen(self._libraries(), wish)
        told = [
            (scope, Telling(library, scope, wish.queue, self._instance_id, now_ns))
            for library, scope in scopes
        ]

        def answer(recorded: Sequence[Recorded]) -> Mapping[str, Any]:
            snapshots = [_shown(telling, each) for (_, telling), each in zip(told, recorded, strict=True)]
            return {"snapshots": snapshots, "seconds": round(time.monotonic() - began, 3)}

        result = self._writer.answer(request_id, told, answer, should_stop)
        if result is not None:
            self._count(result)
            self._on_recorded()
        return result

    def _count(self, result: Mapping[str, Any]) -> None:
        snapshots = result["snapshots"]
        for kind, count in (
            (BEGIN, len(snapshots)),
            (EventType.CREATED, sum(each["files"] for each in snapshots)),
            (END, len(snapshots)),
        ):
            self._telemetry.recorded(_LABEL, kind, count)


def chosen(libraries: Sequence[Library], wish: Wish) -> list[tuple[Library, Scope]]:
    """The libraries that are meant, with their scopes. Raises UsageError, in words, where there is none."""
    if not libraries:
        raise UsageError(
            "No library is watched, so there is nothing to replay; DATA_DIR says what is watched"
        )
    named = [each for each in libraries if wish.library in (None, each.name)]
    if not named:
        raise UsageError(f"No watched library is named {wish.library}; there is {_listed(libraries)}")
    scopes = [
        (each, Scope(each.id, folder, wish.since_ns))
        for each in named
        if (folder := wish.folder_in(each)) is not None
    ]
    if not scopes:
        raise UsageError(f"{display(wish.folders[0])} lies outside of {_listed(named)}; give a path inside")
    return scopes


def _listed(libraries: Sequence[Library]) -> str:
    return ", ".join(f"{each.name} ({display(each.root)})" for each in libraries)


def _shown(telling: Telling, recorded: Recorded) -> dict[str, Any]:
    return {
        "snapshot": telling.snapshot,
        "library": telling.library.name,
        "files": recorded.files,
        "first": recorded.first,
        "last": recorded.last,
        "suspended": recorded.suspended,
    }
