"""The real service under measurement, with a queue that counts what it publishes and its own record of it.

The clock is the service's record of confirms (`published_ns` of its outbox), read from its catalog: a
consumer that took times would take them from the cores that service and broker share. Owns no thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.bench import Bench, counted_queue
from tests.benchmarks.trust import Untrue, require, require_alive, require_clean_log
from tests.support.service import ServiceProcess
from tests.support.waiting import wait_for

_LIKE_DEFAULTS: Final = {"FILE_WATCH_DEBOUNCE_TIME": "1s", "FILE_WATCH_MOVE_WINDOW": "2s"}
"""Service processes of the tests have shorter windows."""
_READY_SECONDS: Final = 120.0
_FILE_EVENTS: Final = "event_type NOT LIKE '%.%'"
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Subject:
    """A service that is not started yet; `queued` tells how many messages about files the broker holds."""

    service: ServiceProcess
    root: Path
    exchange: str
    catalog: Path
    queued: Callable[[], int]

    @property
    def url(self) -> str:
        """The catalog as a DATABASE_URL."""
        return f"sqlite:///{self.catalog}"

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self.service.process is not None
        return self.service.process.pid

    def start_ready(self) -> None:
        """Start it and wait for /readyz, looking every 10 ms. Raises `Untrue` where it ends instead."""
        self.service.start()
        wait_for(self.is_ready, "the service to be ready", _READY_SECONDS, 0.01)

    def is_ready(self) -> bool:
        """Whether /readyz says so now; raises `Untrue` where the process has ended."""
        return require_alive(self.service) and self.service.ask("/readyz")[0] == 200

    def confirmed(self) -> int:
        """How many messages about files the service has recorded as confirmed."""
        question = f"SELECT count(*) FROM fw_events WHERE {_FILE_EVENTS} AND published_ns IS NOT NULL"
        return int(self.ask(question)[0][0]) if self._has_catalog() else 0

    def ask(self, question: str) -> list[tuple[Any, ...]]:
        """Read from the catalog, which is held open for the answer only."""
        with closing(sqlite3.connect(f"file:{self.catalog}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(question).fetchall()

    def require_imported(self, files: int, *, tagged: bool) -> None:
        """Raise `Untrue` unless exactly these files were told, once each, hashed and with their tags."""
        told, paths, created = self.ask(
            "SELECT count(*), count(DISTINCT path), sum(event_type = 'created' AND published_ns IS NOT NULL) "
            f"FROM fw_events WHERE {_FILE_EVENTS}"
        )[0]
        require(told == paths == created == files, f"{files} files: {told} messages about {paths} paths")
        hashed, with_tags, broken = self.ask(
            "SELECT sum(sha256 IS NOT NULL AND xxh128 IS NOT NULL), "
            "sum(json_extract(metadata, '$.tags.title') IS NOT NULL), "
            "sum(json_extract(metadata, '$.error') IS NOT NULL) FROM fw_files"
        )[0]
        require(hashed == files, f"{hashed} of {files} files have hashes")
        require(not broken, f"{broken} files were unreadable media")
        require(with_tags == (files if tagged else 0), f"{with_tags} of {files} files have tags")

    def _has_catalog(self) -> bool:
        if not self.catalog.exists():
            return False
        return bool(self.ask("SELECT 1 FROM sqlite_master WHERE name = 'fw_events'"))


@contextmanager
def subject(
    bench: Bench,
    root: Path,
    settings: Mapping[str, str] | None = None,
    *,
    instance_id: str = "bench",
    keep: int | None = None,
) -> Iterator[Subject]:
    """A service for one library, not started. Afterwards it has to stop with 0 and without a complaint.

    `keep`: only so many messages stay in the queue (`counted_queue`).
    """
    exchange = f"bench-{next(_numbers)}"
    with (
        bench.folder("service") as folder,
        counted_queue(bench.broker_url, exchange, "file.#", keep) as queued,
    ):
        catalog = folder / "catalog.sqlite3"
        environment = {**_LIKE_DEFAULTS, "INSTANCE_ID": instance_id, **(settings or {})}
        url = f"sqlite:///{catalog}"
        service = ServiceProcess(folder, root, bench.broker_url, exchange, url, **environment)
        with measured(service):
            yield Subject(service, root, exchange, catalog, queued)


@contextmanager
def measured(service: ServiceProcess) -> Iterator[None]:
    """Ends the service in any case; raises `Untrue` where it does not end well or complained in its log."""
    try:
        yield
    except BaseException:
        service.kill()
        raise
    if service.process is None:
        raise Untrue("the service was never started, or stopped too early")
    code = service.stop()
    require(code == 0, f"the service ended with {code}:\n{service.tail()}")
    require_clean_log(service)
