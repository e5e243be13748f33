"""A disk, a catalog and a consumer in memory, for tests of the pure logic.

`World` is a small filesystem with inodes that are reused at once, like ext4's; `MemoryLedger` keeps rows and
events; `Mirror` is a consumer that applies events in order, as SPEC says a consumer may.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import itertools
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

from file_watcher.errors import CatalogUnavailable
from file_watcher.model import (
    GONE,
    UNKNOWN,
    EventType,
    FileEvent,
    FileRecord,
    FileStat,
    Fingerprint,
    Hint,
    HintKind,
    Library,
    Metadata,
    Sight,
)
from file_watcher.processing.evidence import folders_above
from file_watcher.processing.fingerprint import Reading, Unreadable, Vanished
from file_watcher.processing.tags.whole import WholeFuture
from file_watcher.processing.view import RowChanges

LIBRARY = Library(1, "music", "production", b"/lib")
TICK_NS = 1_000_000_000


@functools.cache
def fingerprint_of(content: bytes) -> Fingerprint:
    """A fingerprint that is equal for equal contents (not the real XXH128: the logic only compares)."""
    return Fingerprint(hashlib.sha256(content).digest(), hashlib.md5(content).digest())


@dataclass
class Inode:
    """A file's body: what all its names share."""

    number: int
    content: bytes
    mtime_ns: int
    ctime_ns: int
    links: int = 0
    is_open: bool = False
    """Somebody has it open for writing."""
    refusal: int | None = None
    """The errno with which every reading fails."""
    mode: str = "644 0 0"
    """What chmod changes."""


