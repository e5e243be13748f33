"""The one decider of a catalog: takes observations, decides rounds, commits them.

`Decider` is the logic, free of threads and clocks; `processing.deciding` owns the thread. Two observations
never decide concurrently because there is one decider and one round at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from file_watcher.model import (
    GONE,
    FileEvent,
    FileRecord,
    FileStat,
    Library,
    Observation,
    Sight,
    Source,
    Undecided,
)
from file_watcher.processing.decision import Clock, Decision, Pending
from file_watcher.processing.evidence import folders_above, may_be_the_file
from file_watcher.processing.held import HeldObservations
from file_watcher.processing.reconcile import Round
from file_watcher.processing.view import CatalogView, RowChanges
from file_watcher.processing.waypoints import Waypoints


class Ledger(Protocol):
    """The catalog and the outbox, as the decider needs them."""

    def load(
        self, paths: Iterable[bytes], inodes: Iterable[int], contents: Iterable[tuple[int, bytes]]
    ) -> list[FileRecord]:
        """Rows at the paths, with the inodes, or with the contents (size, SHA-256)."""

    def records_below(self, paths: Collection[bytes]) -> dict[bytes, list[FileRecord]]:
        """Every row below each of the paths, for those that have any."""

    def record(self, rows: RowChanges, events: Sequence[FileEvent]) -> None:
        """Commit rows and events together. Raises CatalogUnavailable where it is undone or unknown."""


class Eye(Protocol):
    """The decider's look at the disk."""

    def look(self, path: bytes, library_id: int) -> Sight:
        """What is at the path now; UNKNOWN in a library that is not verified, or not watched."""

    def look_at_all(self, places: Sequence[tuple[bytes, int]]) -> list[Sight]:
        """The same for each path in the library of that number, for less than so many looks cost."""

    def is_verified(self, library: Library) -> bool:
        """Whether the library's root is the one that we know."""

    def is_unmatched(self, path: bytes) -> bool:
        """Whether a file stands at the path that the filters do not want."""


@dataclass(frozen=True, slots=True)
class DeciderConfig:
    """`move_window` and `patience` in seconds; `granularity_of(library)`: nanoseconds, of its filesystem's timestamps.

    A file that is gone waits `move_window` for a move that claims it, and a move for its place; beyond that
    both wait up to ten times `patience` while hints from before are still undecided; for files whose reading takes
    long only where those could be what is gone, or was there. While more than
    `most_held` wait (0.5 kB each), the window is all that they get: giving up a claim is always safe.
    """

    move_window: float = 2.0
    patience: float = 30.0
    granularity_of: Callable[[Library], int] = lambda _: 20_000_000
    most_held: int = 200_000


@dataclass(slots=True)
class Outcome:
    """What a step did with the observations, and what is to be looked at next."""

    decision: Decision = field(default_factory=Decision)
    held: list[Observation] = field(default_factory=list)
    """New observations that the decider keeps until a later step."""
    missed: int = 0
    """Changes that were told and that only a periodic rescan had found."""


