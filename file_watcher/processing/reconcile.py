"""Decide what happened: observations of the disk against the catalog.

Pure: no thread, no clock of its own, no database. `look` is the only way to the disk, and each decision
looks at every involved path again, so that an observation that has aged decides nothing.

One `Round` decides one batch. What it yields is in an order that a consumer can apply message by message:
a file leaves its place before another takes it (a chain is told tail first), what became a folder is
deleted before something is created below it, and a cycle is told as `modified` of each path.

What is not yet decidable is *held*: a file that is gone (a move may claim its row) and a file that was
moved onto a place whose former file may live on elsewhere. Giving up a claim is always safe: it tells the
same state of the disk in other words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from file_watcher.model import (
    GONE,
    UNKNOWN,
    EventType,
    Evidence,
    FileEvent,
    FileRecord,
    FileStat,
    Fingerprint,
    Library,
    Metadata,
    Observation,
    Previous,
    Sight,
)
from file_watcher.processing.evidence import Claim, folder_of, folders_above, name_of, prove_by_inode
from file_watcher.processing.view import CatalogView, RowChanges

CONTENT = ("content",)

Rivals = Counter[tuple[int, Fingerprint | None]]
"""How many files without a row were seen, by size and hashes."""


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


class Round:
    """One decision over a batch of pending observations."""

    def __init__(
        self,
        view: CatalogView,
        look: Callable[[bytes, Library | None], Sight],
        clock: Clock,
        granularity_ns: int = 20_000_000,
        unmatched: Callable[[bytes], bool] = lambda _path: False,
    ) -> None:
        """`look(path, library)` gives the sight of now (library None: the one that the path lies in);
        `granularity_ns` is how coarse the filesystem's timestamps may be; `unmatched(path)` tells whether
        a file that counts as gone is still there under a name that the filters no longer want."""
        self._view = view
        self._look = look
        self._clock = clock
        self._granularity_ns = granularity_ns
        self._unmatched = unmatched
        self._seen: dict[bytes, tuple[Pending, FileStat]] = {}
        self._gone: dict[bytes, Pending] = {}
        self._claims: dict[bytes, Claim] = {}
        self._claimed: dict[str, bytes] = {}
        self._out = Decision()

    def decide(self, pending: Sequence[Pending]) -> Decision:
        """Decide everything that can be decided now."""
        self._look_again(pending)
        self._find_claims()
        self._tell_expired()
        self._tell_moves()
        for path, (waiting, stat) in self._seen.items():
            if path in self._claims:
                continue
            if self._is_taken(path, besides=path):
                self._out.held.append(waiting)
            else:
                self._tell_content(waiting.observation, stat)
        self._hold_the_gone()
        self._out.rows = self._view.changes()
        return self._out

    # -- what is there now ---------------------------------------------------------------------------

    def _look_again(self, pending: Sequence[Pending]) -> None:
        for waiting in sorted(pending, key=lambda each: each.observation.path):
            seen = waiting.observation
            now = self._look(seen.path, seen.library)
            if now is UNKNOWN or seen.sight is UNKNOWN:
                self._out.unknown.append(seen)
            elif isinstance(now, FileStat) and (now == seen.sight or _still_grows(seen, now)):
                self._seen[seen.path] = (waiting, now)
            elif now != seen.sight:
                self._out.again.append((seen, False))
            elif self._view.at(seen.path) is None:
                self._out.settled.append(seen)
            else:
                self._gone[seen.path] = waiting

    # -- moves ---------------------------------------------------------------------------------------

    def _find_claims(self) -> None:
        rivals = Counter(
            (stat.size, waiting.observation.fingerprint)
            for path, (waiting, stat) in self._seen.items()
            if self._view.at(path) is None
        )
        claims = [
            claim
            for waiting, stat in self._seen.values()
            for claim in self._possible_claims(waiting.observation, stat, rivals)
        ]
        for claim in sorted(claims, key=lambda each: (each.strength, each.observation.path)):
            path = claim.observation.path
            if path not in self._claims and claim.row.file_id not in self._claimed:
                self._claims[path] = claim
                self._claimed[claim.row.file_id] = path

    def _possible_claims(self, seen: Observation, stat: FileStat, rivals: Rivals) -> list[Claim]:
        own = self._view.at(seen.path)
        if own is not None and own.stat.same_file(stat):
            return []
        same_inode = [
            row for row in self._view.with_inode(stat) if row.path != seen.path and self._has_left(row)
        ]
        claims = [claim for row in same_inode if (claim := prove_by_inode(seen, stat, row))]
        if claims or own is not None or seen.fingerprint is None or stat.size == 0:
            return claims
        alone = rivals[stat.size, seen.fingerprint] == 1
        return self._claim_by_content(seen, stat, seen.fingerprint, alone=alone)

    def _claim_by_content(
        self, seen: Observation, stat: FileStat, fingerprint: Fingerprint, *, alone: bool
    ) -> list[Claim]:
        rows = [
            row
            for row in self._view.with_content(stat.size, fingerprint)
            if row.path != seen.path and self._look(row.path, None) is GONE
        ]
        if len(rows) != 1 or not alone:
            rows = [row for row in rows if name_of(row.path) == name_of(seen.path)]
        if len(rows) != 1:
            return []
        return [Claim(seen, stat, rows[0], Evidence.CONTENT, carried=False, content_changed=False)]

    def _has_left(self, row: FileRecord) -> bool:
        """Whether the row's file is no longer at its path. An unknown path shields its row."""
        now = self._look(row.path, None)
        return now is GONE or (isinstance(now, FileStat) and not now.same_file(row.stat))

    def _tell_moves(self) -> None:
        waiting = dict(self._claims)
        while waiting:
            free = [path for path, claim in waiting.items() if self._is_free(path, claim)]
            if free:
                for path in free:
                    if self._is_free(path, waiting[path]):
                        self._move(path, waiting.pop(path))
            elif cycle := self._cycle(waiting):
                self._rotate([(path, waiting.pop(path)) for path in cycle])
            elif not self._make_room(waiting):
                break
        for path in waiting:
            self._out.held.append(self._seen[path][0])

    def _is_free(self, path: bytes, claim: Claim) -> bool:
        return not self._is_taken(path, besides=claim.row.path)

    def _is_taken(self, path: bytes, besides: bytes) -> bool:
        """Whether a row stands at the path, above it or below it.

        The row at `besides` does not count: it is the one that is about to go.
        """
        places = (path, *folders_above(path))
        if any(place != besides and self._view.at(place) is not None for place in places):
            return True
        return self._view.count_below(path) > besides.startswith(path + b"/")

    def _cycle(self, waiting: Mapping[bytes, Claim]) -> list[bytes] | None:
        """Paths that took each other's files, each the one whose file the next one took."""
        for start in waiting:
            path, ring = start, [start]
            while (own := self._view.at(path)) is not None:
                follower = self._claimed.get(own.file_id)
                if follower is None or follower not in waiting:
                    break
                if follower == start:
                    return ring
                if follower in ring:
                    break
                path = follower
                ring.append(path)
        return None

    def _make_room(self, waiting: dict[bytes, Claim]) -> bool:
        """Decide for one claim that has waited long enough; False where none has."""
        late = [path for path in waiting if self._seen[path][0].expired]
        for path in late:
            own = self._view.at(path)
            if own is not None and own.file_id not in self._claimed:
                self._delete(own, reason="overwritten")
                return True
        if late:
            claim = waiting.pop(late[0])
            self._out.look_at.append(claim.row.path)
            del self._claims[late[0]], self._claimed[claim.row.file_id]
            return True
        return False

    def _move(self, path: bytes, claim: Claim) -> None:
        row, seen = claim.row, claim.observation
        same_folder = folder_of(row.path) == folder_of(path)
        moved = replace(
            row,
            path=path,
            library_id=seen.library.id,
            version=row.version + 1,
            stat=claim.stat,
            racy=claim.doubtful if claim.carried else self._is_racy(seen, claim.stat),
        )
        if not claim.carried and seen.metadata is not None:
            moved = replace(moved, metadata=seen.metadata)
        if self._look(row.path, None) is not GONE:
            self._out.look_at.append(row.path)
        self._view.put(moved)
        self._event(
            EventType.RENAMED if same_folder else EventType.MOVED,
            moved,
            seen,
            previous=row,
            old_path=row.path,
            evidence=claim.evidence,
        )
        if claim.content_changed:
            self._tell_content(seen, claim.stat)
        else:
            self._settle(seen, moved)

    def _rotate(self, ring: list[tuple[bytes, Claim]]) -> None:
        """A swap or a longer cycle: each path now has another's content, each row stays at its path."""
        for path, claim in ring:
            own = self._view.at(path)
            assert own is not None
            if claim.carried:
                fingerprint, metadata = claim.row.fingerprint, claim.row.metadata
                self._change(own, claim.observation, claim.stat, fingerprint, metadata, racy=claim.doubtful)
            else:
                self._tell_content(claim.observation, claim.stat)

    # -- gone ----------------------------------------------------------------------------------------

    def _tell_expired(self) -> None:
        """Tell what is gone for good, before anything takes its place."""
        for path, waiting in self._gone.items():
            row = self._view.at(path)
            if row is not None and waiting.expired and row.file_id not in self._claimed:
                self._delete(row, reason="unmatched" if self._unmatched(path) else None)

    def _hold_the_gone(self) -> None:
        for path, waiting in self._gone.items():
            if self._view.at(path) is None:
                self._out.settled.append(waiting.observation)
            else:
                self._out.held.append(waiting)

    def _delete(self, row: FileRecord, reason: str | None) -> None:
        waiting = self._gone.get(row.path) or self._seen[row.path][0]
        self._view.remove(row)
        last = replace(row, version=row.version + 1)
        self._event(EventType.DELETED, last, waiting.observation, reason=reason)

    # -- content -------------------------------------------------------------------------------------

    def _tell_content(self, seen: Observation, stat: FileStat) -> None:
        own = self._view.at(seen.path)
        if own is None:
            self._create(seen, stat)
        elif seen.growing:
            self._grow(own, seen, stat)
        elif seen.error is not None:
            self._cannot_read(own, seen, stat)
        elif seen.fingerprint is None:
            if own.stat == stat and not own.racy and own.fingerprint is not None:
                self._out.settled.append(seen)
            else:
                self._out.again.append((seen, True))
        elif seen.fingerprint == own.fingerprint:
            self._refresh(own, seen, stat)
        else:
            racy = self._is_racy(seen, stat)
            self._change(own, seen, stat, seen.fingerprint, seen.metadata, racy=racy)

    def _create(self, seen: Observation, stat: FileStat) -> None:
        if seen.fingerprint is None and not seen.growing and seen.error is None:
            self._out.again.append((seen, True))
            return
        created = FileRecord(
            path=seen.path,
            library_id=seen.library.id,
            file_id=self._clock.new_id(),
            version=1,
            stat=stat,
            fingerprint=seen.fingerprint,
            metadata=seen.metadata,
            growing=seen.growing,
            racy=self._is_racy(seen, stat),
        )
        self._view.put(created)
        self._event(EventType.CREATED, created, seen, reason=seen.error)
        self._settle(seen, created)

    def _grow(self, own: FileRecord, seen: Observation, stat: FileStat) -> None:
        if own.growing and own.stat == stat:
            self._out.settled.append(seen)
        else:
            self._change(own, seen, stat, None, own.metadata, racy=True)

    def _cannot_read(self, own: FileRecord, seen: Observation, stat: FileStat) -> None:
        """Told when its content must have changed; a mere loss of the right to read it is not."""
        if own.stat.same_file(stat) and own.stat.same_bytes_likely(stat) and not own.growing:
            self._out.settled.append(seen)
        else:
            self._change(own, seen, stat, None, None, racy=True)

    def _refresh(self, own: FileRecord, seen: Observation, stat: FileStat) -> None:
        racy = self._is_racy(seen, stat)
        fresh = replace(own, stat=stat, racy=racy, growing=False)
        if fresh != own:
            self._view.put(fresh)
            self._out.unchanged += 1
        self._settle(seen, fresh)

    def _change(
        self,
        own: FileRecord,
        seen: Observation,
        stat: FileStat,
        fingerprint: Fingerprint | None,
        metadata: Metadata | None,
        *,
        racy: bool,
    ) -> None:
        changed = replace(
            own,
            version=own.version + 1,
            stat=stat,
            fingerprint=fingerprint,
            metadata=metadata,
            growing=seen.growing,
            racy=racy,
        )
        if fingerprint is not None and fingerprint == own.fingerprint:
            self._view.put(replace(changed, version=own.version))
            self._out.unchanged += 1
        else:
            self._view.put(changed)
            self._event(EventType.MODIFIED, changed, seen, previous=own, changed=CONTENT, reason=seen.error)
        self._settle(seen, changed)

    def _is_racy(self, seen: Observation, stat: FileStat) -> bool:
        """Whether a write after the hash could have left the same timestamps behind (rule 5)."""
        if seen.fingerprint is None:
            return True
        return max(stat.mtime_ns, stat.ctime_ns) >= seen.read_at_ns - self._granularity_ns

    # -- output --------------------------------------------------------------------------------------

    def _settle(self, seen: Observation, record: FileRecord) -> None:
        self._out.settled.append(seen)
        if record.racy and not seen.growing and seen.error is None:
            self._out.recheck.append(record)

    def _event(
        self,
        event_type: EventType,
        record: FileRecord,
        seen: Observation,
        *,
        previous: FileRecord | None = None,
        old_path: bytes | None = None,
        evidence: Evidence | None = None,
        changed: tuple[str, ...] | None = None,
        reason: str | None = None,
    ) -> None:
        self._out.events.append(
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
                old_path=old_path,
                previous=Previous(previous.path, previous.fingerprint) if previous else None,
                evidence=evidence,
                changed=changed,
                reason=reason,
                growing=record.growing and event_type is not EventType.DELETED,
                event_id=self._clock.new_id(),
                timestamp_ns=self._clock.now_ns(),
                noticed_ns=seen.changed_ns,
            )
        )


def _still_grows(seen: Observation, now: FileStat) -> bool:
    """A file that is told as growing may have grown since: its hashes are not told anyway."""
    return seen.growing and isinstance(seen.sight, FileStat) and seen.sight.same_file(now)