@dataclass
class World:
    """Files by path; folders stand while something lies below them. Each operation takes one tick."""

    files: dict[bytes, Inode] = field(default_factory=dict)
    now_ns: int = 1_700_000_000 * 1_000_000_000
    reads: int = 0
    read_lag_ns: int = TICK_NS // 2
    """How long after the last operation a file is read; 0 makes its hashes racy."""
    hidden: set[bytes] = field(default_factory=set)
    """Paths of which cannot be told what is there; what lies below them cannot be told either."""
    verified: bool = True
    """Whether the root is the one that we know."""
    tells_attributes: bool = False
    """Whether anybody wants to know of modes."""
    children_read: bool = False
    """Whether files are left to children, which come to them later: `read_whole_now` is how they do."""
    _free: list[int] = field(default_factory=list)
    _next: int = 100

    def tick(self) -> None:
        """Let a second pass."""
        self.now_ns += TICK_NS

    def fits(self, path: bytes) -> bool:
        """Whether a file may stand at the path: no folder is there and no file above it."""
        parts = path.split(b"/")
        above = [b"/".join(parts[:count]) for count in range(2, len(parts))]
        return not any(folder in self.files for folder in above) and not any(
            other.startswith(path + b"/") for other in self.files
        )

    def write(self, path: bytes, content: bytes) -> list[Hint]:
        """Write in place, or create."""
        self.tick()
        inode = self.files.get(path)
        if inode is None:
            inode = self._new_inode(content)
            self._link(path, inode)
        inode.content, inode.mtime_ns, inode.ctime_ns = content, self.now_ns, self.now_ns
        return [Hint(path, HintKind.CLOSED)]

    def replace(self, path: bytes, content: bytes) -> list[Hint]:
        """Write a new file elsewhere and rename it over the path, as taggers do."""
        self.tick()
        inode = self._new_inode(content)
        if path in self.files:
            self._unlink(path)
        self._link(path, inode)
        return [Hint(path, HintKind.CREATED)]

    def delete(self, path: bytes) -> list[Hint]:
        """Unlink."""
        self.tick()
        self._unlink(path)
        return [Hint(path, HintKind.DELETED), *self._vanished_folders(path)]

    def touch(self, path: bytes) -> list[Hint]:
        """Change the times and nothing else."""
        self.tick()
        self.files[path].mtime_ns = self.files[path].ctime_ns = self.now_ns
        return [Hint(path, HintKind.CLOSED)]

    def write_and_restore_mtime(self, path: bytes, content: bytes) -> list[Hint]:
        """Write in place and set the mtime back, as some taggers do; only the ctime tells."""
        mtime_ns = self.files[path].mtime_ns
        hints = self.write(path, content)
        self.files[path].mtime_ns = mtime_ns
        return hints

    def chmod(self, path: bytes) -> list[Hint]:
        """Change the mode: the ctime moves, and the narrow event mask has no word for it."""
        self.tick()
        self.files[path].ctime_ns = self.now_ns
        return []

    def forbid(self, path: bytes, refusal: int = errno.EACCES) -> list[Hint]:
        """Make every reading of the file fail."""
        self.files[path].refusal = refusal
        return self.chmod(path)

    def allow(self, path: bytes) -> list[Hint]:
        """Make the file readable again."""
        self.files[path].refusal = None
        return self.chmod(path)

    def open(self, path: bytes) -> list[Hint]:
        """Open for appending, or create; the kernel tells only of the creation."""
        created = path not in self.files
        if created:
            self.write(path, b"")
        self.files[path].is_open = True
        return [Hint(path, HintKind.CREATED)] if created else []

    def append(self, path: bytes, content: bytes) -> list[Hint]:
        """Let an open file grow: no hint."""
        self.write(path, self.files[path].content + content)
        return []

    def close(self, path: bytes) -> list[Hint]:
        """Close what was open for writing."""
        self.files[path].is_open = False
        return [Hint(path, HintKind.CLOSED)]

    def link(self, old: bytes, new: bytes) -> list[Hint]:
        """Make a hard link."""
        self.tick()
        self._link(new, self.files[old])
        self.files[old].ctime_ns = self.now_ns
        return [Hint(new, HintKind.CREATED)]

    def rename(self, old: bytes, new: bytes) -> list[Hint]:
        """Rename a file, over another one if need be."""
        self.tick()
        inode = self.files[old]
        if self.files.get(new) is inode:
            return []
        if new in self.files:
            self._unlink(new)
        del self.files[old]
        vanished = self._vanished_folders(old)
        self.files[new] = inode
        inode.ctime_ns = self.now_ns
        return [Hint(old, HintKind.MOVED), *vanished, Hint(new, HintKind.MOVED, moved_from=old)]

    def rename_folder(self, old: bytes, new: bytes) -> list[Hint]:
        """Rename a folder to a name that is free; the files below keep their ctime."""
        self.tick()
        for path in [path for path in self.files if path.startswith(old + b"/")]:
            self.files[new + path[len(old) :]] = self.files.pop(path)
        return [
            Hint(old, HintKind.MOVED, is_folder=True),
            Hint(new, HintKind.MOVED, is_folder=True, moved_from=old),
        ]

    def look(self, path: bytes, library: Library | int | None = None) -> Sight:
        """The sight of now."""
        if self.hidden and not self.hidden.isdisjoint((path, *folders_above(path))):
            return UNKNOWN
        inode = self.files.get(path)
        if inode is None:
            return GONE
        return FileStat(len(inode.content), inode.mtime_ns, inode.ctime_ns, 7, inode.number)

    def look_at_all(self, places: Sequence[tuple[bytes, int]]) -> list[Sight]:
        """The sights of now."""
        return [self.look(path, library) for path, library in places]

    def read(self, path: bytes, library: Library = LIBRARY) -> Reading:
        """Hash the file of now."""
        sight = self.look(path)
        if not isinstance(sight, FileStat):
            raise Vanished(path)
        self.reads += 1
        refusal = self.files[path].refusal
        if refusal is not None:
            raise Unreadable(path, refusal)
        return Reading(sight, fingerprint_of(self.files[path].content), self.now_ns + self.read_lag_ns, 0.0)

    def in_hand(self, path: bytes, library: Library, device: int) -> AbstractContextManager[WorldFile]:
        """Whatever file is at the path when it is asked something."""
        return nullcontext(WorldFile(self, path))

    def is_open_for_writing(self, path: bytes) -> bool:
        """Whether somebody left it open."""
        inode = self.files.get(path)
        return inode is not None and inode.is_open

    def inode_with_other_names(self, path: bytes) -> int:
        """The inode of a file with several names, else 0."""
        inode = self.files.get(path)
        is_linked = sum(each is inode for each in self.files.values()) > 1
        return inode.number if inode is not None and is_linked else 0

    def attributes(self, path: bytes, library: Library) -> str | None:
        """Mode and owner of the file of now."""
        inode = self.files.get(path)
        return inode.mode if inode is not None and self.tells_attributes else None

    def read_tags(self, path: bytes, stat: FileStat) -> Future[Metadata | None] | None:
        """No media here."""
        return None

    def read_whole(self, path: bytes, stat: FileStat) -> WholeFuture | None:
        """The promise of a child."""
        return Future() if self.children_read else None

    def read_whole_now(self, path: bytes, stat: FileStat) -> Reading | None:
        """What a child reads of the file that was seen; None where it cannot, or it is another by now."""
        try:
            reading = self.read(path)
        except (Vanished, Unreadable):
            return None
        return reading if reading.stat == stat else None

    def is_verified(self, library: Library) -> bool:
        """Whether the root is to be trusted."""
        return self.verified

    def is_unmatched(self, path: bytes) -> bool:
        """No filters here."""
        return False

    def contents(self) -> dict[bytes, Fingerprint]:
        """What the disk has: the truth that a mirror must equal."""
        return {path: fingerprint_of(inode.content) for path, inode in self.files.items()}

    def _vanished_folders(self, path: bytes) -> list[Hint]:
        """A folder stands no longer than what lies below it: somebody removes it, which the kernel tells."""
        folders = [folder for folder in folders_above(path) if folder.startswith(LIBRARY.root + b"/")]
        return [
            Hint(folder, HintKind.DELETED, is_folder=True)
            for folder in folders
            if not any(other.startswith(folder + b"/") for other in self.files)
        ]

    def _new_inode(self, content: bytes) -> Inode:
        if self._free:
            number = self._free.pop()
        else:
            number, self._next = self._next, self._next + 1
        return Inode(number, content, self.now_ns, self.now_ns)

    def _link(self, path: bytes, inode: Inode) -> None:
        inode.links += 1
        self.files[path] = inode

    def _unlink(self, path: bytes) -> None:
        inode = self.files.pop(path)
        inode.links -= 1
        inode.ctime_ns = self.now_ns
        if inode.links == 0:
            self._free.append(inode.number)


