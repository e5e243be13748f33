"""A disk, a catalog that knows it, and one round of decisions about what has changed since."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence

from file_watcher.model import UNKNOWN, FileEvent, FileRecord, FileStat, Observation, Sight, Source
from file_watcher.processing.decision import Decision, Pending
from file_watcher.processing.reconcile import Round
from file_watcher.processing.view import CatalogView
from tests.support.pipeline import StepClock, check_all_accounted_for
from tests.support.world import LIBRARY, Mirror, World, fingerprint_of

Told = tuple[str, bytes] | tuple[str, bytes, bytes]


def told(events: Iterable[FileEvent]) -> list[Told]:
    """The gist of events: what, where, and from where."""
    return [
        (event.event_type.value, event.path, event.old_path)
        if event.old_path is not None
        else (event.event_type.value, event.path)
        for event in events
    ]


class Scene:
    """Set it with `know`, change `world`, let `see` observe, and `decide`."""

    def __init__(self) -> None:
        self.world = World()
        self.rows: dict[bytes, FileRecord] = {}
        self.unmatched: set[bytes] = set()
        self._clock = StepClock(self.world)
        self._numbers = itertools.count(1)

    def know(self, path: bytes, content: bytes = b"", **fields: object) -> FileRecord:
        """Write a file that the catalog knows, settled; `fields` change its row."""
        self.world.write(path, content)
        return self.know_as_is(path, **fields)

    def know_as_is(self, path: bytes, **fields: object) -> FileRecord:
        """Catalogue the file that is at the path."""
        number = next(self._numbers)
        values: dict[str, object] = {
            "path": path,
            "library_id": LIBRARY.id,
            "file_id": f"file {number}",
            "version": 1,
            "stat": self.stat(path),
            "fingerprint": fingerprint_of(self.world.files[path].content),
            "row_id": number,
        }
        row = FileRecord(**(values | fields))  # type: ignore[arg-type]
        self.rows[path] = row
        return row

    def stat(self, path: bytes) -> FileStat:
        """The stat of a file that is there."""
        sight = self.world.look(path)
        assert isinstance(sight, FileStat)
        return sight

    def see(
        self,
        path: bytes,
        *moved_from: bytes,
        read: bool = True,
        growing: bool = False,
        error: str | None = None,
        source: Source = Source.KERNEL,
        owed: bool = False,
    ) -> Observation:
        """What a worker sees at the path now; the content where it is to be `read`."""
        sight = self.world.look(path)
        is_read = read and isinstance(sight, FileStat) and not growing and error is None
        reading = self.world.read(path) if is_read else None
        return Observation(
            path=path,
            library=LIBRARY,
            sight=sight,
            fingerprint=reading.fingerprint if reading else None,
            metadata={"title": path.decode()} if reading else None,
            read_at_ns=reading.read_at_ns if reading else 0,
            growing=growing,
            error=error,
            moved_from=frozenset(moved_from),
            owed=owed,
            source=source,
            changed_ns=self.world.now_ns,
        )

    def decide(self, *seen: Observation, expired: bool | Collection[bytes] = False) -> Decision:
        """One round over the observations; those at the `expired` paths (or all) have waited long enough.

        The events are applied to a mirror of the known rows, so that their order is checked.
        """
        decision = self._round().decide(
            [
                Pending(each, 0.0, expired if isinstance(expired, bool) else each.path in expired)
                for each in seen
            ]
        )
        check_all_accounted_for(seen, decision)
        self.mirror = Mirror()
        for path, row in self.rows.items():
            self.mirror.files[path] = row.fingerprint
            self.mirror.identities[path] = (row.file_id, row.version)
        for event in decision.events:
            self.mirror.apply(event)
        return decision

    def told(self, *seen: Observation, expired: bool | Collection[bytes] = False) -> list[Told]:
        """The gist of what a round tells."""
        return told(self.decide(*seen, expired=expired).events)

    def _round(self) -> Round:
        return Round(
            CatalogView(self.rows.values()),
            self._look,
            lambda places: [self._look(*place) for place in places],
            self._clock,
            granularity_of=lambda _: 20_000_000,
            unmatched=self.unmatched.__contains__,
            is_owed=lambda _: False,
        )

    def _look(self, path: bytes, library_id: int) -> Sight:
        return self.world.look(path) if self.world.verified else UNKNOWN


def paths(seen: Sequence[Observation | Pending]) -> list[bytes]:
    """Where the observations were made, sorted."""
    return sorted((each.observation if isinstance(each, Pending) else each).path for each in seen)
