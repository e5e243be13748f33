"""The publisher: keeps a connection to RabbitMQ alive and publishes what the relay hands over.

Owns the thread `fw-publish`, which runs pika's loop and is the only one that touches pika. While no
broker answers it tries for ever, with jittered exponential waits that end at once on `close`.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import structlog
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_when_event_set,
)
from tenacity.wait import wait_random_exponential

from file_watcher.circuit import Circuit, CircuitConfig, CircuitState
from file_watcher.errors import BrokerUnavailable
from file_watcher.lifecycle import Deadline, FailureReport, join_all, spawn
from file_watcher.model import Health
from file_watcher.publishing.broker import BrokerConfig, connection_parameters, quiet_pika, resolve
from file_watcher.publishing.job_routes import WantedQueues, no_queues
from file_watcher.publishing.lane import Listener
from file_watcher.publishing.outage import Outage, explain
from file_watcher.publishing.session import Session
from file_watcher.publishing.size import SizeLimit
from file_watcher.pulse import Progress, Pulse

log = structlog.get_logger(__name__)

CIRCUIT: Final = CircuitConfig(threshold=1)
"""A lost connection opens it. A new one is on trial for 2 s, or up to 30 s for a broker that keeps crashing:
so long readiness waits, while messages flow at once. The pace of the attempts is not the circuit's."""

PROMISE: Final = "events are kept and will be delivered"
_REMIND_SECONDS: Final = 60.0
_STEADY_SECONDS: Final = 60.0
"""A connection that lasted so long was a good one even if nothing was published through it."""
_DRAIN_LOOK_SECONDS: Final = 0.02
_LASTING_FACTOR: Final = 10
"""How many times longer the first wait is where trying again soon is no use (2 s instead of 0.2 s)."""


class _Unusable(BrokerUnavailable):
    """An attempt that failed, with what is known about it."""

    def __init__(self, outage: Outage) -> None:
        super().__init__(outage.sentence)
        self.outage = outage


