"""An import without a watcher: what one interpreter can do at most with files that somebody else has chosen.

Bounds `import-trees`. One thread makes the calls that no import can do without and commits a page of files at once;
our publisher's thread sends them. Nothing is noticed, waits, settles, is compared with the catalog or kept in order.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Final

import xxhash

from file_watcher.catalog.batch import Batch
from file_watcher.catalog.messages import NewMessage
from file_watcher.catalog.outbox import Outbox
from file_watcher.catalog.store import CatalogStore
from file_watcher.lifecycle import Deadline
from file_watcher.model import (
    EventType,
    FileEvent,
    FileRecord,
    FileStat,
    Fingerprint,
    Library,
    OutboxMessage,
    uuid7,
)
from file_watcher.processing.lease import ignore_lease_signals
from file_watcher.publishing.broker import BrokerConfig
from file_watcher.publishing.dispatch import RelayConfig
from file_watcher.publishing.lane import Lane
from file_watcher.publishing.message import encode_event, routing_key
from file_watcher.publishing.rabbitmq import Publisher
from tests.benchmarks.bench import Bench, counted_queue, settle_disk
from tests.benchmarks.trust import Untrue, require
from tests.support.catalog import opened

_PAGE: Final = 256
_BLOCK_SIZE: Final = 1 << 16
_PATIENCE_SECONDS: Final = 120.0


def bare_import(bench: Bench, root: Path, files: int) -> float:
    """Files per second from the first to the last confirm, for files of at most 64 KiB below the root."""
    settle_disk()
    ignore_lease_signals()
    with bench.folder("bare") as folder, opened(f"sqlite:///{folder}/catalog.sqlite3") as database:
        library = Library(1, "bare", "production", os.fsencode(root))
        importer = _Importer(CatalogStore(database), Outbox(database, [library.id]), library, files)
        with counted_queue(bench.broker_url, "bare") as queued:
            publisher = Publisher(BrokerConfig(bench.broker_url, "bare"), "bench", importer, importer.fail)
            publisher.start()
            try:
                require(importer.ready.wait(_PATIENCE_SECONDS), publisher.health().detail)
                rate = importer.run()
            finally:
                publisher.close()
                publisher.join(Deadline(5))
            require(queued() == files, f"{files} files were published and {queued()} arrived")
    return rate


class _Importer:
    """A publishing.lane.Listener; `run` is for the thread that imports."""

    def __init__(self, store: CatalogStore, outbox: Outbox, library: Library, files: int) -> None:
        self._store = store
        self._outbox = outbox
        self._library = library
        self._files = files
        self._lane: Lane | None = None
        self._error: BaseException | None = None
        self._buffer = memoryview(bytearray(_BLOCK_SIZE))
        self._sequences = count(1)
        self._submitted = 0
        self._confirmed: list[int] = []
        self._count = 0
        self._first: tuple[float, int] | None = None
        self._last = 0.0
        self._change = threading.Condition()
        self.ready = threading.Event()

    def run(self) -> float:
        """Import everything; see `bare_import`."""
        page: list[bytes] = []
        for folder, _, names in os.walk(self._library.root):
            for name in names:
                page.append(os.path.join(folder, name))
                if len(page) == _PAGE:
                    self._import(page)
                    page.clear()
        self._import(page)
        self._wait_for_confirms(self._files)
        assert self._first is not None
        began, uncounted = self._first
        return (self._files - uncounted) / (self._last - began)

    def _import(self, page: Sequence[bytes]) -> None:
        read = [self._read(path) for path in page]
        records, messages, sent = [], [], []
        for path, (stat, fingerprint) in zip(page, read, strict=True):
            os.lstat(path)
            now_ns = time.time_ns()
            record = FileRecord(path, self._library.id, uuid7(now_ns), 1, stat, fingerprint)
            event = FileEvent(
                EventType.CREATED,
                path,
                self._library,
                record.file_id,
                1,
                None,
                stat,
                fingerprint,
                None,
                event_id=uuid7(now_ns),
                timestamp_ns=now_ns,
            )
            key, body = routing_key(event), encode_event(event, "bench")
            records.append(record)
            messages.append(
                NewMessage(
                    event.event_id, "created", key, self._library.id, path, body, now_ns, record.file_id
                )
            )
            number = next(self._sequences)
            sent.append(
                OutboxMessage(
                    number, event.event_id, "created", key, self._library.name, path, None, body, now_ns
                )
            )
        self._store.commit(Batch(inserts=records, messages=messages))
        self._outbox.mark_published(self._confirmed_so_far())
        self._submitted += len(sent)
        self._wait_for_confirms(self._submitted - RelayConfig().window)
        assert self._lane is not None
        self._lane.submit(sent)

    def _read(self, path: bytes) -> tuple[FileStat, Fingerprint]:
        os.lstat(path)
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
            stat = FileStat.of(os.fstat(descriptor))
            content = self._buffer[: os.readv(descriptor, [self._buffer])]
            hashes = Fingerprint(hashlib.sha256(content).digest(), xxhash.xxh3_128(content).digest())
            os.fstat(descriptor)
        finally:
            os.close(descriptor)
        return stat, hashes

    def _confirmed_so_far(self) -> list[int]:
        with self._change:
            confirmed, self._confirmed = self._confirmed, []
        return confirmed

    def _wait_for_confirms(self, count: int) -> None:
        with self._change:
            in_time = self._change.wait_for(
                lambda: self._error is not None or self._count >= count, _PATIENCE_SECONDS
            )
        if self._error is not None:
            raise self._error
        require(in_time, f"{self._count} of {count} files were confirmed")

    def on_ready(self, lane: Lane) -> None:
        self._lane = lane
        self.ready.set()

    def on_confirmed(self, messages: Sequence[OutboxMessage]) -> None:
        self._last = time.perf_counter()
        with self._change:
            self._count += len(messages)
            self._confirmed += [message.sequence for message in messages]
            if self._first is None:
                self._first = (self._last, self._count)
            self._change.notify()

    def on_unrouted(self, messages: Sequence[OutboxMessage]) -> None:
        self.fail("broker", Untrue(f"{len(messages)} messages found no queue"))

    def on_set_aside(self, messages: Sequence[OutboxMessage]) -> None:
        self.fail("broker", Untrue(f"{len(messages)} messages were too large"))

    def on_lost(self) -> None:
        if self._count < self._files:
            self.fail("broker", Untrue("the connection was lost"))

    def fail(self, _thread: str, error: BaseException) -> None:
        """Let `run` raise it."""
        with self._change:
            self._error = error
            self._change.notify()
