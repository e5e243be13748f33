"""Keeper, scheduler, decider, outbox and relay, as far as the barrier and the desk ask them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import cast

from file_watcher.barrier import Barrier
from file_watcher.catalog.outbox import Outbox
from file_watcher.errors import CatalogUnavailable
from file_watcher.model import Library, Source
from file_watcher.processing.deciding import DecidingStage
from file_watcher.publishing.relay import Relay
from file_watcher.watching.keeper import LibraryKeeper
from file_watcher.watching.scan_job import ScanJob
from file_watcher.watching.schedule import Scheduler

MUSIC = Library(1, "music", "production", b"/m")


class StubStages:
    """Everything that the barrier asks, as the test wants it; writes down in which order."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.scanned = True
        self.undrained: list[Library] = []
        self.decided = True
        self.held = False
        self.undecided_after_all = False
        self.published = True
        self.sequence = 42
        self.is_away = False
        self.jobs: list[ScanJob] = []
        self.approvals: dict[str, str | None] = {"music": None}
        self.suspensions: dict[str, str] = {}
        self.steered = True
        self.obedient = True

    # who steers

    def ask(self) -> int:
        return 7

    def wait_until_applied(self, number: int, timeout: float) -> bool:
        self.asked.append(f"steered {number}")
        return self._after_a_moment(self.steered)

    # the keeper

    def is_scanned(self) -> bool:
        self.asked.append("scanned")
        return self.scanned

    def wait_until_scanned(self, timeout: float) -> None:
        threading.Event().wait(0.01)

    def wait_until_obeyed(self, timeout: float) -> bool:
        self.asked.append("obeyed")
        return self._after_a_moment(self.obedient)

    def drain(self, timeout: float) -> list[Library]:
        self.asked.append("drained")
        return self.undrained

    def rescan(self, source: Source, libraries: Sequence[Library] | None = None) -> list[ScanJob]:
        chosen = [MUSIC] if libraries is None else libraries
        new = [ScanJob(library, source) for library in chosen]
        self.jobs.extend(new)
        return new

    def suspended(self) -> dict[str, str]:
        return self.suspensions

    def approve(self, name: str) -> str | None:
        return self.approvals.get(name, f"no watched library is named {name}")

    # the scheduler and the decider

    def wait_until_decided(self, noticed_before: float, patience: float, timeout: float) -> bool:
        self.asked.append("decided")
        return self._after_a_moment(self.decided)

    def is_undecided(self, noticed_before: float, patience: float) -> bool:
        return self.undecided_after_all

    def holds_since_before(self, noticed: float) -> bool:
        return self.held

    def wait_for_a_decision(self, timeout: float) -> None:
        threading.Event().wait(0.01)

    # the outbox and the relay

    def last_sequence(self) -> int:
        self.asked.append("sequence")
        if self.is_away:
            raise CatalogUnavailable("the database is away")
        return self.sequence

    def wait_until_published(self, sequence: int, timeout: float) -> bool:
        self.asked.append(f"published {sequence}")
        return self._after_a_moment(self.published)

    @staticmethod
    def _after_a_moment(answer: bool) -> bool:
        if not answer:
            threading.Event().wait(0.01)
        return answer

    def barrier(self) -> Barrier:
        return Barrier(
            cast("LibraryKeeper", self),
            cast("Scheduler", self),
            cast("DecidingStage", self),
            cast("Outbox", self),
            cast("Relay", self),
            patience=lambda: 30.0,
            steered=lambda: self,
        )
