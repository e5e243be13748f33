"""What lies under a path: the mount table of the kernel and what each filesystem can be trusted with.

No thread; `MountReader` may be asked from several. The table is read from /proc/self/mountinfo (see
proc_pid_mountinfo(5)); where there is none, as on other systems, every answer is "unknown" and the callers fall back
to what always holds.
"""

from __future__ import annotations

import os
import re
import select
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

_MOUNTINFO: Final = Path("/proc/self/mountinfo")
_OCTAL: Final = re.compile(rb"\\([0-7]{3})")

UNKNOWN_FS: Final = ""
"""The filesystem type where the system does not tell."""

# fmt: off
_REMOTE: Final = frozenset({
    "9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "drvfs",
    "fuse", "gfs", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4",
    "ocfs2", "orangefs", "prl_fs", "pvfs2", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs",
})
# fmt: on
_LEASES: Final = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "tmpfs"})
# fmt: off
_FOLDING: Final = frozenset({
    "apfs", "cifs", "exfat", "fuseblk", "hfs", "hfsplus", "msdos", "ntfs", "ntfs3",
    "smb3", "smbfs", "vfat",
})
# fmt: on
_FOLDING_BY_FOLDER: Final = frozenset({"ext4", "f2fs", "bcachefs", "tmpfs"})
_COARSE_NS: Final = {
    "vfat": 2_000_000_000,
    "msdos": 2_000_000_000,
    "exfat": 2_000_000_000,
    "ext2": 1_000_000_000,
    "ext3": 1_000_000_000,
    "hfs": 1_000_000_000,
    "hfsplus": 1_000_000_000,
    "iso9660": 1_000_000_000,
}
_KERNEL_TICK_NS: Final = 20_000_000
_REMOTE_NS: Final = 2_000_000_000


class Mount(NamedTuple):
    """One line of the mount table."""

    id: int
    parent_id: int
    mount_point: bytes
    fs_type: str
    source: bytes


class MountTable:
    """The mounts that this process can see, at one moment."""

    def __init__(self, mounts: Iterable[Mount]) -> None:
        self._mounts = tuple(mounts)
        self._children: dict[int, list[Mount]] = {}
        known = {mount.id for mount in self._mounts}
        for mount in self._mounts:
            parent = mount.parent_id if mount.parent_id in known and mount.parent_id != mount.id else -1
            self._children.setdefault(parent, []).append(mount)

    @classmethod
    def parse(cls, text: bytes) -> MountTable:
        """Read the text of a mountinfo file; a line that is none is passed over."""
        return cls(mount for line in text.splitlines() if (mount := _parse_line(line)) is not None)

    @classmethod
    def read(cls, source: Path = _MOUNTINFO) -> MountTable:
        """The table of now. Empty where the system has no such file or does not let it be read."""
        try:
            return cls.parse(source.read_bytes())
        except OSError:
            return cls(())

    def mount_of(self, path: bytes) -> Mount | None:
        """The mount that a lookup of this absolute path ends on, or None where that is not known.

        Follows the tree of mounts from the top, as the kernel does, so that a mount which another one
        covers does not count.
        """
        found: Mount | None = None
        candidates = self._children.get(-1, ())
        while over := [mount for mount in candidates if _lies_in(path, mount.mount_point)]:
            found = min(over, key=lambda mount: len(mount.mount_point))
            candidates = self._children.get(found.id, ())
        return found

    def fs_type_of(self, path: bytes) -> str:
        """The filesystem type under a path, e.g. `ext4`, `fuse.sshfs`; UNKNOWN_FS where not known."""
        mount = self.mount_of(path)
        return UNKNOWN_FS if mount is None else mount.fs_type

    def is_mount_point(self, path: bytes) -> bool:
        """Whether something that can be seen is mounted exactly at this path."""
        mount = self.mount_of(path)
        return mount is not None and mount.mount_point == path

    def mountpoints_below(self, root: bytes) -> frozenset[bytes]:
        """The mount points strictly below `root` that a lookup would reach."""
        return frozenset(self.mounts_below(root))

    def mounts_below(self, root: bytes) -> dict[bytes, Mount]:
        """What is mounted strictly below `root` where a lookup would reach it, by mount point."""
        inside = {mount.mount_point for mount in self._mounts if _lies_in(mount.mount_point, root)}
        reached = {point: self.mount_of(point) for point in sorted(inside - {root})}
        return {
            point: mount
            for point, mount in reached.items()
            if mount is not None and mount.mount_point == point
        }


