"""The deciding stage: gathers examinations into batches, has them decided, and passes the outcome on.

Owns the thread `fw-decide`, the only one that decides and commits. While the database is away it waits and
tries again; what is behind it then waits too (back-pressure).
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_when_event_set,
    wait_random_exponential,
)

from file_watcher.errors import CatalogOccupied, CatalogUnavailable, LeaseLost
from file_watcher.lifecycle import Deadline, FailureReport, join_all, spawn
from file_watcher.model import FileStat, Health, Library, Observation, Source, Ticket
from file_watcher.processing.decider import Decider, Outcome
from file_watcher.processing.examine import Examination
from file_watcher.pulse import Progress, Pulse
from file_watcher.telemetry import Telemetry

log = structlog.get_logger(__name__)

_SURE_AFTER: Final = 0.1
"""Seconds until carried or racy hashes are read once more, at least: beyond the kernel's timestamp tick."""
_IDLE_SECONDS: Final = 5.0
"""How long one wait lasts while nothing is held; whatever comes, and a stop, ends it."""
_GATHER_SECONDS: Final = 0.08
"""How long examinations are gathered while many come: a commit of 64 files costs twice as much as one of 10. With
0.03, and 5 and 3 ms in relay and tag reader, 7 of 100 files a second fewer were imported."""
_GATHER_STEP_SECONDS: Final = 0.01
_BUSY_SECONDS: Final = 0.02
"""Many come when, so shortly after several were decided together, the next one comes. One alone is decided at once."""
_PATIENCE: Final = 5.0
"""One decision may cover a folder with a million files, and is one step."""


@dataclass(frozen=True, slots=True)
class Pauses:
    """Of one library, in seconds. `unknown`: until what could not be told is looked at again; `granularity` of its
    filesystem's timestamps: what is read once more sooner is racy again."""

    unknown: float = 30.0
    granularity: float = 0.0


@dataclass(frozen=True, slots=True)
class DecidingConfig:
    """`batch_size` rows a commit, until `set_batch_size`; the rest in seconds."""

    batch_size: int = 256
    pauses_of: Callable[[Library], Pauses] = lambda _: Pauses()
    first_retry: float = 0.2
    longest_retry: float = 2.0
    """Short, for it is the database's circuit breaker that spares a server that is away."""


class Feedback(Protocol):
    """The scheduler, as the deciding stage needs it."""

    def done(
        self,
        ticket: Ticket,
        *,
        look_again_after: float | None = None,
        growing: bool = False,
        stat: FileStat | None = None,
    ) -> None:
        """The ticket's path was decided by a look that saw `stat`."""

    def look_at(
        self,
        path: bytes,
        library: Library,
        source: Source,
        *,
        delay: float = 0.0,
        must_hash: bool = False,
        background: bool = False,
        noticed: float | None = None,
        moved_from: frozenset[bytes] = frozenset(),
    ) -> None:
        """Have a path looked at."""


