"""How long the real service takes to import a library: shared by the rows that do so.

The clock is the service's own record of confirms (`published_ns` of its outbox), read after it has ended:
a consumer that took times would take them from the cores that service and broker share. The confirms
of a few milliseconds are recorded together; files of the first such group are not counted, since it is
not known when the first of them began.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from file_watcher.model import FileStat
from file_watcher.processing.fingerprint import Fingerprinter
from file_watcher.processing.tags.identity import Identity
from file_watcher.processing.tags.reader import read_metadata
from tests.benchmarks.bench import Bench, counted_queue, settle_disk, timed
from tests.support.service import ServiceProcess
from tests.support.waiting import wait_for

_PATIENCE_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class Import:
    """`files_per_second` from the first to the last confirm; `first_seconds` from the start to the first."""

    files_per_second: float
    first_seconds: float
    total_seconds: float


@dataclass(frozen=True, slots=True)
class Ideal:
    """What one thread needs for the files, with nothing else to do."""

    hash_seconds: float
    tag_seconds: float

    def files_per_second(self, files: int, cores: int) -> float:
        """With all cores at work and nothing else to do: publish, record, decide, look."""
        return files * cores / (self.hash_seconds + self.tag_seconds)


def measure_ideal(paths: Sequence[Path]) -> Ideal:
    """Hash, then read the tags of all files with one thread. They lie in the page cache, as in the import."""
    names = [os.fsencode(path) for path in paths]
    hasher = Fingerprinter(lambda: False)
    identities = [Identity(*FileStat.of(os.stat(name))) for name in names]
    for name, identity in zip(names[:8], identities, strict=False):
        hasher.read(name)
        read_metadata(name, identity)
    hashing, _ = timed(lambda: [hasher.read(name) for name in names])
    tags, _ = timed(lambda: [read_metadata(*each) for each in zip(names, identities, strict=True)])
    return Ideal(hashing, tags)


def run_import(bench: Bench, root: Path, files: int, **settings: str) -> Import:
    """Start the service on a library that it does not know, and stop it once all files are confirmed."""
    settle_disk()
    exchange = f"import-{root.parent.name}"
    with (
        bench.folder("service") as folder,
        counted_queue(bench.broker_url, exchange) as queued,
    ):
        catalog = folder / "catalog.sqlite3"
        settings = {"FILE_WATCH_DEBOUNCE_TIME": "1s", "FILE_WATCH_MOVE_WINDOW": "2s", **settings}
        service = ServiceProcess(
            folder, root, bench.broker_url, exchange, f"sqlite:///{catalog}", INSTANCE_ID="bench", **settings
        )
        started_ns = time.time_ns()
        service.start()
        try:
            wait_for(lambda: has_ended(service) or queued() >= files, "the messages", _PATIENCE_SECONDS, 0.1)
            assert not has_ended(service), service.tail()
            wait_for(lambda: _confirmed(catalog) == files, f"the record of {files} confirms")
        finally:
            service.stop()
        return _from_catalog(catalog, files, started_ns)


def has_ended(service: ServiceProcess) -> bool:
    """Whether the process ended by itself."""
    return service.process is not None and service.process.poll() is not None


def _confirmed(catalog: Path) -> int:
    with closing(sqlite3.connect(f"file:{catalog}?mode=ro", uri=True)) as connection:
        question = "SELECT count(*) FROM fw_events WHERE event_type = 'created' AND published_ns IS NOT NULL"
        return int(connection.execute(question).fetchone()[0])


def _from_catalog(catalog: Path, files: int, started_ns: int) -> Import:
    with closing(sqlite3.connect(f"file:{catalog}?mode=ro", uri=True)) as connection:
        groups = connection.execute(
            "SELECT published_ns, count(*) FROM fw_events WHERE event_type = 'created' "
            "GROUP BY published_ns ORDER BY published_ns"
        ).fetchall()
    (first_ns, first_count), (last_ns, _) = groups[0], groups[-1]
    return Import(
        (files - first_count) / (last_ns - first_ns) * 1e9,
        (first_ns - started_ns) / 1e9,
        (last_ns - started_ns) / 1e9,
    )
