"""The barrier behind `sync`: everything that happened before the call is confirmed when it returns.

Owns no thread; waits in the caller's, in short steps, so that a stop is heard.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from file_watcher.catalog.outbox import Outbox
from file_watcher.lifecycle import Deadline
from file_watcher.model import Library, Source
from file_watcher.processing.deciding import DecidingStage
from file_watcher.publishing.relay import Relay
from file_watcher.watching.keeper import LibraryKeeper
from file_watcher.watching.scan_job import ScanJob
from file_watcher.watching.schedule import Scheduler

_WAIT_SECONDS: Final = 0.5
"""How long one wait lasts before the caller is asked again whether to stop."""
_DRAIN_SECONDS: Final = 3.0
"""How long the observers may take to pass on what the kernel told them; then the disk is asked instead."""


class Steered(Protocol):
    """Whoever has done what the database says of libraries (`steering.Steering`)."""

    def ask(self) -> int:
        """The number of the round that sees all that was said before."""

    def wait_until_applied(self, number: int, timeout: float) -> bool:
        """Wait until that round is over."""


class Barrier:
    """The barrier behind `sync`: waits until all that happened before the call is confirmed by the broker."""

    def __init__(
        self,
        keeper: LibraryKeeper,
        scheduler: Scheduler,
        deciding: DecidingStage,
        outbox: Outbox,
        relay: Relay,
        patience: Callable[[], float],
        steered: Callable[[], Steered | None] = lambda: None,
    ) -> None:
        """`patience()`: seconds after which a file that stays open is waited for no longer. `steered()`: who brings
        libraries in and lets them go while we run, None where nobody does."""
        self._keeper = keeper
        self._scheduler = scheduler
        self._deciding = deciding
        self._outbox = outbox
        self._relay = relay
        self._patience = patience
        self._steered = steered

    def is_decided(self, noticed_before: float, timeout: float) -> bool:
        """Wait until every hint from before that monotonic time is decided and committed."""
        deadline = Deadline(timeout)
        if not self._scheduler.wait_until_decided(noticed_before, self._patience(), timeout):
            return False
        while self._deciding.holds_since_before(noticed_before):
            if not deadline.remaining():
                return False
            self._deciding.wait_for_a_decision(min(0.1, deadline.remaining()))
        return not self._scheduler.is_undecided(noticed_before, self._patience())

    def wait_until_steered(self, should_stop: Callable[[], bool]) -> bool:
        """Wait until what was said of libraries before the call holds; False where `should_stop` became true."""
        if (steered := self._steered()) is not None:
            number = steered.ask()
            while not steered.wait_until_applied(number, _WAIT_SECONDS):
                if should_stop():
                    return False
        while not self._keeper.wait_until_obeyed(_WAIT_SECONDS):
            if should_stop():
                return False
        return True

    def wait(self, should_stop: Callable[[], bool]) -> int | None:
        """Wait; returns the last sequence that is confirmed, None where `should_stop` became true.

        Raises CatalogUnavailable: then ask once more.
        """
        if not self.wait_until_steered(should_stop):
            return None
        # Drained first: a watch that is renewed meanwhile brings a scan, which is waited for next.
        blind = self._keeper.drain(_DRAIN_SECONDS)
        while not self._keeper.is_scanned():
            if should_stop():
                return None
            self._keeper.wait_until_scanned(_WAIT_SECONDS)
        if not self._scan(blind, should_stop):
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

    def _scan(self, libraries: Sequence[Library], should_stop: Callable[[], bool]) -> bool:
        """Where hints cannot tell, the disk does."""
        jobs = self._keeper.rescan(Source.SCAN, libraries)
        return all(is_finished(job, should_stop) for job in jobs)


def is_finished(job: ScanJob, should_stop: Callable[[], bool]) -> bool:
    """Wait for a scan; False where `should_stop` became true."""
    while not job.finished.wait(_WAIT_SECONDS):
        if should_stop():
            return False
    return True
