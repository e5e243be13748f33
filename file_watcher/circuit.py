"""Circuit breakers: what is known about a server that the service depends on, and who may ask it now.

Owns no thread. `CircuitBreaker` is pure and takes the time as an argument; `Circuit` shares one between
threads, keeps the time and tells the log when it opens and closes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import structlog

log = structlog.get_logger(__name__)


class CircuitState(StrEnum):
    """Closed: it works. Open: it does not, and is left alone. Half open: it is tried out."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class CircuitConfig:
    """When a circuit opens, how often it is tried, and when it is trusted again. Seconds.

    `threshold` failures in a row open it: one is what a single lost connection costs. The first trial
    comes after `first_pause`, each that fails doubles the pause up to `longest_pause`. It closes when no
    failure came for `steady`; each relapse within `relapse` seconds of the close doubles that, up to
    `longest_steady`, so that a server that keeps crashing does not look well in between.
    """

    threshold: int = 3
    first_pause: float = 0.2
    longest_pause: float = 5.0
    steady: float = 2.0
    longest_steady: float = 30.0
    relapse: float = 60.0


@dataclass(frozen=True, slots=True)
class CircuitView:
    """A circuit as it is at one moment."""

    state: CircuitState
    since: float
    """When it came into this state, on the clock that it is told."""
    failures: int
    """In a row; 0 while it works."""
    error: str | None
    """The last failure in plain words; kept after the recovery."""
    next_trial: float | None
    """While it is open: when it may be tried."""
    opened: int
    """How often it went from working to open."""


class CircuitBreaker:
    """Pure: not to be shared between threads. It begins closed."""

    def __init__(self, config: CircuitConfig, now: float) -> None:
        self._config = config
        self._state = CircuitState.CLOSED
        self._since = now
        self._failures = 0
        self._error: str | None = None
        self._pause = config.first_pause
        self._steady = config.steady
        self._retry_at = now
        self._is_on_trial = False
        self._well_since: float | None = None
        self._closed_at = float("-inf")
        self._opened = 0

    @property
    def is_untroubled(self) -> bool:
        """Closed and without a failure: nothing has to be asked or told."""
        return self._failures == 0 and self._state is CircuitState.CLOSED

    def is_unproven(self, now: float) -> bool:
        """Half open, and nothing was answered yet since it was open."""
        self._settle(now)
        return self._state is CircuitState.HALF_OPEN and self._well_since is None

    def allows(self, now: float) -> bool:
        """Whether a call may be made; an open circuit lets one through as a trial when its time has come."""
        self._settle(now)
        if self._state is CircuitState.CLOSED:
            return True
        if self._state is CircuitState.OPEN and now >= self._retry_at:
            self._go(CircuitState.HALF_OPEN, now)
            self._is_on_trial = True
            self._well_since = None
            return True
        # Once a trial went well all may follow; until then one at a time.
        if self._state is CircuitState.HALF_OPEN and not self._is_on_trial:
            self._is_on_trial = self._well_since is None
            return True
        return False

    def tried(self, now: float) -> None:
        """Whoever paces the trials by other means tries it now."""
        if self._state is CircuitState.OPEN:
            self._go(CircuitState.HALF_OPEN, now)
            self._is_on_trial = True

    def succeeded(self, now: float) -> None:
        """A call was answered."""
        if self._state is CircuitState.CLOSED:
            self._failures = 0
        elif self._state is CircuitState.HALF_OPEN:
            self._is_on_trial = False
            if self._well_since is None:
                self._well_since = now
            self._settle(now)

    def abandoned(self) -> None:
        """A call ended without telling anything about the server: another one may be the trial."""
        self._is_on_trial = False

    def failed(self, now: float, error: str, *, at_once: bool = False) -> None:
        """A call failed for the server's sake; `at_once` opens the circuit whatever the threshold."""
        self._settle(now)
        self._failures += 1
        self._error = error
        if self._state is CircuitState.HALF_OPEN:
            self._pause = min(2 * self._pause, self._config.longest_pause)
            self._open(now)
        elif self._state is CircuitState.CLOSED and (at_once or self._failures >= self._config.threshold):
            is_relapse = now - self._closed_at < self._config.relapse
            self._steady = (
                min(2 * self._steady, self._config.longest_steady) if is_relapse else self._config.steady
            )
            self._pause = self._config.first_pause
            self._opened += 1
            self._open(now)
        # While it is open, calls that had begun before fail too: that is no news.

    def view(self, now: float) -> CircuitView:
        """How it is now."""
        self._settle(now)
        next_trial = self._retry_at if self._state is CircuitState.OPEN else None
        return CircuitView(self._state, self._since, self._failures, self._error, next_trial, self._opened)

    def _settle(self, now: float) -> None:
        """Close it once it went well for long enough."""
        if self._well_since is not None and now - self._well_since >= self._steady:
            self._well_since = None
            self._is_on_trial = False
            self._failures = 0
            self._closed_at = now
            self._go(CircuitState.CLOSED, now)

    def _open(self, now: float) -> None:
        self._retry_at = now + self._pause
        self._is_on_trial = False
        self._well_since = None
        self._go(CircuitState.OPEN, now)

    def _go(self, state: CircuitState, now: float) -> None:
        # Each trial makes it half open for a moment: what people ask is since when it is not well.
        if CircuitState.CLOSED in (state, self._state):
            self._since = now
        self._state = state


