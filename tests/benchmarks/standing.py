"""A large library that is catalogued already: how soon the service is ready, and what a rescan costs.

The catalog is written directly, with the stat that each file has; importing it would take minutes.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from file_watcher.catalog.batch import Batch
from file_watcher.catalog.database import Database
from file_watcher.catalog.libraries import Libraries
from file_watcher.catalog.requests import Requests
from file_watcher.catalog.schema import migrate
from file_watcher.catalog.store import CatalogStore
from file_watcher.model import FileRecord, FileStat, Fingerprint, uuid7
from tests.benchmarks.bench import Bench, counted_queue, settle_disk, timed
from tests.benchmarks.corpus import plain_library
from tests.benchmarks.figure import Figure
from tests.benchmarks.importing import has_ended
from tests.support.service import ServiceProcess
from tests.support.waiting import wait_for

_FOLDERS: Final = 5_000
_PER_FOLDER: Final = 20
_READY_SECONDS: Final = 2.0
_ROWS_A_COMMIT: Final = 5_000


def measure(bench: Bench) -> list[Figure]:
    """100,000 files in 5,000 folders."""
    exchange = "standing"
    with bench.folder("standing") as folder, counted_queue(bench.broker_url, exchange, "file.#") as queued:
        root = folder / "library"
        root.mkdir()
        paths = plain_library(root, _FOLDERS, _PER_FOLDER)
        url = f"sqlite:///{folder / 'catalog.sqlite3'}"
        _catalogue(url, os.fsencode(root), paths)
        settle_disk()
        finding = min(_find(root), _find(root))
        service = ServiceProcess(folder, root, bench.broker_url, exchange, url, INSTANCE_ID="bench")
        try:
            ready, _ = timed(lambda: _start(service))
            scanning, growth = _rescan(service, url)
        finally:
            service.stop()
        assert queued() == 0, "a file counted as changed"
    scan_facts = {"peak_memory_growth_mb": growth, "files": float(len(paths))}
    return [
        Figure(
            "rescan",
            scanning,
            finding,
            "s",
            3,
            "at most",
            "find -printf of size, times and inode",
            scan_facts,
        ),
        Figure("ready", ready, _READY_SECONDS, "s", 1, "at most", "2 s from the start of the process"),
    ]


def _catalogue(url: str, root: bytes, paths: Sequence[bytes]) -> None:
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


def _find(root: Path) -> float:
    command = ["find", str(root), "-type", "f", "-printf", r"%p %s %T@ %C@ %D %i\n"]
    seconds, _ = timed(lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True))
    return seconds


def _start(service: ServiceProcess) -> None:
    service.start()
    wait_for(
        lambda: has_ended(service) or service.ask("/readyz")[0] == 200, "the service to be ready", 60, 0.01
    )
    assert not has_ended(service), service.tail()


def _rescan(service: ServiceProcess, url: str) -> tuple[float, float]:
    """Ask for a scan as `file_watcher scan` does: its seconds, and by how many MB memory peaked above."""
    database = Database(url)
    database.open()
    try:
        requests = Requests(database)
        memory = _Memory(service)
        request = requests.wait(requests.ask("scan", {}), 60)
    finally:
        database.close()
    assert request.result is not None
    assert request.result["files"] == _FOLDERS * _PER_FOLDER
    return float(request.result["seconds"]), memory.growth()


class _Memory:
    """The peak of a process's resident memory (proc(5): clear_refs, VmHWM) since the constructor."""

    def __init__(self, service: ServiceProcess) -> None:
        assert service.process is not None
        self._folder = Path(f"/proc/{service.process.pid}")
        (self._folder / "clear_refs").write_text("5")
        self._before = self._read("VmRSS")

    def growth(self) -> float:
        """Megabytes by which it rose at most."""
        return (self._read("VmHWM") - self._before) / 1000

    def _read(self, field: str) -> int:
        lines = (self._folder / "status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