@dataclass(frozen=True)
class WorldFile:
    """A file of a world while it is examined."""

    world: World
    path: bytes

    def is_open_for_writing(self) -> bool:
        """Whether somebody left it open."""
        return self.world.is_open_for_writing(self.path)

    def read(self) -> Reading:
        """Hash the file of now."""
        return self.world.read(self.path)


class MemoryLedger:
    """Rows and events in memory, with the unique path that the real catalog enforces."""

    def __init__(self) -> None:
        self.rows: dict[bytes, FileRecord] = {}
        self.events: list[FileEvent] = []
        self.is_away = False
        """While true, every call raises CatalogUnavailable."""
        self.next_commit: Callable[[Callable[[], None]], None] | None = None
        """Takes the next commit, as a function to call or to leave, and fails it (`undone`, `unknown`)."""
        self._ids = itertools.count(1)

    @staticmethod
    def undone(commit: Callable[[], None]) -> None:
        """A commit that fails and leaves nothing behind."""
        raise CatalogUnavailable("gone before the commit")

    @staticmethod
    def unknown(commit: Callable[[], None]) -> None:
        """A commit that is applied although its caller is told of a failure."""
        commit()
        raise CatalogUnavailable("gone before the answer")

    def load(
        self, paths: Iterable[bytes], inodes: Iterable[int], contents: Iterable[tuple[int, bytes]]
    ) -> list[FileRecord]:
        """Rows at the paths, with the inodes or with the contents."""
        self._must_be_there()
        paths, inodes, contents = set(paths), set(inodes), set(contents)
        return [
            row
            for row in self.rows.values()
            if row.path in paths
            or row.stat.inode in inodes
            or (row.fingerprint and (row.stat.size, row.fingerprint.sha256) in contents)
        ]

    def records_below(self, paths: Iterable[bytes]) -> dict[bytes, list[FileRecord]]:
        """Rows below each of the paths that has any."""
        self._must_be_there()
        below = {
            path: [row for place, row in self.rows.items() if place.startswith(path + b"/")] for path in paths
        }
        return {path: rows for path, rows in below.items() if rows}

    def find(self, path: bytes, inode: int) -> list[FileRecord]:
        """Rows at the path or with the inode."""
        self._must_be_there()
        return [row for row in self.rows.values() if row.path == path or row.stat.inode == inode]

    def record(self, rows: RowChanges, events: Sequence[FileEvent]) -> None:
        """Apply deletes, updates in order, inserts; a path taken twice is an error, as in SQL."""
        self._must_be_there()
        if self.next_commit is not None:
            fail, self.next_commit = self.next_commit, None
            fail(lambda: self._apply(rows, events))
        else:
            self._apply(rows, events)

    def _must_be_there(self) -> None:
        if self.is_away:
            raise CatalogUnavailable("nobody answers")

    def _apply(self, rows: RowChanges, events: Sequence[FileEvent]) -> None:
        by_id = {row.row_id: row.path for row in self.rows.values()}
        for row in rows.deletes:
            del self.rows[by_id[row.row_id]]
        for row in rows.updates:
            del self.rows[by_id[row.row_id]]
            assert row.path not in self.rows, f"UNIQUE constraint: {row.path!r}"
            self.rows[row.path] = row
        for row in rows.inserts:
            assert row.path not in self.rows, f"UNIQUE constraint: {row.path!r}"
            self.rows[row.path] = replace(row, row_id=next(self._ids))
        self.events.extend(events)


