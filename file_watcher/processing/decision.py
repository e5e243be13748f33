"""What a round of decisions takes and what it gives: pending observations in, rows and events out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from file_watcher.model import (
    EventType,
    Evidence,
    FileEvent,
    FileRecord,
    Observation,
    Previous,
    Sight,
)
from file_watcher.processing.view import RowChanges

Look = Callable[[bytes, int], Sight]
"""Gives the sight of now at a path, in the library of that number: UNKNOWN where that one is not watched."""

LookAtAll = Callable[[Sequence[tuple[bytes, int]]], Sequence[Sight]]
"""The same for many places, in their order."""


class Clock(Protocol):
    """What a round needs to stamp events: wall-clock nanoseconds and fresh identifiers."""

    def now_ns(self) -> int:
        """Nanoseconds since the epoch."""

    def new_id(self) -> str:
        """A fresh UUIDv7."""


@dataclass(frozen=True, slots=True)
class Pending:
    """An observation that waits for its decision since `since` (monotonic seconds).

    `expired` means that it has waited long enough: it is decided with what is known.
    """

    observation: Observation
    since: float
    expired: bool = False


@dataclass(slots=True)
class Decision:
    """What one round decided: `rows` and `events` belong in one commit. Every observation is in one of
    `held`, `again`, `settled` and `unknown`."""

    events: list[FileEvent] = field(default_factory=list)
    rows: RowChanges = field(default_factory=RowChanges)
    held: list[Pending] = field(default_factory=list)
    again: list[tuple[Observation, bool]] = field(default_factory=list)
    """To be observed anew; True where the content must be read."""
    settled: list[Observation] = field(default_factory=list)
    unknown: list[Observation] = field(default_factory=list)
    """Could not be told: nothing was decided; look again later."""
    recheck: list[FileRecord] = field(default_factory=list)
    """Rows whose hashes were carried or may be stale: to be hashed once more in the background."""
    look_at: list[bytes] = field(default_factory=list)
    """Paths that the round found to have changed and that nobody may have hinted at."""
    unchanged: int = 0
    """Files whose stat differed and whose content did not: no message."""

    def settle(self, seen: Observation, record: FileRecord) -> None:
        """The observation is decided; hashes that a later write could hide behind are read once more."""
        self.settled.append(seen)
        if record.racy and not seen.growing and seen.error is None and not seen.unhashed:
            self.recheck.append(record)

    def tell(
        self,
        clock: Clock,
        event_type: EventType,
        record: FileRecord,
        seen: Observation,
        *,
        previous: FileRecord | None = None,
        evidence: Evidence | None = None,
        changed: tuple[str, ...] | None = None,
        reason: str | None = None,
    ) -> None:
        """Add an event about the record, as it is from now on."""
        has_moved = event_type in (EventType.MOVED, EventType.RENAMED)
        self.events.append(
            FileEvent(
                event_type=event_type,
                path=record.path,
                library=seen.library,
                file_id=record.file_id,
                version=record.version,
                previous_version=record.version - 1 or None,
                stat=record.stat,
                fingerprint=record.fingerprint,
                metadata=record.metadata,
                old_path=previous.path if has_moved and previous else None,
                previous=Previous(previous.path, previous.fingerprint) if previous else None,
                evidence=evidence,
                changed=changed,
                reason=reason,
                growing=record.growing and event_type is not EventType.DELETED,
                event_id=clock.new_id(),
                timestamp_ns=clock.now_ns(),
                noticed_ns=seen.changed_ns,
            )
        )
