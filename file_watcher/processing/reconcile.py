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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from file_watcher.model import (
    GONE,
    UNKNOWN,
    EventType,
    FileRecord,
    FileStat,
    Library,
    Observation,
)
from file_watcher.processing.claims import ClaimFinder
from file_watcher.processing.content import ContentTeller, known_attributes
from file_watcher.processing.decision import Clock, Decision, Look, LookAtAll, Pending
from file_watcher.processing.evidence import Claim, folder_of, folders_above
from file_watcher.processing.view import CatalogView


class Round:
    """One decision over a batch of pending observations."""

    def __init__(
        self,
        view: CatalogView,
        look: Look,
        look_at_all: LookAtAll,
        clock: Clock,
        granularity_of: Callable[[Library], int],
        unmatched: Callable[[bytes], bool],
        is_owed: Callable[[bytes], bool],
    ) -> None:
        """`look(path, library)` gives the sight of now (`library` is its number), `look_at_all` those of many;
        `granularity_of(library)` is how coarse its filesystem's timestamps may be, in nanoseconds; `unmatched(path)` tells whether
        a file that counts as gone is still there under a name that the filters no longer want;
        `is_owed(path)` whether one that was found gone earlier was still to be read."""
        self._view = view
        self._look = look
        self._look_at_all = look_at_all
        self._clock = clock
        self._unmatched = unmatched
        self._was_owed = is_owed
        self._seen: dict[bytes, tuple[Pending, FileStat]] = {}
        self._gone: dict[bytes, Pending] = {}
        self._claims: dict[bytes, Claim] = {}
        self._claimed: dict[str, bytes] = {}
        self._out = Decision()
        self._content = ContentTeller(view, clock, granularity_of, self._out)

    def decide(self, pending: Sequence[Pending]) -> Decision:
        """Decide everything that can be decided now."""
        self._look_again(pending)
        self._claims = ClaimFinder(self._view, self._look, self._is_owed).find(
            (waiting.observation, stat) for waiting, stat in self._seen.values()
        )
        self._claimed = {claim.row.file_id: path for path, claim in self._claims.items()}
        self._tell_expired()
        self._tell_moves()
        for path, (waiting, stat) in self._seen.items():
            if path in self._claims:
                continue
            if self._is_taken(path, besides=path):
                self._out.held.append(waiting)
            else:
                self._content.tell(waiting.observation, stat)
        self._hold_the_gone()
        self._out.rows = self._view.changes()
        return self._out

    # -- what is there now ---------------------------------------------------------------------------

    def _look_again(self, pending: Sequence[Pending]) -> None:
        ordered = sorted(pending, key=lambda each: each.observation.path)
        places = [(each.observation.path, each.observation.library.id) for each in ordered]
        for waiting, now in zip(ordered, self._look_at_all(places), strict=True):
            seen = waiting.observation
            if now is UNKNOWN or seen.sight is UNKNOWN:
                self._out.unknown.append(seen)
            elif isinstance(now, FileStat) and (now == seen.sight or _still_grows(seen, now)):
                self._seen[seen.path] = (waiting, now)
            elif now != seen.sight:
                self._out.again.append((seen, seen.owed))
            else:
                self._gone[seen.path] = waiting

    def _is_owed(self, path: bytes) -> bool:
        """Whether the file that is gone from the path was closed after writing, and could not be read in time."""
        gone = self._gone.get(path)
        return gone.observation.owed if gone else self._was_owed(path)

    # -- moves ---------------------------------------------------------------------------------------

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
            self._give_up(waiting.pop(late[0]))
            return True
        return False

    def _give_up(self, claim: Claim) -> None:
        """Tell the claimed row as deleted instead, so that whoever waits for its place can go on."""
        row, seen = claim.row, claim.observation
        del self._claims[seen.path], self._claimed[row.file_id]
        if row.library_id == seen.library.id and self._look(row.path, row.library_id) is GONE:
            self._view.remove(row)
            self._out.tell(self._clock, EventType.DELETED, replace(row, version=row.version + 1), seen)
        else:
            self._out.look_at.append(row.path)

    def _move(self, path: bytes, claim: Claim) -> None:
        row, seen = claim.row, claim.observation
        same_folder = folder_of(row.path) == folder_of(path)
        tells_old_content = claim.content_changed and (row.fingerprint is not None or seen.unhashed)
        moved = replace(
            row,
            path=path,
            library_id=seen.library.id,
            version=row.version + 1,
            stat=row.stat if tells_old_content else claim.stat,
            racy=claim.doubtful if claim.carried else self._content.is_racy(seen, claim.stat),
            attributes=known_attributes(row, seen, claim.stat),
        )
        if not tells_old_content and seen.metadata is not None:
            moved = replace(moved, metadata=seen.metadata)
        if self._look(row.path, row.library_id) is not GONE:
            self._out.look_at.append(row.path)
        self._view.put(moved)
        self._out.tell(
            self._clock,
            EventType.RENAMED if same_folder else EventType.MOVED,
            moved,
            seen,
            previous=row,
            evidence=claim.evidence,
        )
        if claim.content_changed:
            self._content.tell(seen, claim.stat)
        else:
            self._content.follow_up(seen, moved)

    def _rotate(self, ring: list[tuple[bytes, Claim]]) -> None:
        """A swap or a longer cycle: each path now has another's content, each row stays at its path."""
        for path, claim in ring:
            own = self._view.at(path)
            assert own is not None
            if claim.carried:
                fingerprint, metadata = claim.row.fingerprint, claim.row.metadata
                self._content.change(
                    own, claim.observation, claim.stat, fingerprint, metadata, racy=claim.doubtful
                )
            else:
                self._content.tell(claim.observation, claim.stat)

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
        self._out.tell(self._clock, EventType.DELETED, last, waiting.observation, reason=reason)


def _still_grows(seen: Observation, now: FileStat) -> bool:
    """A file that is told as growing may have grown since: its hashes are not told anyway."""
    return seen.growing and isinstance(seen.sight, FileStat) and seen.sight.same_file(now)
