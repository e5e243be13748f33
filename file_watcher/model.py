"""The words that all parts share: frozen values, no behaviour that touches disk, database or broker.

Paths are absolute `bytes` everywhere inside (what the kernel says, exactly; see `paths`); they become text
only where a person or a message needs them (`display`). Times are nanoseconds since the epoch (`_ns`) when
they come from or go to the outside, seconds of the monotonic clock when they order things inside.
"""

from __future__ import annotations

import os
import random
import stat as stat_module
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any, Final, NamedTuple

from file_watcher.paths import native_bytes

Metadata = Mapping[str, Any]
"""What is known of a medium: duration (s), bitrate (bit/s), sample_rate (Hz), channels, format, file_type, tags,
pictures (count, bytes), truncated, error."""


_FARTHEST_NS: Final = (1 << 63) - 1
"""What databases can hold: April 2262. Anybody may set a file's time beyond it (utimensat(2))."""


def _storable(ns: int) -> int:
    return ns if -_FARTHEST_NS <= ns <= _FARTHEST_NS else _FARTHEST_NS if ns > 0 else -_FARTHEST_NS


class FileStat(NamedTuple):
    """The part of lstat(2) that identifies a file's state. Compare with ==: nlink is no part of it."""

    size: int
    mtime_ns: int
    ctime_ns: int
    device: int
    inode: int

    @classmethod
    def of(cls, result: os.stat_result) -> FileStat:
        """Take what identifies the file out of what os.stat returned. Scans do so for every file: calls are spared."""
        mtime_ns, ctime_ns = result.st_mtime_ns, result.st_ctime_ns
        if not (-_FARTHEST_NS <= mtime_ns <= _FARTHEST_NS and -_FARTHEST_NS <= ctime_ns <= _FARTHEST_NS):
            mtime_ns, ctime_ns = _storable(mtime_ns), _storable(ctime_ns)
        return tuple.__new__(cls, (result.st_size, mtime_ns, ctime_ns, result.st_dev, result.st_ino))

    def same_file(self, other: FileStat) -> bool:
        """Whether both are the same inode of the same device (it may have been reused in between)."""
        return self.inode == other.inode and self.device == other.device

    def same_bytes_likely(self, other: FileStat) -> bool:
        """Whether size and mtime are equal, as they are after a mere rename."""
        return self.size == other.size and self.mtime_ns == other.mtime_ns


class Absence(Enum):
    """The two ways in which a file is not seen to be there."""

    GONE = "gone"
    """ENOENT or ENOTDIR, or something that is no regular file, while the root was verified."""
    UNKNOWN = "unknown"
    """Could not be told (EACCES, EIO, suspended root …): decides nothing."""


GONE: Final = Absence.GONE
UNKNOWN: Final = Absence.UNKNOWN

Sight = FileStat | Absence
"""What a look at a path gave: the stat of a regular file that matches the filters, GONE or UNKNOWN."""


class Fingerprint(NamedTuple):
    """Both hashes of a file's content, read in one pass."""

    sha256: bytes
    xxh128: bytes


class Source(StrEnum):
    """Where a hint came from."""

    KERNEL = "kernel"
    SCAN = "scan"
    RESCAN = "rescan"
    RECHECK = "recheck"


class EventType(StrEnum):
    """The kinds of events on the wire; the routing key is `file.<type>`."""

    CREATED = "created"
    MODIFIED = "modified"
    DELETED = "deleted"
    MOVED = "moved"
    RENAMED = "renamed"
    IDLE = "idle"


class Evidence(StrEnum):
    """What proved a move."""

    COOKIE = "cookie"
    INODE = "inode"
    CONTENT = "content"


@dataclass(frozen=True, slots=True)
class Library:
    """A watched root. `root` is its real, absolute path."""

    id: int
    name: str
    type: str
    root: bytes

    def holds(self, path: bytes) -> bool:
        """Whether the path is the root or lies below it, by whole components."""
        return path == self.root or path.startswith(self.root.rstrip(b"/") + b"/")


@dataclass(frozen=True, slots=True)
class Observation:
    """What a worker saw at one path. The decider looks again before it believes it.

    `fingerprint` is None where nothing was read: the file is gone, still growing, or a row proves
    its content (see `processing.reconcile`). `read_at_ns` is the wall clock before the first byte was
    read. `moved_from` holds the paths that the kernel paired with this one by cookie.
    """

    path: bytes
    library: Library
    sight: Sight
    fingerprint: Fingerprint | None = None
    metadata: Metadata | None = None
    read_at_ns: int = 0
    growing: bool = False
    error: str | None = None
    """Why the file could not be read, in words; `fingerprint` is None then."""
    moved_from: frozenset[bytes] = frozenset()
    owed: bool = False
    """Closed after writing, or else to be read: until it was, no stat proves its content, wherever it is."""
    source: Source = Source.KERNEL
    noticed: float = 0.0
    """Monotonic seconds of the first hint."""
    changed_ns: int = 0
    """Wall clock of the first hint, for the latency metric and the event's timestamp."""
    idle: bool | None = None
    """Whether nothing was written for `idle_timeout`; None where `file.idle` is not wanted."""
    attributes: str | None = None
    """Mode and owner as `attributes_of` says them; None where nobody asks for them."""
    unhashed: bool = False
    """Its library wants no hashes: what its stat says is all the evidence that there is."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One row of the catalog: the last state of a file that was told to the world.

    `racy` marks a row whose mtime or ctime lay so close to the start of its hash that a later write
    could hide behind them: it is hashed once more before its stat is trusted. `fingerprint` is None
    while the file was told as growing, or could not be read, or where its library wants no hashes.
    """

    path: bytes
    library_id: int
    file_id: str
    version: int
    stat: FileStat
    fingerprint: Fingerprint | None
    metadata: Metadata | None = None
    growing: bool = False
    racy: bool = False
    row_id: int | None = None
    """Primary key in the catalog; None until stored."""
    awaits_idle: bool = False
    """Its content was told, and is still to be told as `file.idle` once nothing is written any more."""
    attributes: str | None = None
    """Mode and owner that were told last; None where they never were known."""


