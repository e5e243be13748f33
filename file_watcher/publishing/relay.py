"""The relay: carries messages from the outbox to the publisher and records what was confirmed.

Owns the thread `fw-relay`, the only one that reads and marks the outbox for publishing. The decider
and the publisher's thread only leave word in a mailbox.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import structlog
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_when_event_set,
)
from tenacity.wait import wait_random_exponential

from file_watcher.errors import CatalogUnavailable
from file_watcher.lifecycle import Deadline, FailureReport, join_all, spawn
from file_watcher.model import OutboxMessage
from file_watcher.publishing.backlogs import Pacing
from file_watcher.publishing.dispatch import Dispatch, RelayConfig, Settled
from file_watcher.publishing.lane import Lane
from file_watcher.publishing.waiting import Outbox
from file_watcher.pulse import Progress, Pulse
from file_watcher.telemetry import Telemetry

log = structlog.get_logger(__name__)

_GATHER_SECONDS: Final = 0.02
"""How long commits and confirms are gathered while they come one after the other."""
_BUSY_SECONDS: Final = 0.01
_LONGEST_RETRY: Final = 2.0
"""Short, for it is the database's circuit breaker that spares a server that is away."""

_WHERE_KEPT: Final = "`events --state unrouted` lists what reached nobody"


class _Word(NamedTuple):
    """What was told, in the order in which it happened."""

    settled: Sequence[OutboxMessage] = ()
    routed: bool = True
    lane: Lane | None = None
    rate: float | None = None
    is_rate: bool = False


_LOST = _Word()
_REREAD = _Word()


