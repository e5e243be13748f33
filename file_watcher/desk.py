"""The desk: answers what commands ask of the running service, and keeps house.

Owns the thread `fw-desk` (looks for requests ten times a second, beats the heart, prunes) and one short-lived
thread `fw-answer` for each request that has to wait for something.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from file_watcher.catalog.outbox import Outbox
from file_watcher.catalog.requests import Instances, Request, Requests
from file_watcher.errors import CatalogUnavailable
from file_watcher.lifecycle import Deadline, FailureReport, join_all, spawn
from file_watcher.model import Source
from file_watcher.processing.deciding import DecidingStage
from file_watcher.publishing.relay import Relay
from file_watcher.watching.keeper import LibraryKeeper
from file_watcher.watching.schedule import Scheduler

log = structlog.get_logger(__name__)

_LOOK_SECONDS: Final = 0.1
_BEAT_SECONDS: Final = 10.0
_PRUNE_SECONDS: Final = 60.0
_WAIT_SECONDS: Final = 0.5
"""How long one wait lasts before the desk asks again whether it is to stop."""


_DRAIN_SECONDS: Final = 3.0
"""How long the observers may take to pass on what the kernel told them; then the disk is asked instead."""


@dataclass(frozen=True, slots=True)
class DeskConfig:
    """`retention_seconds` and `retention_events` of what was published; `patience` in seconds, as the decider's."""

    instance_id: str
    retention_seconds: float
    retention_events: int
    patience: float = 30.0


class Barrier:
    """The barrier behind `sync`: waits until all that happened before the call is confirmed by the broker."""

    def __init__(
        self,
        keeper: LibraryKeeper,
        scheduler: Scheduler,
        deciding: DecidingStage,
        outbox: Outbox,
        relay: Relay,
        patience: float,
    ) -> None:
        self._keeper = keeper
        self._scheduler = scheduler
        self._deciding = deciding
        self._outbox = outbox
        self._relay = relay
        self._patience = patience

    def is_decided(self, noticed_before: float, timeout: float) -> bool:
        """Wait until every hint from before that monotonic time is decided and committed."""
        deadline = Deadline(timeout)
        if not self._scheduler.wait_until_decided(noticed_before, self._patience, timeout):
            return False
        while self._deciding.holds_since_before(noticed_before):
            if not deadline.remaining():
                return False
            self._deciding.wait_for_a_decision(min(0.1, deadline.remaining()))
        return not self._scheduler.is_undecided(noticed_before, self._patience)

    def wait(self, should_stop: Callable[[], bool]) -> int | None:
        """Wait; returns the last sequence that is confirmed, None where `should_stop` became true."""
        while not self._keeper.is_scanned():
            if should_stop():
                return None
            self._keeper.wait_until_scanned(_WAIT_SECONDS)
        if not self._keeper.drain(_DRAIN_SECONDS) and not self._scan(should_stop):
            return None
        noticed = time.monotonic()
        while not self.is_decided(noticed, _WAIT_SECONDS):
            if should_stop():
                return None
        sequence = self._outbox.last_sequence()
        while not self._relay.wait_until_published(sequence, _WAIT_SECONDS):
            if should_stop():
                return None
        return sequence

    def _scan(self, should_stop: Callable[[], bool]) -> bool:
        """Where hints cannot tell, the disk does."""
        for job in self._keeper.rescan(Source.SCAN):
            while not job.finished.wait(_WAIT_SECONDS):
                if should_stop():
                    return False
        return True


class Desk:
    """Takes requests and answers them."""

    def __init__(
        self,
        config: DeskConfig,
        requests: Requests,
        instances: Instances,
        outbox: Outbox,
        keeper: LibraryKeeper,
        barrier: Barrier,
        detail: Callable[[], Mapping[str, Any]],
        on_failure: FailureReport,
    ) -> None:
        """`detail()` is what the heartbeat tells about this instance."""
        self._config = config
        self._requests = requests
        self._instances = instances
        self._outbox = outbox
        self._keeper = keeper
        self._barrier = barrier
        self._detail = detail
        self._on_failure = on_failure
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Open the desk."""
        self._threads.append(spawn("fw-desk", self._run, self._on_failure))

    def close(self) -> None:
        """Take no more requests; those that wait are answered as not done."""
        self._stop.set()

    def join(self, deadline: Deadline) -> bool:
        """Wait for the threads."""
        return join_all(list(self._threads), deadline)

    def _run(self) -> None:
        next_beat = next_prune = 0.0
        is_open = False
        while not self._stop.is_set():
            now = time.monotonic()
            try:
                if not is_open:
                    self._requests.reopen_unfinished()
                    is_open = True
                if now >= next_beat:
                    self._instances.beat(self._config.instance_id, self._detail())
                    next_beat = now + _BEAT_SECONDS
                if now >= next_prune:
                    self._prune()
                    next_prune = now + _PRUNE_SECONDS
                for request in self._requests.take():
                    self._answer_aside(request)
            except CatalogUnavailable:
                # The decider tells of the outage; requests wait in the database until it is back.
                self._stop.wait(1.0)
            self._stop.wait(_LOOK_SECONDS)

    def _prune(self) -> None:
        pruned = self._outbox.prune(self._config.retention_seconds, self._config.retention_events)
        if pruned:
            log.info("events_pruned", count=pruned)

    def _answer_aside(self, request: Request) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        self._threads.append(spawn("fw-answer", lambda: self._answer(request), self._on_failure))

    def _answer(self, request: Request) -> None:
        began = time.monotonic()
        try:
            result = self._result_of(request)
            failed = "error" in result
            self._requests.finish(
                request.id, {**result, "seconds": round(time.monotonic() - began, 3)}, failed=failed
            )
        except CatalogUnavailable as exc:
            log.warning("request_not_answered", kind=request.kind, reason=str(exc))

    def _result_of(self, request: Request) -> dict[str, Any]:
        match request.kind:
            case "sync":
                sequence = self._barrier.wait(self._stop.is_set)
                return {"error": "the service stops"} if sequence is None else {"sequence": sequence}
            case "scan":
                return self._scan()
            case "approve":
                name = str(request.arguments.get("library"))
                known = self._keeper.approve(name)
                return {"library": name} if known else {"error": f"no watched library is named {name}"}
        return {"error": f"this version cannot answer {request.kind!r}"}

    def _scan(self) -> dict[str, Any]:
        jobs = self._keeper.rescan(Source.RESCAN)
        for job in jobs:
            while not job.finished.wait(_WAIT_SECONDS):
                if self._stop.is_set():
                    return {"error": "the service stops"}
        reports = [job.report for job in jobs if job.report is not None]
        return {
            "libraries": len(jobs),
            "files": sum(report.files for report in reports),
            "new": sum(report.new for report in reports),
            "changed": sum(report.changed for report in reports),
            "missing": sum(report.missing for report in reports),
            "unlisted": sum(len(report.unlisted) for report in reports),
        }
