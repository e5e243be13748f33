"""What is told of a file at its own path: created, modified, growing, unreadable, or nothing.

Pure; a part of the round (`processing.reconcile`), which has looked at the path and sees to its place.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from file_watcher.model import EventType, FileRecord, FileStat, Fingerprint, Metadata, Observation
from file_watcher.processing.decision import Clock, Decision
from file_watcher.processing.view import CatalogView

CONTENT: Final = ("content",)
ATTRIBUTES: Final = ("attributes",)


class ContentTeller:
    """Compares the content that was seen with the row at the path, changes the row and tells the difference."""

    def __init__(self, view: CatalogView, clock: Clock, granularity_ns: int, out: Decision) -> None:
        """`granularity_ns` is how coarse the filesystem's timestamps may be; `out` gets what is decided."""
        self._view = view
        self._clock = clock
        self._granularity_ns = granularity_ns
        self._out = out

    def tell(self, seen: Observation, stat: FileStat) -> None:
        """Tell what the observation means for the row at its path."""
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
            racy = self.is_racy(seen, stat)
            self.change(own, seen, stat, seen.fingerprint, seen.metadata, racy=racy)

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
            racy=self.is_racy(seen, stat),
        )
        self._view.put(created)
        self._out.tell(self._clock, EventType.CREATED, created, seen, reason=seen.error)
        self._out.settle(seen, created)

    def _grow(self, own: FileRecord, seen: Observation, stat: FileStat) -> None:
        if own.growing and own.stat == stat:
            self._out.settled.append(seen)
        else:
            self.change(own, seen, stat, None, own.metadata, racy=True)

    def _cannot_read(self, own: FileRecord, seen: Observation, stat: FileStat) -> None:
        """Told when its content must have changed; a mere loss of the right to read it is not."""
        if own.stat.same_file(stat) and own.stat.same_bytes_likely(stat) and not own.growing:
            self._out.settled.append(seen)
        else:
            self.change(own, seen, stat, None, None, racy=True)

    def _refresh(self, own: FileRecord, seen: Observation, stat: FileStat) -> None:
        """The same content. Tags that could not be read before are told if they can be now, or say more."""
        racy = self.is_racy(seen, stat)
        fresh = replace(own, stat=stat, racy=racy, growing=False)
        if own.metadata and "error" in own.metadata and seen.metadata not in (None, own.metadata):
            fresh = replace(fresh, metadata=seen.metadata, version=own.version + 1)
            self._view.put(fresh)
            self._out.tell(self._clock, EventType.MODIFIED, fresh, seen, previous=own, changed=ATTRIBUTES)
        elif fresh != own:
            self._view.put(fresh)
            self._out.unchanged += 1
        self._out.settle(seen, fresh)

    def change(
        self,
        own: FileRecord,
        seen: Observation,
        stat: FileStat,
        fingerprint: Fingerprint | None,
        metadata: Metadata | None,
        *,
        racy: bool,
    ) -> None:
        """The row at its path has this content from now on; told only if it is another than before."""
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
            self._out.tell(
                self._clock,
                EventType.MODIFIED,
                changed,
                seen,
                previous=own,
                changed=CONTENT,
                reason=seen.error,
            )
        self._out.settle(seen, changed)

    def is_racy(self, seen: Observation, stat: FileStat) -> bool:
        """Whether a write after the hash could have left the same timestamps behind (rule 5)."""
        if seen.fingerprint is None:
            return True
        # A time that lies ahead was set by hand: a later write would take it back to its own.
        first, last = seen.read_at_ns - self._granularity_ns, self._clock.now_ns() + self._granularity_ns
        return any(first <= at <= last for at in (stat.mtime_ns, stat.ctime_ns))
