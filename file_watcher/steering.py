"""Steers the running service by what the database says: reads it when it changed, plans, and has it done.

Owns the thread `fw-steer`, which waits for changes (`catalog.changes`), asks who owns what (`tenure`) and tells the
fleet. `Planner` makes the first plan, before anything runs, on the thread that opens the catalog. What is refused
is logged once and shown in the health; the service goes on with what held before.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import structlog

from file_watcher.catalog.changes import ChangeFeed
from file_watcher.catalog.steering import SteeringRows
from file_watcher.errors import CatalogError, CatalogUnavailable, UsageError
from file_watcher.lease_claims import Candidate
from file_watcher.lifecycle import Deadline, FailureReport, join_all, spawn
from file_watcher.model import Health, Library
from file_watcher.paths import native
from file_watcher.planning import LastGood, Plan, PlanConfig, PlannedLibrary, make_plan, text_of
from file_watcher.pulse import Progress, Pulse
from file_watcher.roster import Watched
from file_watcher.settings import FileWatchSettings, Settings
from file_watcher.settings.rules import AT_ONCE
from file_watcher.tenure import Tenure
from file_watcher.watching.missing import make_missing

log = structlog.get_logger(__name__)

MakeMissing = Callable[..., object]

_SEEN_EVERYWHERE: Final = b"/"


@dataclass(frozen=True, slots=True)
class SteeringConfig:
    """Seconds until all is read again though nothing told of a change: as a rule, while a folder is missing (its
    path may lead elsewhere later) or we send what is left of a library that nobody watches (it is given up
    afterwards), while something could not be done yet, and while the database is away."""

    seldom: float = 60.0
    missing: float = 5.0
    unfinished: float = 0.2
    outage: float = 1.0


class Apply(Protocol):
    """See `fleet.Fleet.apply`."""

    def __call__(self, wanted: Sequence[Watched], unwatched: Collection[Library] = ()) -> bool:
        """Watch these and no others; False where it has to be called again soon."""


class Planner:
    """Makes plans, and remembers what was good. Used by one thread at a time."""

    def __init__(
        self,
        config: PlanConfig,
        read: Callable[[], SteeringRows],
        ensure: Callable[[Sequence[bytes]], object],
        *,
        make: MakeMissing = make_missing,
    ) -> None:
        """`ensure(roots)` gives each of the named folders a row, and takes back what was named before."""
        self._config = config
        self._read = read
        self._ensure = ensure
        self._make = make
        self._good = LastGood()
        self._problems: tuple[str, ...] = ()
        self._tried: dict[int, bytes] = {}
        self._is_first = True

    @property
    def problems(self) -> tuple[str, ...]:
        """What is refused now, in sentences."""
        return self._problems

    def plan(self) -> Plan:
        """What is to be, as of now. Raises CatalogUnavailable, CatalogError."""
        rows = self._read()
        plan = make_plan(self._config, rows, self._good)
        named = {text_of(root) for root in plan.named}
        if named != {row.path for row in rows.libraries if self._config.instance_id in row.origins}:
            problem = self._give_rows(plan.named)
            plan = make_plan(self._config, self._read(), self._good)
            plan = replace(plan, problems=plan.problems + problem)
        self._good = plan.good
        self._report(plan.problems)
        self._is_first = False
        return plan

    def watched(self, plan: Plan, held: Collection[int]) -> list[Watched]:
        """The plan's libraries that are ours, their missing folders made where that is wished.

        Raises UsageError where a folder that our environment names cannot be made at the start.
        """
        ours = [each for each in plan.libraries if each.library.id in held]
        for each in ours:
            self._make_folder(each)
        self._tried = {each.library.id: each.library.root for each in ours}
        return [Watched.by(each.library, each.watch, each.jobs) for each in ours]

    def forget(self, gone: Collection[Library]) -> None:
        """These are said to be watched no more: nothing of them has to be remembered."""
        numbers = {library.id for library in gone}
        left = {number: each for number, each in self._good.watched.items() if number not in numbers}
        self._good = replace(self._good, watched=left)

    def _give_rows(self, named: Sequence[bytes]) -> tuple[str, ...]:
        try:
            self._ensure(named)
        except CatalogError as exc:
            if self._is_first:
                raise
            return (str(exc),)
        return ()

    def _make_folder(self, each: PlannedLibrary) -> None:
        root = each.library.root
        if (
            not each.watch.create_missing
            or self._tried.get(each.library.id) == root
            or os.path.isdir(native(root))
        ):
            return
        try:
            self._make(root, was_watched=each.was_seen)
        except UsageError as exc:
            if each.is_named and not self._tried:
                raise
            log.warning("missing_folder_not_made", library=each.library.name, reason=str(exc))

    def _report(self, problems: tuple[str, ...]) -> None:
        """Tell what is new of it, once."""
        for line in problems:
            if line not in self._problems:
                log.warning("setting_refused", detail=line)
        if self._problems and not problems:
            log.info("settings_accepted", detail="nothing that steers is refused any more")
        self._problems = problems


class Steering:
    """A lifecycle.Stage."""

    def __init__(
        self,
        planner: Planner,
        began_with: Settings,
        feed: ChangeFeed,
        tenure: Tenure,
        apply: Apply,
        adjust: Callable[[Settings], None],
        on_failure: FailureReport,
        config: SteeringConfig | None = None,
    ) -> None:
        """`began_with` are the settings of the first plan, by which all parts were made; `adjust(settings)` passes
        on what of them can change while they run."""
        self._planner = planner
        self._began_with = began_with
        self._feed = feed
        self._tenure = tenure
        self._apply = apply
        self._adjust = adjust
        self._adjusted = began_with
        self._on_failure = on_failure
        self._config = config or SteeringConfig()
        self._stop = threading.Event()
        self._pulse = Pulse("fw-steer")
        self._threads: list[threading.Thread] = []
        self._trouble: str | None = None
        self._postponed: tuple[str, ...] = ()
        self._told: frozenset[int] = frozenset()
        self._rounds = threading.Condition()
        """Guards the two numbers of rounds."""
        self._begun = 0
        self._applied = 0

    def start(self) -> None:
        """Start the thread, which reads everything at once."""
        self._threads.append(spawn("fw-steer", self._run, self._on_failure))

    def close(self) -> None:
        """Ask for the end."""
        self._stop.set()
        self._feed.wake()

    def join(self, deadline: Deadline) -> bool:
        """Wait for the end; False where the thread still ran at the deadline."""
        return join_all(self._threads, deadline)

    def wake(self) -> None:
        """Something else than a row changed: what is ours. Never blocks."""
        self._feed.wake()

    def ask(self) -> int:
        """Have everything read again; the number of the round that sees all that was said before. Never blocks."""
        with self._rounds:
            number = self._begun + 1
        self._feed.wake()
        return number

    def wait_until_applied(self, number: int, timeout: float) -> bool:
        """Wait until all that this round saw, or a later one, holds; False after `timeout` seconds."""
        with self._rounds:
            return self._rounds.wait_for(lambda: self._applied >= number, timeout)

    def progress(self) -> Progress:
        """How far the thread is."""
        return self._pulse.look()

    def health(self) -> Health:
        """What of the database's rows does not hold, and why. Never a reason not to be ready."""
        facts = {"refused": list(self._planner.problems), "from_next_start": list(self._postponed)}
        if self._trouble is not None:
            return Health("steering", ok=True, detail=f"Changes are not read: {self._trouble}", facts=facts)
        count = len(self._planner.problems)
        words = (
            "All that the database says holds." if not count else f"Refused: {count}; what held before stays."
        )
        return Health("steering", ok=True, detail=words, facts=facts)

    def _run(self) -> None:
        try:
            pause = 0.0
            while not self._stop.is_set():
                self._feed.wait(pause)
                if self._stop.is_set():
                    break
                self._pulse.at("applies changes")
                pause = self._step()
                self._pulse.rest()
        finally:
            self._feed.close()

    def _step(self) -> float:
        """One round; in how many seconds the next one is due though nothing changes."""
        try:
            pause = self._go_round()
        except (CatalogUnavailable, CatalogError) as exc:
            if self._trouble is None:
                log.warning("steering_waits_for_database", reason=str(exc), effect="all stays as it is")
            self._trouble = str(exc)
            self._stop.wait(self._config.outage)
            return self._config.outage
        self._trouble = None
        return pause

    def _go_round(self) -> float:
        with self._rounds:
            self._begun += 1
            number = self._begun
        plan = self._planner.plan()
        held = self._tenure.hold(candidates_of(plan))
        gone = [library for library in plan.unwatched if library.id in held]
        is_done = self._apply(self._planner.watched(plan, held), gone)
        if plan.settings != self._adjusted:
            self._adjust(plan.settings)
            self._adjusted = plan.settings
            self._note_postponed(plan.settings)
        if not is_done:
            return self._config.unfinished
        with self._rounds:
            self._applied = number
            self._rounds.notify_all()
        self._planner.forget(gone)
        told = frozenset(library.id for library in gone)
        is_news, self._told = not told <= self._told, told
        if is_news:
            return self._config.unfinished  # what was told is wanted no more
        is_sending = not held.isdisjoint(plan.left_over)
        return self._config.missing if plan.waits or is_sending else self._config.seldom

    def _note_postponed(self, settings: Settings) -> None:
        """Say which changes the next start will bring."""
        names = sorted(FileWatchSettings.model_fields.keys() - AT_ONCE)
        before, now = self._began_with.watch, settings.watch
        postponed = tuple(name for name in names if getattr(before, name) != getattr(now, name))
        for name in postponed:
            if name not in self._postponed:
                log.warning("setting_waits_for_restart", setting=f"file_watch.{name}")
        self._postponed = postponed


def candidates_of(plan: Plan) -> list[Candidate]:
    """What we would own: to watch it, to say that nobody does, or to send what is left of it."""
    wanted = [
        Candidate(each.library.id, each.library.root, each.instance, each.is_named) for each in plan.libraries
    ]
    wanted += [Candidate(library.id, library.root) for library in plan.unwatched]
    # Sending needs no folder, so any host will do.
    return wanted + [Candidate(number, _SEEN_EVERYWHERE) for number in plan.left_over]