class Decider:
    """Decides batches of observations against the catalog; keeps what is not yet decidable."""

    def __init__(
        self,
        config: DeciderConfig,
        ledger: Ledger,
        eye: Eye,
        clock: Clock,
        undecided: Callable[[float], Undecided],
    ) -> None:
        """`undecided(now)`: the hints that wait for their decision."""
        self._config = config
        self._ledger = ledger
        self._eye = eye
        self._clock = clock
        self._undecided = undecided
        self._held = HeldObservations()
        self._waypoints = Waypoints()

    def __len__(self) -> int:
        """How many observations are held."""
        return len(self._held)

    def next_deadline(self) -> float | None:
        """Monotonic time at which a held observation may be decidable by its age."""
        since = self._held.oldest_since()
        return None if since is None else since + self._config.move_window

    def oldest_noticed(self) -> float | None:
        """Monotonic time of the oldest hint behind what is held."""
        return self._held.oldest_noticed()

    def step(self, observations: Sequence[Observation], now: float) -> Outcome:
        """Decide one batch and commit it.

        Raises CatalogUnavailable: then nothing was decided, and the same step may be taken again. A commit
        whose fate is unknown is harmless, since the rows are read anew.
        """
        undecided = Undecided() if len(self._held) > self._config.most_held else self._undecided(now)
        observations = self._follow(observations, now)
        pending = self._gather(observations, now, undecided)
        if not pending:
            return Outcome()
        decision = self._decide(pending, now, undecided)
        if decision.rows != RowChanges() or decision.events:
            self._ledger.record(decision.rows, decision.events)
        outcome = self._remember(decision, observations)
        rescanned = {each.observation.path for each in pending if each.observation.source is Source.RESCAN}
        outcome.missed = sum(event.path in rescanned for event in decision.events)
        return outcome

    def _follow(self, observations: Sequence[Observation], now: float) -> Sequence[Observation]:
        """Put together what several moves of one file told."""
        for seen in observations:
            self._waypoints.note(seen, now)
        self._waypoints.forget(now - self._config.move_window, self._held.is_gone)
        return [self._waypoints.with_earlier_ones(seen) for seen in observations]

    def _gather(self, observations: Sequence[Observation], now: float, undecided: Undecided) -> list[Pending]:
        """New observations with those held ones that may be decidable now."""
        expired_before = self._expired_before(now, undecided)
        pending = {seen.path: self._pending(seen, now) for seen in observations}
        for held in (*self._held.there(), *self._held.gone_since(expired_before)):
            pending.setdefault(held.observation.path, held)
        return [_expired(each, each.since <= expired_before) for each in pending.values()]

    def _pending(self, seen: Observation, now: float) -> Pending:
        """An observation that says the same as a held one goes on waiting from when that one came.

        A file that is gone stays owed its reading, whoever finds once more that it is gone.
        """
        held = self._held.get(seen.path)
        if held is None or (held.observation.sight is GONE) != (seen.sight is GONE):
            return Pending(seen, now)
        if held.observation.owed and seen.sight is GONE:
            seen = replace(seen, owed=True)
        return Pending(seen, held.since)

    def _expired_before(self, now: float, undecided: Undecided) -> float:
        """What is held since then or longer has waited long enough, but for files that are under way."""
        due = now - self._config.move_window
        if undecided.oldest is None:
            return due
        # What waits for its turn counts as undecided however long that takes; only what hangs is given up.
        return max(self._late(now), min(due, math.nextafter(undecided.oldest, -math.inf)))

    def _late(self, now: float) -> float:
        return now - max(10 * self._config.patience, self._config.move_window)

    def _decide(self, pending: list[Pending], now: float, undecided: Undecided) -> Decision:
        trusted = {library: self._eye.is_verified(library) for library in _libraries(pending)}
        known = [each for each in pending if trusted[each.observation.library]]
        unseen = [each.observation for each in pending if not trusted[each.observation.library]]
        records = {record.file_id: record for record in self._load(known)}
        blockers = {each.observation.path: each for each in self._in_the_way(known, records)}
        view = CatalogView(records.values())
        known = [
            _expired(each, each.expired and not self._has_to_wait(each, view, now, undecided))
            for each in known
            if each.observation.path not in blockers
        ]
        known.extend(blockers.values())
        rounds = Round(
            view,
            self._eye.look,
            self._eye.look_at_all,
            self._clock,
            self._config.granularity_of,
            self._eye.is_unmatched,
            self._held.is_owed,
        )
        decision = rounds.decide(known)
        if not all(self._eye.is_verified(library) for library, was in trusted.items() if was):
            return Decision(unknown=[each.observation for each in pending])
        # A library whose root is not the one that was opened is scanned when it is back: nothing of it
        # needs to be remembered.
        decision.settled.extend(unseen)
        return decision

    def _has_to_wait(self, each: Pending, view: CatalogView, now: float, undecided: Undecided) -> bool:
        """Whether a file whose reading is under way may be the one that is gone from the path, or was there."""
        row = view.at(each.observation.path)
        return each.since > self._late(now) and any(
            noticed <= each.since and (row is None or may_be_the_file(row, stat))
            for noticed, stat in undecided.under_way
        )

    def _load(self, pending: list[Pending]) -> list[FileRecord]:
        paths: set[bytes] = set()
        inodes: set[int] = set()
        contents: set[tuple[int, bytes]] = set()
        for each in pending:
            seen = each.observation
            paths.add(seen.path)
            if isinstance(seen.sight, FileStat):
                paths.update(folders_above(seen.path))
                inodes.add(seen.sight.inode)
                if seen.fingerprint is not None and seen.sight.size:
                    contents.add((seen.sight.size, seen.fingerprint.sha256))
        return self._ledger.load(paths, inodes, contents)

    def _in_the_way(self, pending: list[Pending], records: dict[str, FileRecord]) -> list[Pending]:
        """Rows of files that cannot be there any more, because a folder or a file has their place.

        They are gone without a doubt and told before anything takes their place; their rows are added
        to `records`.
        """
        there = [each for each in pending if isinstance(each.observation.sight, FileStat)]
        folders = {folder: each for each in there for folder in folders_above(each.observation.path)}
        blockers = [(row, folders[row.path]) for row in records.values() if row.path in folders]
        known = {row.path for row in records.values()}
        new = {each.observation.path: each for each in there if each.observation.path not in known}
        for path, rows in self._ledger.records_below(new).items():
            records.update((row.file_id, row) for row in rows)
            blockers.extend((row, new[path]) for row in rows)
        return [
            Pending(_gone(row, each.observation), each.since, expired=True)
            for row, each in blockers
            if self._eye.look(row.path, row.library_id) is GONE
        ]

    def _remember(self, decision: Decision, observations: Sequence[Observation]) -> Outcome:
        """Keep what is held, forget what was decided."""
        for seen in (*decision.settled, *decision.unknown, *(seen for seen, _ in decision.again)):
            self._held.forget(seen.path)
        for event in decision.events:
            if event.old_path is not None:
                self._forget_moved(event.old_path, decision)
        for pending in decision.held:
            self._held.put(pending)
        new = {seen.path for seen in observations}
        return Outcome(decision, [each.observation for each in decision.held if each.observation.path in new])

    def _forget_moved(self, path: bytes, decision: Decision) -> None:
        """The file that was gone from this path was found elsewhere: nothing is left to wait for."""
        held = self._held.get(path)
        if held is not None and held.observation.sight is GONE:
            self._held.forget(path)
            decision.settled.append(held.observation)


def _expired(each: Pending, is_expired: bool) -> Pending:
    """Nearly all are new and stay as they are: a copy of each would cost as much as much of deciding."""
    return each if each.expired == is_expired else replace(each, expired=is_expired)


def _libraries(pending: list[Pending]) -> set[Library]:
    return {each.observation.library for each in pending}


def _gone(row: FileRecord, because: Observation) -> Observation:
    return Observation(
        row.path,
        because.library,
        GONE,
        source=because.source,
        noticed=because.noticed,
        changed_ns=because.changed_ns,
    )
