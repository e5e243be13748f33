"""Joins windows, rules and the wire: closes the windows of jobs when they are due, and records their jobs.

Owns the thread `fw-jobs`, which sleeps until the next window is due. What was due while nobody ran is closed at
once. A window is removed and its job recorded in one transaction; the outbox carries it from there, after the events
that it stands for, since they lie below its path and were recorded before.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from file_watcher.catalog.job_windows import JobWindows, Lane
from file_watcher.catalog.messages import NewMessage
from file_watcher.errors import CatalogUnavailable
from file_watcher.jobs.job import Job, OpenWindow
from file_watcher.jobs.rules import JobRule
from file_watcher.lifecycle import Deadline, FailureReport, join_all, spawn
from file_watcher.model import uuid7
from file_watcher.publishing.message import encode_job, routing_key
from file_watcher.publishing.token_bucket import TokenBucket
from file_watcher.pulse import Progress, Pulse
from file_watcher.telemetry import Telemetry

log = structlog.get_logger(__name__)

JOBS: Final = "file_jobs"
"""Label of the queue in `watcher_enqueue_total`."""
JOB: Final = "job"
"""What the log of events calls a job."""

_LOOK_SECONDS: Final = 10.0
"""The longest sleep: other libraries may have become ours, and the clock may have been set."""
_MEND_SECONDS: Final = 60.0
"""Between two looks for windows that a clock which was ahead has opened."""
_GATHER_SECONDS: Final = 0.05
"""The shortest sleep: windows that are due one after the other are closed together."""
_OUTAGE_SECONDS: Final = 1.0
"""Between two tries while the database is away."""
_PAGE: Final = 200
"""Windows in one transaction: some milliseconds, which is how long a commit may have to wait."""

RulesOf = Callable[[int], Sequence[JobRule]]
"""The rules of the library of that number; none where it is not watched."""
Owned = Callable[[], Collection[int] | None]
"""The libraries whose windows are ours to close; None for all."""


@dataclass(frozen=True, slots=True)
class JobConfig:
    """Who we are, and the exchange that jobs go to."""

    instance_id: str
    exchange: str


class JobCloser:
    """Closes what is due. Not thread-safe: one thread calls everything."""

    def __init__(
        self,
        config: JobConfig,
        windows: JobWindows,
        rules_of: RulesOf,
        owned: Owned,
        on_recorded: Callable[[], None],
        telemetry: Telemetry,
    ) -> None:
        self._config = config
        self._windows = windows
        self._rules_of = rules_of
        self._owned = owned
        self._on_recorded = on_recorded
        self._telemetry = telemetry
        self._buckets: dict[tuple[Lane, float], TokenBucket] = {}

    def hasten(self, now_ns: int) -> None:
        """See to windows that were opened by a clock that was ahead. Raises CatalogUnavailable."""
        self._windows.hasten_future(now_ns, self._owned())

    def close_due(self, now_ns: int, now: float, should_stop: Callable[[], bool]) -> float | None:
        """Close all that is due and that the rates let through; returns in how many seconds the next one may be.

        `now` is the monotonic time; None: nothing is open. Blocks on the database; raises CatalogUnavailable,
        after which the same may be asked again.
        """
        owned = self._owned()
        waits: list[float] = []
        for lane, count in self._windows.due(now_ns, owned).items():
            wait = self._close_lane(lane, count, now_ns, now, should_stop)
            if wait is not None:
                waits.append(wait)
        following = self._windows.next_due(now_ns, owned)
        if following is not None:
            waits.append((following - now_ns) / 1e9)
        return min(waits, default=None)

    def _close_lane(
        self, lane: Lane, count: int, now_ns: int, now: float, should_stop: Callable[[], bool]
    ) -> float | None:
        """Seconds until the rate lets the next one through; None where all are closed."""
        bucket = self._bucket(lane)
        while count > 0 and not should_stop():
            limit = min(count, _PAGE) if bucket is None else _tokens(bucket, min(count, _PAGE), now)
            if not limit:
                assert bucket is not None
                return bucket.wait_seconds(now)
            closed = self._windows.close(lane, now_ns, limit, lambda window: self._message(window, now_ns))
            self._tell(closed)
            count -= limit
        return None

    def _tell(self, closed: Sequence[OpenWindow]) -> None:
        told = Counter(window.type for window in closed if window.library is not None)
        for kind, count in told.items():
            self._telemetry.recorded(JOBS, kind, count)
        if told:
            self._on_recorded()

    def _message(self, window: OpenWindow, now_ns: int) -> NewMessage | None:
        if window.library is None:
            log.warning("job_dropped", type=window.type, queue=window.queue, reason="its library was removed")
            return None
        job = Job.of(window, window.library, uuid7(now_ns), now_ns)
        return NewMessage(
            event_id=job.job_id,
            event_type=JOB,
            routing_key=routing_key(job),
            library_id=window.library_id,
            path=window.path,
            body=encode_job(job, self._config.instance_id),
            created_ns=now_ns,
            exchange=self._config.exchange,
        )

    def _bucket(self, lane: Lane) -> TokenBucket | None:
        """What limits the lane now: the least rate that a rule says of it."""
        rates = [
            rule.rate
            for rule in self._rules_of(lane.library_id)
            if rule.rate is not None and (rule.type, rule.queue) == (lane.type, lane.queue)
        ]
        if not rates:
            return None
        known = (lane, min(rates))
        if known not in self._buckets:
            # A rate that was changed begins anew.
            self._buckets = {key: bucket for key, bucket in self._buckets.items() if key[0] != lane}
            self._buckets[known] = TokenBucket(known[1])
        return self._buckets[known]


class JobClock:
    """A lifecycle.Stage: lets a closer do its work whenever a window is due."""

    def __init__(self, closer: JobCloser, on_failure: FailureReport) -> None:
        self._closer = closer
        self._on_failure = on_failure
        self._closing = threading.Event()
        self._wake = threading.Event()
        self._wakes_at_ns = 0
        self._next_mend = 0.0
        self._pulse = Pulse("fw-jobs")
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the thread."""
        self._threads.append(spawn("fw-jobs", self._run, self._on_failure))

    def close(self) -> None:
        """Ask for the end; windows that are open stay in the catalog."""
        self._closing.set()
        self._wake.set()

    def join(self, deadline: Deadline) -> bool:
        """Wait for the end; False where the thread still ran at the deadline."""
        return join_all(self._threads, deadline)

    def progress(self) -> Progress:
        """How far the thread is."""
        return self._pulse.look()

    def expect(self, due_ns: int) -> None:
        """A window was committed that is due then. Cheap, never blocks, any thread."""
        if due_ns < self._wakes_at_ns:
            self._wake.set()

    def look(self) -> None:
        """Rules or ownership changed: see at once what is due. Never blocks."""
        self._wake.set()

    def _run(self) -> None:
        is_away = False
        while not self._closing.is_set():
            self._wake.clear()
            self._pulse.at("closes windows of jobs")
            try:
                wait = self._go_round()
            except CatalogUnavailable as exc:
                if not is_away:
                    log.info("jobs_wait_for_database", reason=str(exc))
                is_away = True
                wait = _OUTAGE_SECONDS
            else:
                is_away = False
            self._pulse.rest()
            self._sleep(wait)

    def _go_round(self) -> float:
        # Until it is known when the next one is due, whatever comes is of interest.
        self._wakes_at_ns = 1 << 63
        now_ns, now = time.time_ns(), time.monotonic()
        if now >= self._next_mend:
            self._closer.hasten(now_ns)
            self._next_mend = now + _MEND_SECONDS
        wait = self._closer.close_due(now_ns, now, self._is_closing)
        wait = _LOOK_SECONDS if wait is None else min(wait, _LOOK_SECONDS)
        self._wakes_at_ns = now_ns + int(wait * 1e9)
        return wait

    def _sleep(self, seconds: float) -> None:
        if not self._closing.wait(_GATHER_SECONDS):
            self._wake.wait(max(0.0, seconds - _GATHER_SECONDS))

    def _is_closing(self) -> bool:
        """Asked between two transactions, each of which is a step."""
        self._pulse.step()
        return self._closing.is_set()


def _tokens(bucket: TokenBucket, most: int, now: float) -> int:
    """Take as many as there are, up to `most`."""
    taken = 0
    while taken < most and bucket.has_token(now):
        bucket.take()
        taken += 1
    return taken
