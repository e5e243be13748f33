"""Records and messages for tests of the catalog, all alike unless the test says otherwise."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from file_watcher.catalog.database import Database
from file_watcher.catalog.messages import NewMessage
from file_watcher.catalog.schema import migrate
from file_watcher.catalog.store import CatalogStore
from file_watcher.model import FileRecord, FileStat, Fingerprint, Library, uuid7

ROOT = b"/data/music"
DEVICE = 0xFD01

_HOLD_THE_WRITE_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
"""


@contextmanager
def another_process_writes(path: Path) -> Iterator[None]:
    """Another process has a transaction open in the SQLite file for as long as the block lasts."""
    command = [sys.executable, "-c", _HOLD_THE_WRITE_LOCK, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield
        finally:
            process.communicate("go\n", timeout=10)


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """An open database with a current schema."""
    database = Database(url)
    database.open()
    try:
        migrate(database)
        yield database
    finally:
        database.close()


def music(library_id: int = 1) -> Library:
    """The library that the records belong to."""
    return Library(library_id, "music", "production", ROOT)


def store_of(database: Database, **options: Any) -> CatalogStore:
    """A store that owns `music()`, whose root lies on `DEVICE`."""
    store = CatalogStore(database, **options)
    store.own([music()])
    store.set_root_device(1, DEVICE)
    return store


def record(name: str | bytes, **changes: Any) -> FileRecord:
    """A record of a settled, hashed file below `ROOT`; `stat` fields may be given by their names."""
    path = ROOT + b"/" + (name.encode() if isinstance(name, str) else name)
    stat = {"size": 1000, "mtime_ns": 10**18, "ctime_ns": 10**18 + 1, "device": DEVICE, "inode": 42}
    stat |= {key: changes.pop(key) for key in list(changes) if key in stat}
    values: dict[str, Any] = {
        "path": path,
        "library_id": 1,
        "file_id": uuid7(),
        "version": 1,
        "stat": FileStat(**stat),
        "fingerprint": Fingerprint(b"s" * 32, b"x" * 16),
    }
    return FileRecord(**(values | changes))


def message(about: FileRecord | None = None, event_type: str = "created", **changes: Any) -> NewMessage:
    """A message about the record, or a notice about the library."""
    values: dict[str, Any] = {
        "event_id": uuid7(),
        "event_type": event_type,
        "routing_key": f"file.{event_type}" if about else "library.scanned",
        "library_id": about.library_id if about else 1,
        "file_id": about.file_id if about else None,
        "path": about.path if about else ROOT,
        "old_path": None,
        "body": b'{"event_type": "x"}',
        "created_ns": time.time_ns(),
    }
    return NewMessage(**(values | changes))
