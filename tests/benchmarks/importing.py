"""How long the real service takes to import a library: shared by the rows and curves that do so.

The confirms of a few milliseconds are recorded together; files of the first such group are not counted,
since it is not known when the first of them began.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from file_watcher.model import FileStat
from file_watcher.processing.fingerprint import Fingerprinter
from file_watcher.processing.tags.identity import Identity
from file_watcher.processing.tags.reader import read_metadata
from tests.benchmarks.bench import Bench, settle_disk, timed
from tests.benchmarks.subject import Subject, subject
from tests.benchmarks.trust import require, require_alive
from tests.support.waiting import wait_for

_PATIENCE_SECONDS: Final = 300.0
_LOOKS_EVERY: Final = 0.1


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
    tags, found = timed(lambda: [read_metadata(*each) for each in zip(names, identities, strict=True)])
    readable = sum(metadata is not None and "error" not in metadata for metadata in found)
    require(readable == len(names), f"only {readable} of {len(names)} files are readable media")
    return Ideal(hashing, tags)


def run_import(bench: Bench, root: Path, files: int, *, tagged: bool, **settings: str) -> Import:
    """Start the service on a library that it does not know, and stop it once all files are confirmed.

    Raises `tests.benchmarks.trust.Untrue` where anything but one message for each file comes.
    """
    settle_disk()
    with subject(bench, root, settings) as tried:
        started_ns = time.time_ns()
        tried.service.start()
        wait_for(
            lambda: require_alive(tried.service) and tried.queued() >= files,
            "the messages",
            _PATIENCE_SECONDS,
            _LOOKS_EVERY,
        )
        wait_for(lambda: tried.confirmed() >= files, f"the record of {files} confirms")
        require(tried.queued() == files, f"{files} files gave {tried.queued()} messages")
        tried.require_imported(files, tagged=tagged)
        return timing(tried, files, started_ns)


def timing(tried: Subject, files: int, started_ns: int) -> Import:
    """From the service's own record of confirms; all files are confirmed."""
    groups = tried.ask(
        "SELECT published_ns, count(*) FROM fw_events WHERE event_type = 'created' "
        "GROUP BY published_ns ORDER BY published_ns"
    )
    (first_ns, first_count), (last_ns, _) = groups[0], groups[-1]
    too_few = f"{first_count} of {files} confirms were recorded at once: too few files to tell a rate"
    require(first_count <= files / 2, too_few)
    return Import(
        (files - first_count) / (last_ns - first_ns) * 1e9,
        (first_ns - started_ns) / 1e9,
        (last_ns - started_ns) / 1e9,
    )
