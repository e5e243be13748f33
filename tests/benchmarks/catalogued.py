"""A large library that is catalogued already: files of a few bytes, and a catalog that was written directly.

The rows are what an import would have left, with the stat that each file has; importing would take minutes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from file_watcher.catalog.batch import Batch
from file_watcher.catalog.database import Database
from file_watcher.catalog.libraries import Libraries
from file_watcher.catalog.requests import Requests
from file_watcher.catalog.schema import migrate
from file_watcher.catalog.store import CatalogStore
from file_watcher.model import FileRecord, FileStat, Fingerprint, uuid7
from tests.benchmarks.bench import Bench, settle_disk
from tests.benchmarks.corpus import plain_library
from tests.benchmarks.subject import Subject, subject
from tests.benchmarks.trust import require

PER_FOLDER: Final = 20
_ROWS_A_COMMIT: Final = 5_000
_SCAN_PATIENCE_SECONDS: Final = 300.0


@contextmanager
def catalogued_library(bench: Bench, files: int) -> Iterator[tuple[Path, list[bytes]]]:
    """A library of so many files, 20 in each folder; yields its root and their paths. Takes seconds."""
    with bench.folder("catalogued") as folder:
        root = folder / "library"
        root.mkdir()
        yield root, plain_library(root, max(files // PER_FOLDER, 1), min(files, PER_FOLDER))


@contextmanager
def catalogued(bench: Bench, root: Path, paths: Sequence[bytes]) -> Iterator[Subject]:
    """A service that knows all of them already, not started. Afterwards it must have told nothing."""
    with subject(bench, root) as tried:
        write_catalog(tried.url, os.fsencode(root), paths)
        settle_disk()
        yield tried
        require(tried.queued() == 0, f"{tried.queued()} files counted as changed")


def write_catalog(url: str, root: bytes, paths: Sequence[bytes]) -> None:
    """Make a catalog in which the library at `root` and these files are known, and nothing is to be told."""
    database = Database(url)
    database.open()
    try:
        migrate(database)
        library = Libraries(database).ensure_library(root)
        store = CatalogStore(database)
        store.own([library])
        store.set_root_device(library.id, os.stat(root).st_dev)
        records = [_record(path, library.id) for path in paths]
        for start in range(0, len(records), _ROWS_A_COMMIT):
            store.commit(Batch(inserts=records[start : start + _ROWS_A_COMMIT]))
    finally:
        database.close()


def _record(path: bytes, library_id: int) -> FileRecord:
    """What a settled file's row says; nothing reads the file, so that any fingerprint will do."""
    stat = FileStat.of(os.stat(path))
    return FileRecord(path, library_id, uuid7(), 1, stat, Fingerprint(path[-32:].rjust(32), path[-16:]))


def rescan(tried: Subject, files: int) -> float:
    """Ask for a scan as `file_watcher scan` does; the seconds that it took. Raises `Untrue` where the scan
    saw another number of files."""
    database = Database(tried.url)
    database.open()
    try:
        requests = Requests(database)
        request = requests.wait(requests.ask("scan", {}), _SCAN_PATIENCE_SECONDS)
    finally:
        database.close()
    result = request.result
    require(result is not None and request.state == "done", f"the scan ended as {request.state}: {result}")
    assert result is not None
    require(result["files"] == files, f"the scan saw {result['files']} of {files} files")
    return float(result["seconds"])
