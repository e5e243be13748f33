"""Keeps house in the catalog: forgets what was published or logged long ago, and merges when too much waits.

Owns the thread `fw-house`, which may be busy for a minute after a long outage; nobody waits for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from file_watcher.catalog.compaction import Compaction
from file_watcher.catalog.journal import LogLines
from file_watcher.catalog.outbox import Outbox
from file_watcher.errors import CatalogUnavailable
from file_watcher.lifecycle import Deadline, FailureReport, join_all, spawn
from file_watcher.pulse import Progress, Pulse

log = structlog.get_logger(__name__)

_LOOK_SECONDS: Final = 1.0
_PRUNE_SECONDS: Final = 60.0
_OUTAGE_SECONDS: Final = 1.0
"""Between two tries while the database is away."""


@dataclass(frozen=True, slots=True)
class HousekeepingConfig:
    """`retention_seconds` of what was published and of lines of the log, `retention_events` of the former."""

    retention_seconds: float
    retention_events: int


class Housekeeping:
    """A lifecycle.Stage."""

    def __init__(
        self,
        config: HousekeepingConfig,
        outbox: Outbox,
        compaction: Compaction,
        depth: Callable[[], int],
        on_failure: FailureReport,
        log_lines: LogLines | None = None,
    ) -> None:
        """`depth()` tells how many messages wait. `log_lines` are kept as long as events."""
        self._config = config
        self._outbox = outbox
        self._compaction = compaction
        self._depth = depth
        self._on_failure = on_failure
        self._log_lines = log_lines
        self._stop = threading.Event()
        self._pulse = Pulse("fw-house")
        self._threads: list[threading.Thread] = []
        self._next_prune = 0.0

    def start(self) -> None:
        """Start the thread."""
        self._threads.append(spawn("fw-house", self._run, self._on_failure))

    def close(self) -> None:
        """Ask for the end; what is under way ends with its present transaction."""
        self._stop.set()

    def join(self, deadline: Deadline) -> bool:
        """Wait for the end; False where the thread still ran at the deadline."""
        return join_all(self._threads, deadline)

    def progress(self) -> Progress:
        """How far the thread is."""
        return self._pulse.look()

    def _run(self) -> None:
        is_away = False
        while not self._stop.is_set():
            self._pulse.at("keeps house")
            try:
                self._go_round(time.monotonic())
            except CatalogUnavailable as exc:
                if not is_away:
                    log.info("housekeeping_waits_for_database", reason=str(exc))
                is_away = True
                self._stop.wait(_OUTAGE_SECONDS)
            else:
                is_away = False
                self._stop.wait(_LOOK_SECONDS)

    def _go_round(self, now: float) -> None:
        self._compaction.keep_limit(self._depth(), self._is_closing)
        if now >= self._next_prune:
            self._prune()
            self._next_prune = now + _PRUNE_SECONDS

    def _is_closing(self) -> bool:
        """Asked between two transactions, each of which is a step."""
        self._pulse.step()
        return self._stop.is_set()

    def _prune(self) -> None:
        pruned = self._outbox.prune(
            self._config.retention_seconds, self._config.retention_events, self._is_closing
        )
        if pruned:
            log.info("events_pruned", count=pruned)
        if self._log_lines is not None:
            self._log_lines.prune(self._config.retention_seconds, should_stop=self._is_closing)
