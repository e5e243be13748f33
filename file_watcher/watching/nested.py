"""The disks that are mounted below a library's root: which are known, which are away, which are in doubt.

No thread; safe to use from several. The mount table is what counts, never the device of a stat: overlay
and btrfs show several devices on one mount, and a bind mount none of its own.

A *known* mount was there when the library was looked at before, this time or in an earlier run. What it
means for the files below its mount point:

- *there*: the known disk is mounted. Nothing special.
- *away*: nothing is mounted. What lies in the bare folder belongs to another filesystem and is not
  looked at; the rows below keep what they say.
- *in doubt*: a disk that is not known is mounted, a foreign one in the known one's place, or a new one
  over a folder whose files are catalogued and are hidden now. What is there is there; but what is not
  there may come back, and is not called gone.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from file_watcher.system import filesystem_id
from file_watcher.watching.mounts import Mount, MountTable


class MountIdentity(NamedTuple):
    """What tells a mounted disk from another one: the inode of its top folder, and statvfs(3)'s f_fsid."""

    inode: int
    fsid: str


def identify_mount(point: bytes) -> MountIdentity | None:
    """The identity of what is mounted there; None where it cannot be looked at. Blocks as the disk does."""
    try:
        return MountIdentity(os.stat(point).st_ino, str(filesystem_id(point)))
    except OSError:  # a dead server's mount: nothing there can be proved, so it is in doubt
        return None


@dataclass(frozen=True, slots=True)
class MountsBelow:
    """The mounts below a root at one moment."""

    mounted: Mapping[bytes, Mount] = field(default_factory=dict)
    """By mount point, whether known or not."""
    away: frozenset[bytes] = frozenset()
    in_doubt: frozenset[bytes] = frozenset()
    _away_prefixes: tuple[bytes, ...] = ()
    _shielded_prefixes: tuple[bytes, ...] = ()

    @classmethod
    def of(
        cls, mounted: Mapping[bytes, Mount], away: Collection[bytes], in_doubt: Collection[bytes]
    ) -> MountsBelow:
        """From the three sets of mount points."""
        away_prefixes = tuple(point + b"/" for point in sorted(away))
        doubted_prefixes = tuple(point + b"/" for point in sorted(in_doubt))
        return cls(
            mounted, frozenset(away), frozenset(in_doubt), away_prefixes, away_prefixes + doubted_prefixes
        )

    def is_away(self, path: bytes) -> bool:
        """Whether the path is, or lies below, the mount point of a disk that is away."""
        return bool(self._away_prefixes) and (path + b"/").startswith(self._away_prefixes)

    def shields(self, path: bytes) -> bool:
        """Whether it proves nothing that there is no file at this path."""
        return bool(self._shielded_prefixes) and (path + b"/").startswith(self._shielded_prefixes)

    def mount_under(self, path: bytes) -> bytes | None:
        """The deepest mount point that the path lies on; None where that is the root's own mount."""
        if not self.mounted:
            return None
        over = (point for point in self.mounted if path.startswith(point + b"/"))
        return max(over, key=len, default=None)


class NestedMounts:
    """Knows the mounts below one root."""

    def __init__(
        self,
        root: bytes,
        table: Callable[[], MountTable],
        known: Mapping[bytes, MountIdentity] | None,
        identify: Callable[[bytes], MountIdentity | None] = identify_mount,
    ) -> None:
        """`known`: those of before; None where nothing was ever remembered: what is mounted now is known then."""
        self._root = root
        self._read = table
        self._identify = identify
        self._lock = threading.Lock()
        self._known: dict[bytes, MountIdentity] | None = None if known is None else dict(known)
        self._table: MountTable | None = None
        self._below = MountsBelow()

    def now(self) -> MountsBelow:
        """The mounts of this moment. Cheap while the table is the same; else blocks as the disks do."""
        table = self._read()
        with self._lock:
            if table is self._table:
                return self._below
        return self._look(table)

    def lately(self) -> MountsBelow:
        """The mounts of when `now` was last asked; never blocks on a disk, unless nobody ever asked."""
        return self._below if self._table is not None else self.now()

    def known(self) -> Mapping[bytes, MountIdentity]:
        """What is to be remembered beyond the process."""
        self.now()
        with self._lock:
            return dict(self._known or {})

    def learn(self, points: Collection[bytes]) -> None:
        """Take what is mounted at these points as what belongs there."""
        found = {point: identity for point in points if (identity := self._identify(point)) is not None}
        with self._lock:
            self._known = {**(self._known or {}), **found}
            self._table = None

    def forget(self, points: Collection[bytes]) -> None:
        """Expect no disk at these points any more."""
        with self._lock:
            self._known = {point: each for point, each in (self._known or {}).items() if point not in points}
            self._table = None

    def _look(self, table: MountTable) -> MountsBelow:
        # Disks are asked without the lock: one that hangs must not hold up those who ask about others.
        mounted = table.mounts_below(self._root)
        identities = {point: self._identify(point) for point in mounted}
        with self._lock:
            if self._known is None:
                self._known = {point: each for point, each in identities.items() if each is not None}
            known = self._known
            in_doubt = [
                point for point, each in identities.items() if each is None or known.get(point) != each
            ]
            below = MountsBelow.of(mounted, known.keys() - mounted.keys(), in_doubt)
            self._table, self._below = table, below
        return below