class MountReader:
    """The mount table of now, at the price of one poll(2): it is read again only after it changed.

    The kernel tells of a change to whoever polls an open /proc/self/mountinfo (proc_pid_mountinfo(5)), at
    the latest when the mount(2) or umount(2) that made it returns. Before the first call and after `close`
    no descriptor is held; a call after that opens the file for itself.
    """

    def __init__(self, source: Path = _MOUNTINFO) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._descriptor = -1
        self._closed = False
        self._changed: Callable[[], bool] = lambda: False
        self._table = MountTable(())

    def __call__(self) -> MountTable:
        """The table; the same object as before where nothing changed. Never raises OSError."""
        with self._lock:
            if self._closed or (self._descriptor < 0 and not self._open()):
                return MountTable.read(self._source)
            if self._changed():
                self._read()
            return self._table

    def close(self) -> None:
        """Let go of the descriptor. May be called twice."""
        with self._lock:
            self._closed = True
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def _open(self) -> bool:
        if sys.platform != "linux":  # no such table, and on Windows no poll(2)
            return False
        try:
            self._descriptor = os.open(self._source, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # no such file: MountTable.read says the same
            return False
        poll = select.poll()
        poll.register(self._descriptor, select.POLLPRI | select.POLLERR)
        self._changed = lambda: bool(poll.poll(0))
        self._read()
        return True

    def _read(self) -> None:
        """A change during the reading is told by the next poll."""
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            self._table = MountTable.parse(file.read())


def needs_polling(fs_type: str) -> bool:
    """Whether files can change there without a word from the kernel: another machine or a FUSE server does it.

    `fuseblk` (a local disk behind FUSE) is not meant: its changes come through this kernel.
    """
    return fs_type in _REMOTE or fs_type.startswith("fuse.")


def answers_leases(fs_type: str) -> bool | None:
    """Whether a read lease tells truly if a file is open for writing.

    None for overlay: it depends on the layers below, so the caller tries it once on a file of its own.
    """
    if fs_type == "overlay":
        return None
    return fs_type in _LEASES


def timestamp_granularity_ns(fs_type: str) -> int:
    """How far apart two writes must lie, in nanoseconds, to be sure to leave different timestamps.

    Local filesystems stamp with the kernel's coarse clock (one tick, 10 ms at 100 Hz; doubled here),
    unless they store less. Where a server stamps, or the filesystem is not known, the coarsest is assumed.
    """
    if needs_polling(fs_type) or fs_type == UNKNOWN_FS:
        return _REMOTE_NS
    return _COARSE_NS.get(fs_type, _KERNEL_TICK_NS)


def folds_case(fs_type: str) -> bool | None:
    """Whether a lookup there may find a file under another spelling of its name; None: each folder decides."""
    if fs_type in _FOLDING_BY_FOLDER:
        return None
    if fs_type == UNKNOWN_FS:  # on macOS and Windows most disks do
        return sys.platform != "linux"
    return fs_type in _FOLDING


def _lies_in(path: bytes, folder: bytes) -> bool:
    return path == folder or path.startswith(folder.rstrip(b"/") + b"/")


def _parse_line(line: bytes) -> Mount | None:
    """36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue"""
    left, separator, right = line.partition(b" - ")
    fields, rest = left.split(b" "), right.split(b" ")
    if not separator or len(fields) < 6 or len(rest) < 2 or not (fields[0] + fields[1]).isdigit():
        return None
    return Mount(
        id=int(fields[0]),
        parent_id=int(fields[1]),
        mount_point=_unescape(fields[4]),
        fs_type=_unescape(rest[0]).decode("ascii", "replace"),
        source=_unescape(rest[1]),
    )


def _unescape(field: bytes) -> bytes:
    """The kernel writes space, tab, newline, backslash and hash as three octal digits."""
    return _OCTAL.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), field)