class Mirror:
    """A consumer that applies events in order and complains about whatever cannot be."""

    def __init__(self) -> None:
        self.files: dict[bytes, Fingerprint | None] = {}
        self.identities: dict[bytes, tuple[str, int]] = {}

    def apply(self, event: FileEvent) -> None:
        """Apply one event; raises AssertionError where it contradicts what was told before."""
        if event.old_path is not None:
            assert event.old_path in self.files, (
                f"{event.event_type} of {event.old_path!r}, which was never told"
            )
            self._check_version(event, event.old_path)
            del self.files[event.old_path], self.identities[event.old_path]
            assert event.path not in self.files, f"moved onto {event.path!r}, which is still told"
        elif event.event_type is EventType.CREATED:
            assert event.path not in self.files, f"{event.path!r} was created twice"
            assert (event.version, event.previous_version) == (1, None)
        else:
            self._check_version(event, event.path)
        if event.event_type is EventType.DELETED:
            del self.files[event.path], self.identities[event.path]
        else:
            self._check_place(event.path)
            self.files[event.path] = event.fingerprint
            self.identities[event.path] = (event.file_id, event.version)

    def _check_version(self, event: FileEvent, path: bytes) -> None:
        file_id, version = self.identities[path]
        assert event.file_id == file_id
        assert (event.previous_version, event.version) == (version, version + 1)

    def _check_place(self, path: bytes) -> None:
        """A put below what is still a file, or where files still lie below, cannot be applied to a disk."""
        parts = path.split(b"/")
        assert not any(b"/".join(parts[:count]) in self.files for count in range(2, len(parts)))
        assert not any(other.startswith(path + b"/") for other in self.files)