class DecidingStage:
    """Runs the decider on its one thread."""

    def __init__(
        self,
        config: DecidingConfig,
        decider: Decider,
        feedback: Feedback,
        library_of: Callable[[bytes], Library | None],
        on_committed: Callable[[], None],
        telemetry: Telemetry,
        on_failure: FailureReport,
    ) -> None:
        """`library_of(path)` names the library that a path lies in; `on_committed` is called after each
        commit, when there may be something to publish."""
        self._config = config
        self._batch_size = config.batch_size
        self._decider = decider
        self._feedback = feedback
        self._library_of = library_of
        self._on_committed = on_committed
        self._telemetry = telemetry
        self._on_failure = on_failure
        self._inbox: queue.SimpleQueue[tuple[Ticket, Examination] | None] = queue.SimpleQueue()
        self._room = threading.Condition()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._oldest_held: float | None = None
        self._busy_until = float("-inf")
        self._decided = threading.Condition()
        self._is_deciding = False
        self._rounds = 0
        self._outage: str | None = None
        self._pulse = Pulse("fw-decide", _PATIENCE)

    def start(self) -> None:
        """Start deciding."""
        self._thread = spawn("fw-decide", self._run, self._on_failure)

    def close(self) -> None:
        """Decide what is in hand and end."""
        self._stop.set()
        self._inbox.put(None)

    def join(self, deadline: Deadline) -> bool:
        """Wait for the thread."""
        return join_all([self._thread] if self._thread else [], deadline)

    def set_batch_size(self, batch_size: int) -> None:
        """Commit at most so many rows together from now on."""
        self._batch_size = batch_size

    def submit(self, ticket: Ticket, examination: Examination) -> None:
        """Hand over an examination. Never blocks: ask `wait_for_room` before work is begun."""
        self._inbox.put((ticket, examination))

    def wait_for_room(self, timeout: float) -> bool:
        """Wait while the decider is behind by more than two batches; False after `timeout` seconds."""
        if self._has_room():
            return True
        with self._room:
            return self._room.wait_for(self._has_room, timeout)

    def wait_while_deciding(self, timeout: float) -> None:
        """Wait until no decision is under way, at most so many seconds."""
        if self._is_deciding:
            with self._decided:
                self._decided.wait_for(lambda: not self._is_deciding, timeout)

    def holds_since_before(self, noticed: float) -> bool:
        """Whether an observation from before that monotonic time is held. Ask after the scheduler."""
        oldest = self._oldest_held
        return oldest is not None and oldest <= noticed

    def wait_for_a_decision(self, timeout: float) -> None:
        """Wait until something was decided, at most so many seconds."""
        with self._decided:
            self._decided.wait(timeout)

    def finish_round(self, timeout: float) -> bool:
        """Wait until the decisions that are under way, if any, are committed; False after `timeout` seconds."""
        rounds = self._rounds
        with self._decided:
            return self._decided.wait_for(lambda: not self._is_deciding or self._rounds != rounds, timeout)

    def depth(self) -> int:
        """How many examinations wait for their decision."""
        return self._inbox.qsize()

    def progress(self) -> Progress:
        """How far the thread is: each attempt to commit is a step, also while the database is away."""
        return self._pulse.look()

    def health(self) -> Health:
        """Whether decisions can be committed."""
        if self._outage is not None:
            return Health("database", ok=False, detail=self._outage)
        return Health("database", ok=True, detail="The catalog takes decisions.")

    def _has_room(self) -> bool:
        return self._inbox.qsize() < 2 * self._batch_size

    def _run(self) -> None:
        while not self._stop.is_set() or not self._inbox.empty():
            batch = self._gather()
            if batch or self._is_due():
                self._is_deciding = True
                self._pulse.at(f"decides on {len(batch)} files")
                self._decide(batch)
                self._note_round()
                if len(batch) > 1:
                    self._busy_until = time.monotonic() + _BUSY_SECONDS
            self._pulse.rest()

    def _note_round(self) -> None:
        with self._decided:
            self._is_deciding, self._rounds = False, self._rounds + 1
            self._decided.notify_all()

    def _gather(self) -> list[tuple[Ticket, Examination]]:
        """What has come; waits for the first one until something held may be due.

        While they come one after the other some are gathered first: whatever is asked of disk and
        database is asked once for them all.
        """
        taken: list[tuple[Ticket, Examination] | None] = []
        try:
            taken.append(self._inbox.get(timeout=self._patience()))
            if time.monotonic() < self._busy_until:
                self._wait_for_more()
            while len(taken) < self._batch_size:
                taken.append(self._inbox.get_nowait())
        except queue.Empty:
            pass
        with self._room:
            self._room.notify_all()
        return [each for each in taken if each is not None]

    def _wait_for_more(self) -> None:
        """Until there is a whole batch, no more come, or `_GATHER_SECONDS` have passed. Nobody wakes us: that
        would cost as much for each file as deciding about it."""
        end, before = time.monotonic() + _GATHER_SECONDS, -1
        while before < (count := self._inbox.qsize()) < self._batch_size - 1 and time.monotonic() < end:
            before = count
            if self._stop.wait(_GATHER_STEP_SECONDS):
                return

    def _patience(self) -> float:
        deadline = self._decider.next_deadline()
        if self._stop.is_set():
            return 0.0
        # A held observation that is late waits for others; it is asked again, but not in a busy loop.
        return _IDLE_SECONDS if deadline is None else min(0.2, max(0.02, deadline - time.monotonic()))

    def _is_due(self) -> bool:
        deadline = self._decider.next_deadline()
        return deadline is not None and deadline <= time.monotonic()

    def _decide(self, batch: Sequence[tuple[Ticket, Examination]]) -> None:
        observations = [each.observation for _, each in batch if each.observation is not None]
        retrying = Retrying(
            retry=retry_if_exception_type(CatalogUnavailable),
            wait=wait_random_exponential(self._config.first_retry, self._config.longest_retry),
            stop=stop_when_event_set(self._stop),
            sleep=sleep_using_event(self._stop),
            before_sleep=self._note_outage,
            reraise=True,
        )
        try:
            outcome = retrying(self._step, observations)
        except CatalogUnavailable as exc:
            log.warning("decision_given_up", reason=str(exc), files=len(batch))
            return
        self._note_recovery()
        self._pass_on(outcome, batch)

    def _step(self, observations: Sequence[Observation]) -> Outcome:
        began = time.monotonic()
        self._pulse.step()
        if self._stop.is_set() and self._outage is not None:
            raise CatalogUnavailable(self._outage)
        outcome = self._decider.step(observations, began)
        if outcome.decision.events:
            self._telemetry.committed(len(outcome.decision.events), time.monotonic() - began)
        return outcome

    def _note_outage(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, (CatalogOccupied, LeaseLost)):
            return  # the database is well; what was lost is left out the next time
        self._telemetry.error("db")
        if self._outage is None:
            log.error("database_unavailable", reason=str(error), effect="changes wait until it is back")
        self._outage = str(error)

    def _note_recovery(self) -> None:
        if self._outage is not None:
            self._outage = None
            log.info("database_back")

    def _pass_on(self, outcome: Outcome, batch: Sequence[tuple[Ticket, Examination]]) -> None:
        """Tell the scheduler before a ticket is done or a held one forgotten: nothing seems finished in between."""
        decision = outcome.decision
        if decision.events:
            self._on_committed()
        if decision.unchanged:
            self._telemetry.unchanged(decision.unchanged)
        if outcome.missed:
            self._telemetry.missed(outcome.missed)
        self._look_again(outcome, batch)
        self._oldest_held = self._decider.oldest_noticed()
        growing = {event.path for event in decision.events if event.growing}
        for ticket, examination in batch:
            self._feedback.done(
                ticket,
                look_again_after=examination.keep_watching_after,
                growing=ticket.path in growing,
                stat=examination.stat,
            )
        self._make_sure(outcome)
        for ticket, examination in batch:
            if examination.read_again:
                self._read_again(ticket.path, lambda pauses: pauses.unknown)

    def _look_again(self, outcome: Outcome, batch: Sequence[tuple[Ticket, Examination]]) -> None:
        for seen, must_hash in outcome.decision.again:
            self._feedback.look_at(
                seen.path,
                seen.library,
                Source.RECHECK,
                must_hash=must_hash,
                noticed=seen.noticed,
                moved_from=seen.moved_from,
            )
        # What the round came across may have happened as early as anything that it was made of.
        held = [] if self._oldest_held is None else [self._oldest_held]
        earliest = min([ticket.noticed for ticket, _ in batch] + held, default=None)
        for path in outcome.decision.look_at:
            self._look_at(path, earliest)
        for ticket, examination in batch:
            for path in examination.other_links:
                self._look_at(path, ticket.noticed)

    def _look_at(self, path: bytes, noticed: float | None) -> None:
        if library := self._library_of(path):
            self._feedback.look_at(path, library, Source.RECHECK, noticed=noticed)

    def _make_sure(self, outcome: Outcome) -> None:
        for row in outcome.decision.recheck:
            self._read_again(row.path, lambda pauses: max(_SURE_AFTER, pauses.granularity))
        for seen in outcome.decision.unknown:
            self._feedback.look_at(
                seen.path,
                seen.library,
                Source.RECHECK,
                delay=self._config.pauses_of(seen.library).unknown,
                must_hash=seen.owed,
                background=True,
            )

    def _read_again(self, path: bytes, delay_of: Callable[[Pauses], float]) -> None:
        if library := self._library_of(path):
            delay = delay_of(self._config.pauses_of(library))
            self._feedback.look_at(
                path, library, Source.RECHECK, delay=delay, must_hash=True, background=True
            )