class Relay:
    """A lifecycle.Stage and the publisher's Listener.

    `on_delivered` is called on the relay's thread for each message that the broker took charge of
    (routed or not), after that was recorded.
    """

    def __init__(
        self,
        outbox: Outbox,
        config: RelayConfig,
        on_failure: FailureReport,
        *,
        telemetry: Telemetry | None = None,
        on_delivered: Callable[[OutboxMessage], None] | None = None,
        may_publish: Callable[[int], bool] = lambda _library_id: True,
        pacing: Pacing | None = None,
    ) -> None:
        """`may_publish(library_id)` is asked before each message is submitted, and must not block; `pacing` says
        which limits single libraries have."""
        self._outbox = outbox
        self._config = config
        self._on_failure = on_failure
        self._telemetry = telemetry or Telemetry()
        self._on_delivered = on_delivered
        self._dispatch = Dispatch(outbox, config, may_publish, pacing)
        self._mailbox: deque[_Word] = deque()
        self._wake = threading.Event()
        self._hinted = False
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self._progress = threading.Condition()
        self._marked_batches = 0
        self._unrouted_keys: set[tuple[str, str | None]] = set()
        self._set_aside: set[int] = set()
        self._slept_until = 0.0
        self._pulse = Pulse("fw-relay")

    # -- lifecycle -------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread."""
        self._threads.append(spawn("fw-relay", self._run, self._on_failure))

    def close(self) -> None:
        """Submit nothing more. The thread ends once what is in flight was confirmed and recorded, or
        after `flush_seconds`; close the publisher only after `join`. Never blocks."""
        self._closing.set()
        self._wake.set()

    def join(self, deadline: Deadline) -> bool:
        """Wait for the flush and the thread's end; False where it still ran at the deadline."""
        return join_all(self._threads, deadline)

    def progress(self) -> Progress:
        """How far the thread is. Each try is a step, also while the database or the broker is away."""
        return self._pulse.look()

    # -- words from other threads ----------------------------------------------------------------

    def wake(self) -> None:
        """Messages were committed. Cheap, never blocks; any number of calls are one."""
        if not self._hinted:
            self._hinted = True
            self._wake.set()

    def set_rate(self, rate: float | None) -> None:
        """Publish so many messages a second from now on, None for as fast as the broker takes them. Never blocks."""
        self._leave_word(_Word(rate=rate, is_rate=True))

    def reread(self) -> None:
        """The outbox is of other libraries now: what waits of them may lie before what was read. Never blocks."""
        self._leave_word(_REREAD)

    def on_ready(self, lane: Lane) -> None:
        """See lane.Listener."""
        self._leave_word(_Word(lane=lane))

    def on_confirmed(self, messages: Sequence[OutboxMessage]) -> None:
        """See lane.Listener."""
        self._leave_word(_Word(settled=messages))

    def on_unrouted(self, messages: Sequence[OutboxMessage]) -> None:
        """See lane.Listener."""
        self._leave_word(_Word(settled=messages, routed=False))

    def on_set_aside(self, messages: Sequence[OutboxMessage]) -> None:
        """See lane.Listener. They are recorded as unrouted."""
        self._set_aside.update(message.sequence for message in messages)
        self._leave_word(_Word(settled=messages, routed=False))

    def on_lost(self) -> None:
        """See lane.Listener."""
        self._leave_word(_LOST)

    def wait_until_published(self, sequence: int, timeout: float) -> bool:
        """Block until what was recorded up to this sequence is published, be it merged into a later message;
        False after `timeout` seconds.

        Asks the outbox on the caller's thread, so errors.CatalogUnavailable may be raised.
        """
        deadline = Deadline(timeout)
        while True:
            seen = self._marked_batches
            oldest = self._outbox.pending(0, 1)
            # Asked after the look at what waits: a message is noted as merged before it is taken away.
            if not oldest or oldest[0].sequence > self._outbox.carrier_of(sequence):
                return True
            # At most a second, since a message may also leave the outbox in another way (pruned, merged).
            wait = min(deadline.remaining(), 1.0)
            if not wait:
                return False
            with self._progress:
                if self._marked_batches == seen:
                    self._progress.wait(wait)

    # -- the relay's thread ----------------------------------------------------------------------

    def _run(self) -> None:
        retrying = Retrying(
            retry=retry_if_exception_type(CatalogUnavailable),
            wait=wait_random_exponential(multiplier=0.1, max=_LONGEST_RETRY, min=0.05),
            stop=stop_when_event_set(self._closing),
            sleep=sleep_using_event(self._closing),
            before_sleep=self._note_outage,
            retry_error_callback=lambda _state: None,
        )
        while not self._closing.is_set():
            retrying(self._step)
            self._pulse.rest()
            self._wait(self._dispatch.wait_seconds(time.monotonic()))
        self._flush(retrying)

    def _wait(self, seconds: float) -> None:
        """Until there is something to do. While one thing comes after the other some are gathered first."""
        if time.monotonic() - self._slept_until < _BUSY_SECONDS and self._wake.is_set():
            self._closing.wait(_GATHER_SECONDS)
        if not self._wake.wait(seconds):
            self._dispatch.woken()
        self._slept_until = time.monotonic()
        self._wake.clear()

    def _step(self) -> None:
        """Take what was said, record what was confirmed, submit what may go. Raises CatalogUnavailable."""
        self._pulse.at("reads and marks the outbox")
        self._read_mailbox()
        self._record(force=False)
        if not self._closing.is_set():
            self._dispatch.fill(time.monotonic())

    def _flush(self, retrying: Retrying) -> None:
        """Record the last confirms, as long as they come and `flush_seconds` have not passed."""
        deadline = Deadline(self._config.flush_seconds)
        while True:
            retrying(self._step)
            under_way = self._dispatch.is_ready and self._dispatch.in_flight
            if not under_way or not deadline.remaining():
                break
            self._wake.wait(min(deadline.remaining(), self._config.mark_seconds))
            self._wake.clear()
        retrying(lambda: self._record(force=True))
        if self._dispatch.in_flight or self._dispatch.unmarked:
            log.info("unconfirmed_kept", count=self._dispatch.in_flight + self._dispatch.unmarked)

    def _note_outage(self, state: RetryCallState) -> None:
        self._telemetry.error("db")
        if state.attempt_number == 1:
            error = state.outcome.exception() if state.outcome else None
            log.warning("outbox_unavailable", reason=str(error), note="publishing goes on once it answers")

    def _leave_word(self, word: _Word) -> None:
        self._mailbox.append(word)
        self._wake.set()

    def _read_mailbox(self) -> None:
        if self._hinted:
            self._hinted = False
            self._dispatch.woken()
        now = time.monotonic()
        while self._mailbox:
            word = self._mailbox.popleft()
            if word is _LOST:
                self._dispatch.lost()
            elif word is _REREAD:
                self._dispatch.rewind()
            elif word.is_rate:
                self._dispatch.set_rate(word.rate)
            elif word.lane is not None:
                self._dispatch.ready(word.lane)
                self._tell_ready(word.lane)
            else:
                self._dispatch.settled(word.settled, now, routed=word.routed)

    def _record(self, *, force: bool) -> None:
        settled = self._dispatch.mark(time.monotonic(), force=force)
        if not settled:
            return
        with self._progress:
            self._marked_batches += 1
            self._progress.notify_all()
        now_ns = time.time_ns()
        for item in settled:
            self._report(item, now_ns)

    def _report(self, item: Settled, now_ns: int) -> None:
        message = item.message
        if item.routed:
            self._telemetry.published(item.seconds)
            self._telemetry.delivered(max(0, now_ns - message.created_ns) / 1e9)
        else:
            self._tell_unrouted(message)
        if self._on_delivered is None:
            return
        try:
            self._on_delivered(message)
        except Exception:
            log.exception("delivery_report_failed", event_id=message.event_id)

    def _tell_unrouted(self, message: OutboxMessage) -> None:
        self._telemetry.unrouted()
        if message.sequence in self._set_aside:
            self._set_aside.discard(message.sequence)
            self._telemetry.error("enqueue")
            return
        # What goes to one queue goes there by the queue's name, whatever its routing key says.
        way = (message.routing_key, None) if message.queue is None else ("", message.queue)
        if way in self._unrouted_keys:
            return
        self._unrouted_keys.add(way)
        if message.exchange is not None:
            note = f"bind a queue to the exchange of jobs, or let the rule declare its queue; {_WHERE_KEPT}"
            log.warning("job_unroutable", routing_key=message.routing_key, note=note)
        elif message.queue is None:
            note = f"no queue is bound for this routing key; {_WHERE_KEPT}"
            log.warning("event_unroutable", routing_key=message.routing_key, note=note)
        else:
            note = f"there is no queue of this name; {_WHERE_KEPT}"
            log.warning("event_unroutable", queue=message.queue, note=note)

    def _tell_ready(self, lane: Lane) -> None:
        try:
            waiting, _ = self._outbox.depth()
        except CatalogUnavailable:
            log.info("broker_connected", where=lane.where)
            return
        log.info("broker_connected", where=lane.where, waiting=waiting)
