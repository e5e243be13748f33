"""What differs from one operating system to another: the place that knows of more than one.

No thread. Linux is what the service is made for; elsewhere what is missing is left out here, and what cannot
be known counts as unknown. The other modules that know of a system are few:
- `paths`: how a path is spelled.
- `watching/inotify`, `inotify_tree`, `moves` and `canary` are Linux's alone. `watching/observer` imports them there,
  and `watching/native_observer` elsewhere, where watchdog's own observer gives hints and scans carry the promise.
- `watching/mounts`, `watching/limits` and `ops/process_usage` read /proc, and find nothing where there is none.
- `processing/lease` asks for leases where there are any; elsewhere a stat that held still has to do.
- `ops/lines` gives up a line that nobody reads, where a pipe can be asked for that.
- `processing/tags/pipes` is how children are spoken to; on Windows that takes threads.
"""

from __future__ import annotations

import os
import signal
import struct
import sys
import time
from collections.abc import Sequence
from typing import Final

READING: Final = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", getattr(os, "O_NOINHERIT", 0))
    | getattr(os, "O_BINARY", 0)
)
"""Flags to open a file for its bytes: a FIFO does not block, children inherit nothing."""
NO_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
"""Refuses a symbolic link; on Windows it is followed, and what fstat says of the target has to do."""
NO_ATIME: Final = getattr(os, "O_NOATIME", 0)
"""Leaves the time of the last access alone (Linux)."""
FOLDER: Final = READING | getattr(os, "O_DIRECTORY", 0)
HANGUP: Final[signal.Signals | None] = getattr(signal, "SIGHUP", None)
"""What asks for a rescan; Windows has no such signal."""

_LINUX_FLOCK: Final = "hhqqi4x"
"""struct flock of 64-bit Linux: type, whence, start, length, pid (fcntl(2))."""
_DARWIN_FLOCK: Final = "qqihh"
"""struct flock of macOS: start, length, pid, type, whence (sys/fcntl.h)."""
_JUNCTION: Final = 0xA000_0003
"""IO_REPARSE_TAG_MOUNT_POINT of Windows (winnt.h)."""
_GET_FLAGS: Final = 0x8008_6601 if struct.calcsize("l") == 8 else 0x8004_6601
"""FS_IOC_GETFLAGS of Linux (linux/fs.h)."""


def usable_cores() -> int:
    """On how many processors this process may run."""
    # Not on macOS and Windows, and what it may not use does not count.
    affinity = getattr(os, "sched_getaffinity", None)
    return (os.cpu_count() or 1) if affinity is None else len(affinity(0))


def boot_seconds() -> float:
    """Seconds on a clock that nobody sets and that also runs while the machine is suspended."""
    # macOS: Python's own stands still meanwhile, CLOCK_MONOTONIC runs on there (clock_gettime(3)). Windows has neither.
    name = "CLOCK_BOOTTIME" if hasattr(time, "CLOCK_BOOTTIME") else "CLOCK_MONOTONIC"
    clock: int | None = getattr(time, name, None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def read_into(descriptor: int, buffers: Sequence[memoryview]) -> int:
    """Fill the buffer, which is the only one; how many bytes were read. Blocks as the disk does."""
    if sys.platform == "win32":
        content = os.read(descriptor, len(buffers[0]))
        buffers[0][: len(content)] = content
        return len(content)
    return os.readv(descriptor, buffers)


def filesystem_id(path: bytes) -> int:
    """What tells the filesystem at this path from others, also after the next boot where the system says that."""
    if sys.platform == "win32":
        return os.stat(path).st_dev
    return os.statvfs(path).f_fsid


def inode_flags(descriptor: int) -> int:
    """The flags of chattr(1), 0 where the filesystem or the system has none."""
    if sys.platform != "linux":
        return 0
    import fcntl

    try:
        flags = fcntl.ioctl(descriptor, _GET_FLAGS, bytes(8))
    except OSError:  # the filesystem has no such flags
        return 0
    return int.from_bytes(flags[:4], sys.byteorder)


def lower_priority(niceness: int) -> None:
    """Give up that much priority, 0 to 19; on Windows nothing changes."""
    if sys.platform != "win32" and niceness:
        os.nice(niceness)


def limit_memory(size: int) -> None:
    """Let this process have at most so many bytes of memory, and leave no core file; on Windows nothing changes.

    macOS refuses to limit the address space: there only the time limit stands.
    """
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        size = size if most == resource.RLIM_INFINITY else min(size, most)
        try:
            resource.setrlimit(resource.RLIMIT_AS, (size, size))
        except ValueError:
            if sys.platform == "linux":
                raise


def to_list(folder: bytes) -> bytes:
    """The folder as it is to be given to scandir, so that the paths of its entries are spelled as inside (`paths`)."""
    return folder.rstrip(b"/") + b"/" if sys.platform == "win32" else folder


def stat_entry(entry: os.DirEntry[bytes], *, follow_symlinks: bool) -> os.stat_result:
    """The stat of what was listed. Raises OSError. On Windows the listing itself knows no inode: it costs a call."""
    if sys.platform == "win32":
        return os.stat(entry.path, follow_symlinks=follow_symlinks)
    return entry.stat(follow_symlinks=follow_symlinks)


def is_plain_folder(entry: os.DirEntry[bytes]) -> bool:
    """Whether what was listed is a folder and no link to one; nor a junction, which is Windows' older kind."""
    is_folder = entry.is_dir(follow_symlinks=False)
    if is_folder and sys.platform == "win32":
        return getattr(entry.stat(follow_symlinks=False), "st_reparse_tag", 0) != _JUNCTION
    return is_folder


def place_new(draft: str, target: str) -> None:
    """Give the file its name, whole or not at all. Raises FileExistsError where there is one of that name.

    Whether the draft keeps its own name as well differs.
    """
    if sys.platform == "win32":
        os.rename(draft, target)  # which replaces nothing there
    else:
        os.link(draft, target)


def lock(descriptor: int) -> None:
    """Lock the file for this process until the descriptor is closed. Raises OSError where another has it."""
    if sys.platform != "win32":
        import fcntl

        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)


def lock_holder(descriptor: int) -> int | None:
    """The process that has locked the file; 0 where it cannot be named, None where there is none.

    Takes no lock, except on Windows until the descriptor is closed.
    """
    if sys.platform == "win32":
        try:
            lock(descriptor)
        except OSError:
            return 0
        return None
    import fcntl

    # Asked about as a reader, whom only the one who locked it would keep away.
    if sys.platform == "linux":
        asked = struct.pack(_LINUX_FLOCK, fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = struct.unpack(_LINUX_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    else:
        asked = struct.pack(_DARWIN_FLOCK, 0, 0, 0, fcntl.F_RDLCK, os.SEEK_SET)
        _, _, pid, kind, _ = struct.unpack(_DARWIN_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    return None if kind == fcntl.F_UNLCK else max(pid, 0)
