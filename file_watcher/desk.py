"""The desk: answers what commands ask of the running service, and beats its heart.

Owns the thread `fw-desk` (looks for requests some times a second, beats the heart) and one thread for
each kind of request that has to wait for something, `fw-answer-sync`, `fw-answer-scan` and `fw-answer-replay`.
Requests that come while one is being worked on are answered together afterwards (replays one by one, since no
two need want the same): however many are left behind by callers that lost patience, there are no more threads.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import structlog

from file_watcher.barrier import Barrier, is_finished
from file_watcher.catalog.requests import Instances, Request, Requests, Vitals
from file_watcher.errors import CatalogOccupied, CatalogUnavailable, UsageError
from file_watcher.lifecycle import Deadline, FailureReport, join_all, spawn
from file_watcher.model import Health, Source
from file_watcher.pulse import Own, Progress, Pulse
from file_watcher.snapshots import Replayer, Wish
from file_watcher.watching.keeper import LibraryKeeper

log = structlog.get_logger(__name__)

_OWNER_SECONDS: Final = 1.0
"""A server may restart between two looks: for so long at most the catalog may have two owners."""
_BEAT_SECONDS: Final = 10.0
_BUSY_SECONDS: Final = 60.0
"""After a request others are likely to come."""
_OUTAGE_SECONDS: Final = 1.0
"""Between two tries while the database is away."""
_STOPPING: Final = "the service stops"


@dataclass(frozen=True, slots=True)
class DeskConfig:
    """Whose desk it is, and the seconds between two looks for requests: the fewer while some come.

    A look wakes the thread and asks the database, which costs 0.3 ms: what an idle service mostly spends.
    """

    instance_id: str
    look_seconds: float = 0.1
    idle_look_seconds: float = 0.4


@dataclass(slots=True)
class _Rounds:
    """When the desk does next what it does from time to time."""

    is_open: bool = False
    next_check: float = 0.0
    next_beat: float = 0.0
    busy_until: float = 0.0


class Desk:
    """Takes requests and answers them."""

    def __init__(
        self,
        config: DeskConfig,
        requests: Requests,
        instances: Instances,
        keeper: LibraryKeeper,
        barrier: Barrier,
        replayer: Replayer,
        detail: Callable[[], Mapping[str, Any]],
        keep_ownership: Callable[[], None],
        on_failure: FailureReport,
        vitals: Callable[[], Vitals] = Vitals,
    ) -> None:
        """`detail()` and `vitals()` are what the heartbeat tells: where this instance is, and how it gets on.
        `keep_ownership()` is called once a second and after an outage; it may raise CatalogUnavailable, and
        anything else ends the service."""
        self._config = config
        self._requests = requests
        self._instances = instances
        self._keeper = keeper
        self._barrier = barrier
        self._replayer = replayer
        self._detail = detail
        self._keep_ownership = keep_ownership
        self._on_failure = on_failure
        self._vitals = vitals
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._outage: str | None = None
        self._pulse = Pulse("fw-desk")
        self._own = Own()
        self._waiting: Mapping[str, queue.SimpleQueue[Request | None]] = {
            "sync": queue.SimpleQueue(),
            "scan": queue.SimpleQueue(),
            "replay": queue.SimpleQueue(),
        }

    def start(self) -> None:
        """Open the desk."""
        self._threads = [
            spawn("fw-desk", self._run, self._on_failure),
            spawn("fw-answer-sync", lambda: self._work_off("sync", self._sync), self._on_failure),
            spawn("fw-answer-scan", lambda: self._work_off("scan", self._scan), self._on_failure),
            spawn("fw-answer-replay", self._work_off_replays, self._on_failure),
        ]

    def close(self) -> None:
        """Take no more requests; those that wait are answered as not done."""
        self._stop.set()
        for waiting in self._waiting.values():
            waiting.put(None)

    def join(self, deadline: Deadline) -> bool:
        """Wait for the threads."""
        return join_all(self._threads, deadline)

    def health(self) -> Health:
        """Whether the database answers; asked ten times a second, also while nothing is to be decided."""
        if self._outage is not None:
            return Health("database", ok=False, detail=self._outage)
        return Health("database", ok=True, detail="The catalog answers.")

    def progress(self) -> Progress:
        """How far the desk's own thread is; those that answer only wait for other stages."""
        return self._pulse.look()

    # -- the desk's thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        rounds = _Rounds()
        self._own.pulse = self._pulse
        while not self._stop.is_set():
            self._pulse.at("looks for requests")
            try:
                self._go_round(rounds, time.monotonic())
            except CatalogUnavailable as exc:
                self._note_outage(exc)
                rounds.next_check = 0.0
                self._stop.wait(_OUTAGE_SECONDS)
            else:
                self._note_outage(None)
                is_busy = time.monotonic() < rounds.busy_until
                self._stop.wait(self._config.look_seconds if is_busy else self._config.idle_look_seconds)

    def _go_round(self, rounds: _Rounds, now: float) -> None:
        if not rounds.is_open:
            self._requests.reopen_unfinished()
            rounds.is_open = True
        if now >= rounds.next_check:
            self._keep_ownership()
            rounds.next_check = now + _OWNER_SECONDS
        if now >= rounds.next_beat:
            self._instances.beat(self._config.instance_id, self._detail(), self._vitals())
            rounds.next_beat = now + _BEAT_SECONDS
        for request in self._requests.take():
            rounds.busy_until = now + _BUSY_SECONDS
            self._distribute(request)

    def _note_outage(self, error: CatalogUnavailable | None) -> None:
        if isinstance(error, CatalogOccupied):
            return
        reason = None if error is None else str(error)
        if reason is not None and self._outage is None:
            log.warning("desk_waits_for_database", reason=reason, effect="requests wait until it is back")
        self._outage = reason

    def _distribute(self, request: Request) -> None:
        """Answer at once what need not wait for anything but the database."""
        if (waiting := self._waiting.get(request.kind)) is not None:
            waiting.put(request)
            return
        problem = (
            self._keeper.approve(str(request.arguments.get("library")))
            if request.kind == "approve"
            else f"this version cannot answer {request.kind!r}"
        )
        result = dict(request.arguments) if problem is None else {"error": problem}
        self._answer([request], result, time.monotonic())

    # -- the threads that answer ---------------------------------------------------------------------

    def _work_off(self, kind: str, work: Callable[[], dict[str, Any]]) -> None:
        """Do the work once for all requests that have come, then for those that came meanwhile."""
        waiting = self._waiting[kind]
        while (first := waiting.get()) is not None:
            requests = [first, *_all_in(waiting)]
            began = time.monotonic()
            self._answer(requests, self._result_of(work), began)

    def _result_of(self, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        while not self._stop.is_set():
            try:
                return work()
            except CatalogUnavailable as exc:
                self._note_outage(exc)
                self._stop.wait(_OUTAGE_SECONDS)
        return {"error": _STOPPING}

    def _answer(self, requests: Sequence[Request], result: dict[str, Any], began: float) -> None:
        """Write the answers down; while the database is away they are kept, but not beyond the stop."""
        result = {**result, "seconds": round(time.monotonic() - began, 3)}
        for request in requests:
            while True:
                try:
                    self._requests.finish(request.id, result, failed="error" in result)
                except CatalogUnavailable as exc:
                    self._own.pulse.step()
                    if not self._stop.wait(_OUTAGE_SECONDS):
                        continue
                    log.warning("request_not_answered", kind=request.kind, reason=str(exc))
                break

    def _work_off_replays(self) -> None:
        """One after the other. What is recorded is answered in the same commit, so that a crash repeats nothing."""
        waiting = self._waiting["replay"]
        while (request := waiting.get()) is not None:
            began = time.monotonic()
            result = self._result_of(partial(self._replay, request))
            if "error" in result:
                self._answer([request], result, began)

    def _replay(self, request: Request) -> dict[str, Any]:
        try:
            answer = self._replayer.replay(request.id, Wish.of(request.arguments), self._stop.is_set)
        except UsageError as exc:
            return {"error": str(exc), "misuse": True}
        except CatalogUnavailable:
            raise
        except (
            Exception
        ) as exc:  # the request would be found again at every start, and end the service each time
            log.exception("replay_failed", arguments=dict(request.arguments))
            return {"error": f"nothing was enqueued, and the log says why ({exc})"}
        return {"error": _STOPPING} if answer is None else dict(answer)

    def _sync(self) -> dict[str, Any]:
        sequence = self._barrier.wait(self._stop.is_set)
        if sequence is None:
            return {"error": _STOPPING}
        return {"sequence": sequence, "suspended": self._keeper.suspended()}

    def _scan(self) -> dict[str, Any]:
        if not self._barrier.wait_until_steered(self._stop.is_set):
            return {"error": _STOPPING}
        jobs = self._keeper.rescan(Source.RESCAN)
        if not all(is_finished(job, self._stop.is_set) for job in jobs):
            return {"error": _STOPPING}
        reports = [job.report for job in jobs if job.report is not None]
        return {
            "libraries": len(reports),
            "files": sum(report.files for report in reports),
            "new": sum(report.new for report in reports),
            "changed": sum(report.changed for report in reports),
            "missing": sum(report.missing for report in reports),
            "unlisted": sum(len(report.unlisted) for report in reports),
            "suspended": self._keeper.suspended(),
        }


def _all_in(waiting: queue.SimpleQueue[Request | None]) -> list[Request]:
    """What waits in the queue now; its end stays in it."""
    taken: list[Request] = []
    while True:
        try:
            request = waiting.get_nowait()
        except queue.Empty:
            return taken
        if request is None:
            waiting.put(None)
            return taken
        taken.append(request)
