"""Which libraries are this instance's: takes leases that are free, renews its own, and lets go in order.

On a PostgreSQL that several instances share, a library has one owner at a time (`catalog.leases`). `lease_claims`
says which free library is taken when; `LeasedTenure` owns the thread `fw-lease`. A SQLite catalog has one owner for
everything: `SoleTenure`.

Who steers says by `hold` what it would watch, and gets what it may watch. What is held may change by itself (a
lease becomes free, is lost): then `on_changed` is called, and `hold` says anew. A library that was lost is not
taken back before `in_use` says that nothing of it is left here, since another one may have written meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from file_watcher.catalog.database import Database
from file_watcher.catalog.leases import (
    NO_LEASES,
    Lease,
    LeaseBook,
    LeaseConfig,
    LeaseGuard,
    LeaseRow,
    Leases,
)
from file_watcher.errors import CatalogUnavailable
from file_watcher.lease_claims import Candidate, Claims
from file_watcher.lifecycle import Deadline, FailureReport, join_all, spawn
from file_watcher.pulse import Progress, Pulse
from file_watcher.root_sight import RootSight
from file_watcher.system import boot_seconds

__all__ = ["Candidate", "LeasedTenure", "SoleTenure", "Tenure", "TenureConfig", "tenure_over"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TenureConfig:
    """Seconds. `renew` between two renewals: a lease of 10 s outlives two that fail. `look` between two looks for
    what became free, and between two tries while the database is away. `linger` is how long a library that is
    watched no more is kept at least: its last notice is just being recorded."""

    renew: float = 3.0
    look: float = 1.0
    linger: float = 2.0


class Tenure(Protocol):
    """What an instance may watch. A stage that also says which libraries are ours."""

    def hold(self, candidates: Sequence[Candidate]) -> frozenset[int]:
        """Say what we would watch (or of what we would say that nobody does), and hear what of it is ours now. Called by one thread, the one that steers.

        May ask the database: blocks for some seconds at most, and raises CatalogUnavailable or CatalogError.
        """

    def held(self) -> frozenset[int]:
        """All that is ours now, also what is watched no more and has messages left to be published."""

    def holds(self, library_id: int, /) -> bool:
        """Whether the library is ours as far as we know. Never blocks."""

    def may_publish(self, library_id: int, /) -> bool:
        """Whether nobody else can own it at this moment. Never blocks."""

    def start(self) -> None:
        """Renew, and look for what becomes free."""

    def close(self) -> None:
        """Look for nothing more; what is held stays so for some seconds."""

    def join(self, deadline: Deadline, /) -> bool:
        """Wait for the thread."""

    def release(self) -> None:
        """Let go of everything, at the very end: others take it at once. Raises CatalogUnavailable or CatalogError."""

    def progress(self) -> Progress:
        """How far the thread is."""


class SoleTenure:
    """One process owns the catalog, and with it every library. No thread."""

    def __init__(self) -> None:
        self._pulse = Pulse("fw-lease")
        self._held: frozenset[int] = frozenset()

    def hold(self, candidates: Sequence[Candidate]) -> frozenset[int]:
        """See Tenure."""
        self._held = frozenset(each.library_id for each in candidates)
        return self._held

    def held(self) -> frozenset[int]:
        """See Tenure."""
        return self._held

    def holds(self, _library_id: int, /) -> bool:
        """See Tenure: what was dropped is ours as well."""
        return True

    def may_publish(self, _library_id: int, /) -> bool:
        """See Tenure."""
        return True

    def start(self) -> None:
        """See Tenure."""

    def close(self) -> None:
        """See Tenure."""

    def join(self, _deadline: Deadline, /) -> bool:
        """See Tenure."""
        return True

    def release(self) -> None:
        """See Tenure."""

    def progress(self) -> Progress:
        """See Tenure."""
        return self._pulse.look()


class LeasedTenure:
    """Holds by lease; see Tenure. The thread `fw-lease` and the one that calls `hold` take turns."""

    def __init__(
        self,
        claims: Claims,
        leases: Leases,
        book: LeaseBook,
        sight: RootSight,
        lasting: LeaseConfig,
        config: TenureConfig,
        *,
        in_use: Callable[[int], bool],
        on_held: Callable[[frozenset[int]], None],
        on_changed: Callable[[], None],
        on_failure: FailureReport,
    ) -> None:
        """`in_use(library_id)` tells whether the core still works on the library. `on_held(ids)` is called with
        all that is held whenever that changes, `on_changed()` where `hold` would answer otherwise than it did;
        both while others wait for their turn."""
        self._claims = claims
        self._leases = leases
        self._book = book
        self._sight = sight
        self._lasting = lasting
        self._config = config
        self._in_use = in_use
        self._on_held = on_held
        self._on_changed = on_changed
        self._on_failure = on_failure
        self._turn = threading.Lock()
        self._candidates: Sequence[Candidate] = ()
        self._told: frozenset[int] = frozenset()
        self._answered: frozenset[int] = frozenset()
        self._renewed = float("-inf")
        self._leaving: dict[int, float] = {}
        self._is_away = False
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._pulse = Pulse("fw-lease")
        self._threads: list[threading.Thread] = []

    def wake(self) -> None:
        """A lease was found to be lost. Never blocks."""
        self._wake.set()

    def start(self) -> None:
        """See Tenure."""
        self._threads.append(spawn("fw-lease", self._run, self._on_failure))

    def close(self) -> None:
        """See Tenure."""
        self._stop.set()
        self._wake.set()

    def join(self, deadline: Deadline) -> bool:
        """See Tenure."""
        return join_all(self._threads, deadline)

    def progress(self) -> Progress:
        """See Tenure."""
        return self._pulse.look()

    def hold(self, candidates: Sequence[Candidate]) -> frozenset[int]:
        """See Tenure."""
        with self._turn:
            self._candidates = self._claims.may_take(candidates)
            if self._step(time.monotonic()) < self._config.look:
                self._wake.set()  # something becomes ours sooner than the thread, which waits, would look
            self._answered = self._wanted_and_held()
            return self._answered

    def held(self) -> frozenset[int]:
        """See Tenure."""
        return frozenset(self._book.held())

    def holds(self, library_id: int) -> bool:
        """See Tenure."""
        return self._book.holds(library_id)

    def may_publish(self, library_id: int) -> bool:
        """See Tenure."""
        return self._book.may_publish(library_id)

    def release(self) -> None:
        """See Tenure."""
        with self._turn:
            epochs = {each: lease.epoch for each, lease in self._book.held().items()}
            self._book.drop(epochs)
            if epochs:
                self._leases.release(epochs)

    # -- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            self._pulse.at("looks at the leases")
            wait = self._take_turn()
            self._pulse.rest()
            self._wake.wait(wait)
            self._wake.clear()

    def _take_turn(self) -> float:
        """One turn; in how many seconds the next one is due."""
        with self._turn:
            try:
                wait = self._step(time.monotonic())
            except CatalogUnavailable as exc:
                wait = self._config.look
                if not self._is_away:
                    log.warning(
                        "leases_not_renewed",
                        reason=str(exc),
                        effect="nothing is published once they are over, until the database is back",
                    )
                self._is_away = True
            else:
                self._is_away = False
            is_news = self._wanted_and_held() != self._answered
        if is_news:
            self._on_changed()
        return wait

    # -- one turn --------------------------------------------------------------------------------

    def _step(self, now: float) -> float:
        """Renew, take, let go. Raises CatalogUnavailable or CatalogError."""
        try:
            self._renew(now)
            wait = self._take(now)
            self._let_go(now)
        finally:
            self._tell()
        return wait

    def _renew(self, now: float) -> None:
        if now - self._renewed < self._config.renew:
            return
        epochs = {each: lease.epoch for each, lease in self._book.held().items()}
        if epochs:
            asked = boot_seconds()
            kept = self._leases.renew(epochs)
            deadline = self._deadline(asked)
            self._book.extend({each: epochs[each] for each in kept}, deadline)
            self._book.lose({each: epoch for each, epoch in epochs.items() if each not in kept})
        self._renewed = now

    def _take(self, now: float) -> float:
        held = self._book.held()
        wanted = [
            each
            for each in self._candidates
            if each.library_id not in held and not self._in_use(each.library_id)
        ]
        if not wanted:
            return self._config.look
        rows = self._leases.look([each.library_id for each in wanted])
        free = self._claims.free(wanted, rows, now)
        unsure = [each.root for each in free if not self._claims.is_prompt(each)]
        seen = self._sight.seen(unsure) if unsure else frozenset()
        due, wait = self._claims.due(free, len(held), seen, now)
        if due:
            self._note_taken([each.library_id for each in due], rows)
        return self._config.look if wait is None else min(wait, self._config.look)

    def _note_taken(self, library_ids: Sequence[int], rows: Mapping[int, LeaseRow]) -> None:
        asked = boot_seconds()
        epochs = self._leases.take(library_ids)
        deadline = self._deadline(asked)
        self._book.put({each: Lease(epoch, deadline) for each, epoch in epochs.items()})
        for each, epoch in epochs.items():
            before = rows.get(each)
            log.info("lease_taken", library=each, epoch=epoch, owner_before=before and before.instance_id)

    def _deadline(self, asked: float) -> float:
        return asked + self._lasting.ttl - self._lasting.margin

    def _let_go(self, now: float) -> None:
        """Release what is watched no more, once its last messages are published."""
        wanted = {each.library_id for each in self._candidates}
        over = [each for each in self._book.held() if each not in wanted and not self._in_use(each)]
        self._leaving = {each: self._leaving.get(each, now) for each in over}
        due = [each for each, since in self._leaving.items() if now - since >= self._config.linger]
        if not due:
            return
        waiting = self._leases.with_something_to_tell(due)
        held = self._book.held()
        epochs = {each: held[each].epoch for each in due if each not in waiting and each in held}
        if epochs:
            self._book.drop(epochs)
            self._leases.release(epochs)
            log.info("leases_released", libraries=sorted(epochs))

    def _tell(self) -> None:
        if (held := self.held()) != self._told:
            self._told = held
            self._on_held(held)

    def _wanted_and_held(self) -> frozenset[int]:
        return frozenset(each.library_id for each in self._candidates) & self.held()


def tenure_over(
    database: Database,
    instance_id: str,
    *,
    in_use: Callable[[int], bool],
    on_held: Callable[[frozenset[int]], None],
    on_changed: Callable[[], None],
    on_failure: FailureReport,
) -> tuple[Tenure, LeaseGuard]:
    """The tenure that fits the database, and what has to guard its commits; for the arguments see LeasedTenure."""
    if database.is_sqlite:
        return SoleTenure(), NO_LEASES
    lasting = LeaseConfig()
    book = LeaseBook(database, lambda: tenure.wake())  # noqa: PLW0108 - built below
    tenure = LeasedTenure(
        Claims(instance_id),
        Leases(database, instance_id, lasting),
        book,
        RootSight(on_failure),
        lasting,
        TenureConfig(),
        in_use=in_use,
        on_held=on_held,
        on_changed=on_changed,
        on_failure=on_failure,
    )
    return tenure, book
