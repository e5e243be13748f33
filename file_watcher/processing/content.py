"""What is told of a file at its own path: created, modified, growing, unreadable, or nothing.

Pure; a part of the round (`processing.reconcile`), which has looked at the path and sees to its place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from file_watcher.model import (
    EventType,
    FileRecord,
    FileStat,
    Fingerprint,
    Library,
    Metadata,
    Observation,
    Source,
)
from file_watcher.processing.decision import Clock, Decision
from file_watcher.processing.evidence import only_attributes_changed
from file_watcher.processing.view import CatalogView

CONTENT: Final = ("content",)
ATTRIBUTES: Final = ("attributes",)
BOTH: Final = ("content", "attributes")


class ContentTeller:
    """Compares the content that was seen with the row at the path, changes the row and tells the difference."""

    def __init__(
        self, view: CatalogView, clock: Clock, granularity_of: Callable[[Library], int], out: Decision
    ) -> None:
        """`granularity_of(library)`: nanoseconds, how coarse its filesystem's timestamps may be; `out` gets what is decided."""
        self._view = view
        self._clock = clock
        self._granularity_of = granularity_of
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
        elif seen.unhashed:
            self._compare_stat(own, seen, stat)
        elif seen.fingerprint is None:
            if _proves(own, seen, stat):
                self.follow_up(seen, self._put(own, replace(own, stat=stat)))
            else:
                self._out.again.append((seen, True))
        elif seen.fingerprint == own.fingerprint:
            self._refresh(own, seen, stat)
        else:
            racy = self.is_racy(seen, stat)
            self.change(own, seen, stat, seen.fingerprint, seen.metadata, racy=racy)

    def follow_up(self, seen: Observation, record: FileRecord) -> None:
        """The content is told; tell what else is new of the file: its mode or owner, and that it is idle."""
        record = self._tell_attributes(seen, record)
        if seen.idle is None and record.awaits_idle:
            record = self._put(record, replace(record, awaits_idle=False))
        elif seen.idle and record.awaits_idle and _is_known(record, seen):
            record = self._put(record, replace(record, awaits_idle=False, version=record.version + 1))
            self._out.tell(self._clock, EventType.IDLE, record, seen, previous=record)
        self._out.settle(seen, record)

    def _tell_attributes(self, seen: Observation, record: FileRecord) -> FileRecord:
        """Those that were not known are learnt without a word."""
        if seen.attributes is None or seen.attributes == record.attributes:
            return record
        fresh = replace(record, attributes=seen.attributes)
        if record.attributes is None:
            return self._put(record, fresh)
        fresh = self._put(record, replace(fresh, version=record.version + 1))
        self._out.tell(self._clock, EventType.MODIFIED, fresh, seen, previous=record, changed=ATTRIBUTES)
        return fresh

    def _put(self, before: FileRecord, record: FileRecord) -> FileRecord:
        if record != before:
            self._view.put(record)
        return record

    def _create(self, seen: Observation, stat: FileStat) -> None:
        if seen.fingerprint is None and not (seen.growing or seen.error is not None or seen.unhashed):
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
            awaits_idle=_awaits_idle(seen),
            attributes=seen.attributes,
        )
        self._view.put(created)
        self._out.tell(self._clock, EventType.CREATED, created, seen, reason=seen.error)
        self.follow_up(seen, created)

    def _grow(self, own: FileRecord, seen: Observation, stat: FileStat) -> None:
        if own.growing and own.stat == stat:
            self._out.settled.append(seen)
        else:
            self.change(own, seen, stat, None, own.metadata, racy=True)

    def _cannot_read(self, own: FileRecord, seen: Observation, stat: FileStat) -> None:
        """Told when its content must have changed; a mere loss of the right to read it is not."""
        if own.stat.same_file(stat) and own.stat.same_bytes_likely(stat) and not own.growing:
            self._tell_attributes(seen, own)
            self._out.settled.append(seen)
        else:
            self.change(own, seen, stat, None, None, racy=True)

    def _compare_stat(self, own: FileRecord, seen: Observation, stat: FileStat) -> None:
        """Nobody reads the file: a stat that differs is another content, unless mode or owner explain it."""
        if own.growing:
            self.change(own, seen, stat, None, seen.metadata, racy=False)
        elif own.stat == stat:
            self._refresh(own, seen, stat)
        elif only_attributes_changed(own, stat, seen.attributes, unhashed=True):
            self.follow_up(seen, self._put(own, replace(own, stat=stat)))
        else:
            self.change(own, seen, stat, None, seen.metadata, racy=False)

    def _refresh(self, own: FileRecord, seen: Observation, stat: FileStat) -> None:
        """The same content. Tags that could not be read before are told if they can be now, or say more."""
        # Hashes from before stay doubtful: they may be wanted again.
        racy = own.racy and own.fingerprint is not None if seen.unhashed else self.is_racy(seen, stat)
        fresh = replace(
            own, stat=stat, racy=racy, growing=False, attributes=known_attributes(own, seen, stat)
        )
        if own.metadata and "error" in own.metadata and seen.metadata not in (None, own.metadata):
            fresh = replace(fresh, metadata=seen.metadata, version=own.version + 1)
            self._view.put(fresh)
            self._out.tell(self._clock, EventType.MODIFIED, fresh, seen, previous=own, changed=ATTRIBUTES)
        elif fresh != own:
            self._view.put(fresh)
            self._out.unchanged += 1
        self.follow_up(seen, fresh)

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
        """The row at its path has this content from now on; told only if it is another than before.

        What was told as growing, and is idle when its content is known, is told once: as idle.
        """
        attributes = known_attributes(own, seen, stat)
        changed = replace(
            own, stat=stat, fingerprint=fingerprint, metadata=metadata, growing=seen.growing, racy=racy
        )
        if fingerprint is not None and fingerprint == own.fingerprint:
            changed = replace(changed, attributes=attributes)
            self._view.put(changed)
            self._out.unchanged += 1
            self.follow_up(seen, changed)
            return
        has_both = None not in (own.attributes, seen.attributes) and own.attributes != seen.attributes
        changed = replace(
            changed,
            version=own.version + 1,
            attributes=seen.attributes or attributes,
            awaits_idle=_awaits_idle(seen),
        )
        if own.growing and seen.idle and _is_known(changed, seen) and not has_both:
            changed = replace(changed, awaits_idle=False)
            self._out.tell(self._clock, EventType.IDLE, changed, seen, previous=own)
        else:
            told = BOTH if has_both else CONTENT
            self._out.tell(
                self._clock, EventType.MODIFIED, changed, seen, previous=own, changed=told, reason=seen.error
            )
        self._view.put(changed)
        self.follow_up(seen, changed)

    def is_racy(self, seen: Observation, stat: FileStat) -> bool:
        """Whether a write after the hash could have left the same timestamps behind (rule 5)."""
        if seen.unhashed:
            return seen.growing
        if seen.fingerprint is None:
            return True
        # A time that lies ahead was set by hand: a later write would take it back to its own.
        granularity_ns = self._granularity_of(seen.library)
        first, last = seen.read_at_ns - granularity_ns, self._clock.now_ns() + granularity_ns
        return any(first <= at <= last for at in (stat.mtime_ns, stat.ctime_ns))


def known_attributes(own: FileRecord, seen: Observation, stat: FileStat) -> str | None:
    """What is still known of mode and owner: nothing once the ctime moved while nobody asked for them, so that
    what changed meanwhile is not told when somebody does."""
    return own.attributes if seen.attributes is not None or own.stat == stat else None


def _awaits_idle(seen: Observation) -> bool:
    """Whether content that is told now is to be told as idle, too; what cannot be read never is."""
    return seen.idle is not None and seen.error is None


def _is_known(record: FileRecord, seen: Observation) -> bool:
    """Whether what is to be known of the content is known, and sure."""
    if seen.unhashed:
        return not record.growing
    return record.fingerprint is not None and not record.racy


def _proves(own: FileRecord, seen: Observation, stat: FileStat) -> bool:
    """Whether the row proves the content of what was left unread."""
    if own.stat == stat and not own.racy and own.fingerprint is not None:
        return True
    is_heard_of = seen.source is Source.KERNEL and not seen.owed
    return is_heard_of and only_attributes_changed(own, stat, seen.attributes)
