"""What the keeper remembers of libraries beyond the process, and who may lose how much. No thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from file_watcher.model import Library
from file_watcher.watching.nested import MountIdentity
from file_watcher.watching.sight import RootIdentity


@dataclass(frozen=True, slots=True)
class RememberedRoot:
    """What was known of a root when the service last worked with it. None where it was never seen."""

    inode: int | None = None
    fsid: str | None = None
    first_scan_done: bool = False
    mounts: Mapping[bytes, MountIdentity] | None = None
    """The disks below the root, by mount point; None where they were never recorded."""
    was_elsewhere: bool = False
    """Another folder was the root when it was scanned last: nothing else is known then, and its files may still
    be catalogued."""

    def is_another_than(self, identity: RootIdentity) -> bool:
        """Whether the root that is there now is not the one that was remembered.

        The device's number is left out: it changes from boot to boot, and from host to host. A folder on NFS is the
        same one on each host that has it: the inode is the server's, and the filesystem id is 0 everywhere.
        """
        return self.inode is not None and (self.inode, self.fsid) != (identity.inode, str(identity.fsid))


class Memory(Protocol):
    """What outlives the process. All may raise CatalogUnavailable."""

    def recall(self, library: Library) -> RememberedRoot:
        """What is remembered of the library's root."""

    def remember(
        self, library: Library, root: RootIdentity | None, *, suspended: str | None, first_scan_done: bool
    ) -> None:
        """Keep the root's identity and the library's state; a first scan that is done, with the root's path."""

    def remember_mounts(self, library: Library, mounts: Mapping[bytes, MountIdentity]) -> None:
        """Keep the disks that are known below the root."""

    def count(self, library: Library) -> int:
        """How many files of the library are catalogued."""

    def holds_below(self, folder: bytes) -> bool:
        """Whether any file below the folder is catalogued."""

    def use_device(self, library: Library, device: int) -> None:
        """Say which device the root lies on now, before any row is read."""

    def announce(self, kind: str, library: Library, fields: Mapping[str, Any]) -> None:
        """Publish a notice about the library."""

    def say_goodbye(self, library: Library) -> None:
        """Publish once that the library is watched no more."""


@dataclass(frozen=True, slots=True)
class LossGuard:
    """How much of a library may vanish between two scans before that looks like a fault of the disk.

    Both must be exceeded: the `share` of the catalogued files (0..1) and their number, `files`.
    """

    share: float
    files: int

    def refuses(self, missing: int, known: int) -> bool:
        """Whether so many missing of so many known files are not to be believed."""
        return missing > self.files and missing > self.share * known
