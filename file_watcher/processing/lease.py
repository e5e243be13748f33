"""Asks the kernel whether anybody has a file open for writing.

Owns no thread. A read lease (fcntl(2), F_SETLEASE) is only granted while no descriptor and no shared
mapping can write to the file, which Linux tells in a few microseconds. The lease is given back at once.
Where the answer could be untrue or is not allowed, it is None: not known.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from collections.abc import Callable
from typing import Final

from file_watcher.model import is_regular

_SET_LEASE: Final[int | None] = getattr(fcntl, "F_SETLEASE", None)
_LEASE_SIGNAL: Final[int | None] = getattr(signal, "SIGIO", None)
_OPEN_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


def ignore_lease_signals() -> None:
    """Ignore SIGIO for the whole process; call it once from the main thread before the first probe.

    Who opens the file for writing in the instant in which the lease is held makes the kernel send SIGIO,
    which by default ends the process. Raises ValueError outside the main thread.
    """
    if _LEASE_SIGNAL is not None:
        signal.signal(_LEASE_SIGNAL, signal.SIG_IGN)


class WriterProbe:
    """Tells whether a file is being written, where that can be known.

    `trusted` says of a device number (st_dev) whether its filesystem answers truly: a local one such as
    ext4, xfs, btrfs, f2fs or tmpfs. Files elsewhere are not even opened.
    """

    def __init__(self, trusted: Callable[[int], bool]) -> None:
        self._trusted = trusted

    def is_open_for_writing(self, path: bytes, *, follow_symlinks: bool = False) -> bool | None:
        """True: somebody can write to it now; False: nobody; None: that cannot be known here.

        None is also the answer for a path that is gone, forbidden, no regular file or owned by another
        user (a lease needs the owner or CAP_LEASE): never raises OSError, a look at the path will tell.
        Does not block on local filesystems.
        """
        if _SET_LEASE is None:
            return None
        flags = _OPEN_FLAGS if follow_symlinks else _OPEN_FLAGS | os.O_NOFOLLOW
        try:
            seen = os.stat(path, follow_symlinks=follow_symlinks)
            if not is_regular(seen) or not self._trusted(seen.st_dev):
                return None
            descriptor = os.open(path, flags)
        except OSError as exc:
            # Another's lease stands in the way of our opening: the file is in use.
            return True if exc.errno == errno.EAGAIN else None
        try:
            return _is_lease_refused(descriptor, _SET_LEASE)
        finally:
            os.close(descriptor)


def _is_lease_refused(descriptor: int, set_lease: int) -> bool | None:
    try:
        fcntl.fcntl(descriptor, set_lease, fcntl.F_RDLCK)
    except OSError as exc:
        return True if exc.errno == errno.EAGAIN else None
    fcntl.fcntl(descriptor, set_lease, fcntl.F_UNLCK)
    return False