class Publisher:
    """A lifecycle.Stage. Tells its listener when it can publish, and what became of each message."""

    def __init__(
        self,
        config: BrokerConfig,
        instance_id: str,
        listener: Listener,
        on_failure: FailureReport,
        job_queues: WantedQueues = no_queues,
    ) -> None:
        """`job_queues()` tells which queues rules want to be declared; asked each second and must not block."""
        self._job_queues = job_queues
        self._config = config
        self._instance_id = instance_id
        self._listener = listener
        self._on_failure = on_failure
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._outage = Outage("starting", f"not connected to RabbitMQ at {config.endpoint} yet")
        self._reminder = _Reminder(time.monotonic)
        self._sizes = SizeLimit()
        self.circuit = Circuit("broker", CIRCUIT, is_logged=False)
        self._next_attempt = 0.0
        self._pulse = Pulse("fw-publish")

    def start(self) -> None:
        """Start the thread; returns before a broker answers."""
        quiet_pika()
        self._threads.append(spawn("fw-publish", self._run, self._on_failure))

    def close(self) -> None:
        """Leave the broker. What is unconfirmed then stays unpublished in the outbox: `drain` first."""
        with self._lock:
            self._closing.set()
            session = self._session
        if session is not None:
            session.finish()

    def join(self, deadline: Deadline) -> bool:
        """Wait for the thread; False where it still ran at the deadline (a resolver may hang)."""
        return join_all(self._threads, deadline)

    def drain(self, deadline: Deadline) -> bool:
        """Wait until nothing is unconfirmed; False at the deadline, or where the connection is away."""
        while True:
            session = self._session
            if session is None or not session.ready:
                return False
            if not session.unconfirmed:
                return True
            if not deadline.remaining() or self._closing.wait(_DRAIN_LOOK_SECONDS):
                return False

    def progress(self) -> Progress:
        """How far the thread is: each attempt is a step, and each second of a connection."""
        return self._pulse.look()

    def health(self) -> Health:
        """Whether messages can be published now; if not, why, where it looked and how to mend it."""
        session, at = self._session, self._config.endpoint
        facts: dict[str, Any] = {"where": str(at), "exchange": self._config.exchange}
        facts |= {"truncated": self._sizes.cut, "set_aside": self._sizes.set_aside}
        if session is None or not session.ready:
            outage = self._outage
            detail = f"{outage.sentence}; {PROMISE}"
            circuit = self.circuit.facts()
            circuit["next_attempt_seconds"] = round(max(0.0, self._next_attempt - time.monotonic()), 1)
            facts |= {"reason": outage.kind, "circuit": circuit}
            return Health("broker", ok=False, detail=detail, facts=facts)
        facts["circuit"] = self.circuit.facts()
        facts["unconfirmed"] = session.unconfirmed
        if session.blocked_reason is not None:
            detail = f"RabbitMQ at {at} takes no messages now ({session.blocked_reason}); {PROMISE}"
            return Health("broker", ok=False, detail=detail, facts={**facts, "reason": "blocked"})
        if self.circuit.view().state is not CircuitState.CLOSED:
            detail = f"connected to RabbitMQ at {at} again, and publishing; it counts as back once that lasts"
            return Health("broker", ok=False, detail=detail, facts={**facts, "reason": "returning"})
        if (key := session.refused_key) is not None:
            detail = f"RabbitMQ at {at} refuses messages of {key} (is a queue full? drain it); {PROMISE}"
            return Health("broker", ok=False, detail=detail, facts={**facts, "reason": "refused"})
        return Health("broker", ok=True, detail=f"connected to RabbitMQ at {at}", facts=facts)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._keep_trying()
            self._closing.wait(random.uniform(0.25, 1.0) * self._config.retry_first)  # noqa: S311

    def _keep_trying(self) -> None:
        """Attempt until one connection did its work; the waits begin anew after that."""
        retrying = Retrying(
            retry=retry_if_exception_type(BrokerUnavailable),
            wait=self._wait_seconds(),
            stop=stop_when_event_set(self._closing),
            before_sleep=self._note_pause,
            sleep=sleep_using_event(self._closing),
            retry_error_callback=lambda _state: None,
        )
        retrying(self._attempt)

    def _note_pause(self, state: RetryCallState) -> None:
        seconds = state.next_action.sleep if state.next_action else 0.0
        self._next_attempt = time.monotonic() + seconds

    def _wait_seconds(self) -> Callable[[RetryCallState], float]:
        """Jittered exponential waits. What an operator must mend is asked for less often, yet soon enough
        that the one who mends it sees it work."""
        first, cap = self._config.retry_first, self._config.retry_cap
        growing = wait_random_exponential(multiplier=first, max=cap, min=first)
        patient = wait_random_exponential(
            multiplier=_LASTING_FACTOR * first, max=cap, min=min(cap, _LASTING_FACTOR * first / 2)
        )

        def seconds(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            lasting = isinstance(error, _Unusable) and error.outage.lasting
            return patient(state) if lasting else growing(state)

        return seconds

    def _attempt(self) -> None:
        """One connection from start to end. Raises _Unusable where it came to nothing."""
        if self._closing.is_set():
            return
        self._pulse.at("connects and publishes")
        error: BaseException | None = None
        try:
            for address in resolve(self._config.endpoint):
                began = time.monotonic()
                session, error = self._run_session(address)
                if session.ready or self._closing.is_set():
                    self._ended(session, error, time.monotonic() - began)
                    return
        except OSError as exc:
            error = exc
        self._fail(explain(error or OSError("no address"), self._config))

    def _run_session(self, address: str) -> tuple[Session, BaseException | None]:
        name = f"file_watcher {self._instance_id}"
        parameters = connection_parameters(self._config, address, name)
        session = Session(
            self._config,
            self._instance_id,
            self._listener,
            parameters,
            self._sizes,
            self._beat,
            self._job_queues,
        )
        with self._lock:
            if self._closing.is_set():
                return session, None
            self._session = session
        try:
            return session, session.run()
        finally:
            with self._lock:
                self._session = None
            if session.ready:
                self._listener.on_lost()

    def _beat(self) -> None:
        """Called on the publisher's thread when the connection is usable, and each second while it stands."""
        self._pulse.step()
        if not self.circuit.is_closed:
            self.circuit.tried()
            self.circuit.succeeded()

    def _ended(self, session: Session, error: BaseException | None, seconds: float) -> None:
        if self._closing.is_set():
            return
        outage = explain(error or OSError("closed"), self._config)
        if self._sizes.learn(error):
            self._outage = outage
            return  # the next connection knows what to cut
        self._sizes.forget()
        if not session.confirmed and seconds < _STEADY_SECONDS:
            self._fail(outage)
        self._reminder.forget()
        self._note(outage)

    def _fail(self, outage: Outage) -> None:
        self._note(outage)
        raise _Unusable(outage)

    def _note(self, outage: Outage) -> None:
        self._outage = outage
        self.circuit.failed(outage.sentence)
        if self._reminder.is_due(outage):
            tell = log.error if outage.lasting else log.warning
            tell("broker_unreachable", where=str(self._config.endpoint), reason=outage.sentence, note=PROMISE)


class _Reminder:
    """Says when an outage is worth a line: at its beginning, once a minute, and when a lasting cause shows."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._told_at = float("-inf")
        self._told_kind = ""

    def is_due(self, outage: Outage) -> bool:
        """Whether to tell it now; counts as told then."""
        now = self._clock()
        news = outage.lasting and outage.kind != self._told_kind
        if not news and now - self._told_at < _REMIND_SECONDS:
            return False
        self._told_at, self._told_kind = now, outage.kind
        return True

    def forget(self) -> None:
        """The broker was back in between: the next outage is a new one."""
        self._told_at = float("-inf")
