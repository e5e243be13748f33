"""The real service in this process, so that a test can look into it and break it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from file_watcher.assembly import Parts
from file_watcher.catalog.database import Database
from file_watcher.catalog.requests import Request, Requests
from file_watcher.model import Health, OutboxMessage
from file_watcher.service import Service
from file_watcher.service_health import broker_health, database_health
from file_watcher.settings import FileWatchSettings, RabbitMQSettings, Settings
from tests.support.ports import free_port
from tests.support.waiting import wait_for

QUICK = {"debounce_time": "200ms", "move_window": "600ms", "poll_interval": "1s"}
"""Short windows, so that tests need not wait for what operators never notice."""


class InsideService:
    """A service on a thread of its own. `watch` are settings of `file_watch.*`."""

    def __init__(
        self, roots: Path | list[Path], broker_url: str, exchange: str, database_url: str, **watch: Any
    ) -> None:
        roots = roots if isinstance(roots, list) else [roots]
        self.database_url = database_url
        self.delivered: list[OutboxMessage] = []
        self.outcome: int | BaseException | None = None
        self._stop = threading.Event()
        settings = Settings(
            data_dir=tuple(roots),
            http_addr=("127.0.0.1", free_port()),
            rabbitmq=RabbitMQSettings(url=SecretStr(broker_url), exchange=exchange),
            watch=FileWatchSettings(**{**QUICK, **watch}),
        )
        self.service = Service(settings, "abc12345", database_url, self.delivered.append)
        self._thread = threading.Thread(target=self._run, name="service")

    @property
    def parts(self) -> Parts:
        """The parts of the service that is running."""
        assert self.service._parts is not None
        return self.service._parts

    def start(self) -> None:
        """Start it; returns at once."""
        self._thread.start()

    def healths(self) -> dict[str, Health]:
        """How its components are, by name."""
        service = self.service
        parts = service._parts
        asked = (
            database_health(service._database, parts, service._outage),
            broker_health(parts),
            service.libraries_health(),
        )
        return {health.component: health for health in asked}

    def wait_until_ready(self, timeout: float = 30) -> None:
        """Wait until every component is well."""
        wait_for(
            lambda: self._fail_if_dead() or all(health.ok for health in self.healths().values()),
            "the service to be ready",
            timeout,
        )

    def wait_for_health(self, component: str, words: str, timeout: float = 15) -> None:
        """Wait until a component says so."""
        wait_for(lambda: words in self.healths()[component].detail, f"{component} to say {words!r}", timeout)

    def ask(self, kind: str, timeout: float = 60, **arguments: Any) -> Request:
        """Ask it as a command does, and wait for the answer."""
        database = Database(self.database_url)
        database.open()
        try:
            requests = Requests(database)
            answer = requests.wait(requests.ask(kind, arguments), timeout)
        finally:
            database.close()
        assert answer.is_finished, f"no answer to {kind}"
        return answer

    def sync(self) -> None:
        """Wait until all that happened so far is confirmed."""
        answer = self.ask("sync")
        assert answer.state == "done", answer.result

    def stop(self) -> float:
        """Ask for the end; returns the seconds that it took."""
        began = time.monotonic()
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive(), "the service does not stop"
        return time.monotonic() - began

    def wait_for_end(self, timeout: float = 15) -> None:
        """Wait until it ends by itself."""
        self._thread.join(timeout)
        assert not self._thread.is_alive(), "the service goes on"

    def _run(self) -> None:
        try:
            self.outcome = self.service.run(self._stop)
        except BaseException as exc:
            self.outcome = exc

    def _fail_if_dead(self) -> bool:
        assert self._thread.is_alive(), f"the service ended: {self.outcome!r}"
        return False


@contextmanager
def serving(service: InsideService, *, until_ready: bool = True) -> Iterator[InsideService]:
    """Start it, wait until it is ready, and stop it within five seconds and with exit code 0."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # a lease that is broken would end the process
    service.start()
    try:
        if until_ready:
            service.wait_until_ready()
        yield service
    finally:
        seconds = service.stop()
        signal.signal(signal.SIGIO, before)
    assert service.outcome == 0
    assert seconds < 5