class Circuit:
    """One breaker for all threads. Every method is cheap and never blocks on anything but its own lock."""

    def __init__(
        self,
        dependency: str,
        config: CircuitConfig,
        clock: Callable[[], float] = time.monotonic,
        *,
        is_logged: bool = True,
    ) -> None:
        """`is_logged`: opening and closing are logged here, unless who uses it tells more of them."""
        self.dependency = dependency
        self._is_logged = is_logged
        self._clock = clock
        self._lock = threading.Lock()
        self._breaker = CircuitBreaker(config, clock())
        self._was_troubled = False

    @property
    def is_closed(self) -> bool:
        """Whether it may be relied upon."""
        return self._breaker.is_untroubled or self.view().state is CircuitState.CLOSED

    @property
    def is_open(self) -> bool:
        """Whether it is known not to work now."""
        return not self._breaker.is_untroubled and self.view().state is CircuitState.OPEN

    @property
    def is_unproven(self) -> bool:
        """See CircuitBreaker."""
        if self._breaker.is_untroubled:
            return False
        with self._lock:
            return self._breaker.is_unproven(self._clock())

    def allows(self) -> bool:
        """See CircuitBreaker. Who was allowed has to tell the outcome."""
        if self._breaker.is_untroubled:
            return True
        with self._lock:
            allowed = self._breaker.allows(self._clock())
        self._tell_changes()
        return allowed

    def tried(self) -> None:
        """See CircuitBreaker."""
        with self._lock:
            self._breaker.tried(self._clock())

    def succeeded(self) -> None:
        """See CircuitBreaker."""
        if self._breaker.is_untroubled:
            return
        with self._lock:
            self._breaker.succeeded(self._clock())
        self._tell_changes()

    def abandoned(self) -> None:
        """See CircuitBreaker."""
        with self._lock:
            self._breaker.abandoned()

    def failed(self, error: str, *, at_once: bool = False) -> None:
        """See CircuitBreaker."""
        with self._lock:
            self._breaker.failed(self._clock(), error, at_once=at_once)
        self._tell_changes()

    def view(self) -> CircuitView:
        """How it is now; `since` and `next_trial` are on the monotonic clock."""
        with self._lock:
            view = self._breaker.view(self._clock())
        self._tell_changes()
        return view

    def facts(self) -> dict[str, Any]:
        """For /healthz: state, since (UTC), failures in a row, last error, and seconds to the next trial."""
        view, now = self.view(), self._clock()
        since = datetime.fromtimestamp(time.time() - (now - view.since), UTC)
        facts: dict[str, Any] = {
            "state": str(view.state),
            "since": since.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "failures": view.failures,
            "last_error": view.error,
        }
        if view.next_trial is not None:
            facts["next_attempt_seconds"] = round(max(0.0, view.next_trial - now), 1)
        return facts

    def _tell_changes(self) -> None:
        """Log an opening and a closing once each; the trials in between are no news."""
        with self._lock:
            view = self._breaker.view(self._clock())
            is_troubled = view.state is not CircuitState.CLOSED
            if is_troubled == self._was_troubled:
                return
            self._was_troubled = is_troubled
        if not self._is_logged:
            return
        if not is_troubled:
            log.info("circuit_closed", dependency=self.dependency)
        else:
            log.warning(
                "circuit_opened", dependency=self.dependency, reason=view.error, failures=view.failures
            )