@dataclass(frozen=True, slots=True)
class Previous:
    """What a file was before the event."""

    path: bytes
    fingerprint: Fingerprint | None


@dataclass(frozen=True, slots=True)
class FileEvent:
    """One change of one file, as it will be told (`publishing.message` gives it its wire form)."""

    event_type: EventType
    path: bytes
    library: Library
    file_id: str
    version: int
    previous_version: int | None
    stat: FileStat | None
    fingerprint: Fingerprint | None
    metadata: Metadata | None
    old_path: bytes | None = None
    previous: Previous | None = None
    evidence: Evidence | None = None
    changed: tuple[str, ...] | None = None
    reason: str | None = None
    growing: bool = False
    event_id: str = ""
    timestamp_ns: int = 0
    noticed_ns: int = 0
    """When the change was first noticed; `timestamp_ns` is when it was decided."""
    snapshot: str | None = None
    """The snapshot that tells it once more; None for a change."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A message about a library rather than a file; `kind` is its routing key, e.g. `library.scanned`."""

    kind: str
    library: Library
    fields: Mapping[str, Any] = field(default_factory=dict)
    event_id: str = ""
    timestamp_ns: int = 0


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """A recorded message that waits for its confirm. `sequence` rises in commit order."""

    sequence: int
    event_id: str
    event_type: str
    routing_key: str
    library: str
    path: bytes
    old_path: bytes | None
    body: bytes
    created_ns: int
    queue: str | None = None
    """The one queue that gets it, whatever is bound to the exchange; None for the exchange."""
    library_id: int = 0
    exchange: str | None = None
    """The exchange of a job; None for the one of events."""


_random: Final = random.Random()  # noqa: S311 - seeded by the system; identifiers are no secrets
"""Asking the system for each identifier would hand over the interpreter's lock each time."""


def uuid7(now_ns: int | None = None) -> str:
    """A UUID version 7 (RFC 9562, section 5.7): milliseconds since the epoch, then 74 random bits."""
    milliseconds = (time.time_ns() if now_ns is None else now_ns) // 1_000_000
    value = (milliseconds & (1 << 48) - 1) << 80 | _random.getrandbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def display(path: bytes) -> str:
    """A path for eyes and JSON, as the system spells it: U+FFFD stands where the bytes are not valid UTF-8."""
    return native_bytes(path).decode("utf-8", "replace")


def is_regular(result: os.stat_result) -> bool:
    """Whether the stat is of a regular file."""
    return stat_module.S_ISREG(result.st_mode)


def attributes_of(result: os.stat_result) -> str:
    """Mode and owner as text that is only ever compared, e.g. `644 1000 100`: mode (octal), user, group."""
    return f"{stat_module.S_IMODE(result.st_mode):o} {result.st_uid} {result.st_gid}"


class HintKind(StrEnum):
    """What a hint says happened; counted, never trusted."""

    CREATED = "created"
    CLOSED = "closed"
    ATTRIBUTES = "attributes"
    WRITTEN = "written"
    DELETED = "deleted"
    MOVED = "moved"
    SCANNED = "scanned"


@dataclass(frozen=True, slots=True)
class Hint:
    """A path that may have changed. `moved_from` is the other end of a kernel cookie, where there is one."""

    path: bytes
    kind: HintKind
    is_folder: bool = False
    moved_from: bytes | None = None
    source: Source = Source.KERNEL


class Undecided(NamedTuple):
    """Hints that wait for their decision, as far as they matter to files that are gone.

    `oldest` is the monotonic time of the oldest one, None for none. It leaves out the files `under_way`: those that
    are being read, each with the time of its hint and its stat when that began. Nobody has hinted at them since, so
    they can only turn out to be a file that had this inode or this size.
    """

    oldest: float | None = None
    under_way: tuple[tuple[float, FileStat], ...] = ()


class CatalogEntry(NamedTuple):
    """The little of a row that a scan compares with the disk.

    `trusted` is False where the stat alone proves nothing (racy or growing) or something is still to be told of
    the file (that it is idle), `hashed` where no hashes are known (growing, unreadable or not wanted).
    """

    path: bytes
    stat: FileStat
    trusted: bool
    hashed: bool = True


@dataclass(frozen=True, slots=True)
class Health:
    """How one component is. `detail` is one sentence for the operator, with the mend where there is one."""

    component: str
    ok: bool
    detail: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ticket:
    """One path that is due to be looked at, with all that the hints and earlier looks told.

    `still_since` is the monotonic time since when earlier looks saw the same `last_stat`;
    `waited_since` the time of the first hint, `told_growing` of the last growing message.
    """

    path: bytes
    library: Library
    is_folder: bool
    closed: bool
    must_hash: bool
    moved_from: frozenset[bytes]
    source: Source
    noticed: float
    changed_ns: int
    waited_since: float
    last_stat: FileStat | None
    still_since: float
    told_growing: float | None
    is_first: bool = False
    """It matches a priority pattern: its turn comes before that of others."""
    by_worker: bool = False
    """A worker itself is to read it: no child process could."""
    is_unrecorded: bool = False
    """A scan has just found it, and no row had its path, nor its inode: mostly none has by now."""
