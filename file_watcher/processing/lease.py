"""Asks the kernel whether anybody has a file open for writing.

Owns no thread. A read lease (fcntl(2), F_SETLEASE) is only granted while no descriptor and no shared
mapping can write to the file, which Linux tells in a few microseconds. The lease is given back at once.
Where the answer could be untrue or is not allowed, it is None: not known.

Who opens the file for writing in the instant in which the lease is held makes the kernel send us a signal: SIGIO
unless another one was chosen (F_SETSIG), which ends a process that does nothing about it. SIGURG is chosen, which by
default is ignored: so the probe is safe in any program, whatever it does with its signals. Where SIGIO is known to be
ignored, none needs to be chosen for each file.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable
from typing import Final

from file_watcher.model import is_regular
from file_watcher.system import NO_FOLLOW, READING

if sys.platform == "linux":
    import fcntl

    _SET_LEASE: int | None = fcntl.F_SETLEASE
    _SET_SIGNAL: int | None = fcntl.F_SETSIG
else:  # no other system has leases that programs may take
    _SET_LEASE = _SET_SIGNAL = None

_LEASE_SIGNAL: Final[int | None] = getattr(signal, "SIGIO", None)


def ignore_lease_signals() -> None:
    """Ignore SIGIO for the whole process; call it once from the main thread before the first probe.

    For a process that owns its signals: a probe then costs a system call less. Raises ValueError outside the main
    thread.
    """
    if _LEASE_SIGNAL is not None:
        signal.signal(_LEASE_SIGNAL, signal.SIG_IGN)


def are_lease_signals_ignored() -> bool:
    """Whether SIGIO is ignored now; may be called from any thread."""
    return _LEASE_SIGNAL is not None and signal.getsignal(_LEASE_SIGNAL) is signal.SIG_IGN


class WriterProbe:
    """Tells whether a file is being written, where that can be known.

    `trusted` says of a device number (st_dev) whether its filesystem answers truly: a local one such as
    ext4, xfs, btrfs, f2fs or tmpfs. Files elsewhere are not even opened.
    """

    def __init__(self, trusted: Callable[[int], bool], *, is_signal_ignored: bool = False) -> None:
        """`is_signal_ignored`: SIGIO is, and stays so, so that no other signal has to be chosen for each file."""
        self._trusted = trusted
        self._signal = None if is_signal_ignored else _SET_SIGNAL

    def is_open_for_writing(
        self, path: bytes, *, follow_symlinks: bool = False, device: int | None = None
    ) -> bool | None:
        """True: somebody can write to it now; False: nobody; None: that cannot be known here.

        None is also the answer for a path that is gone, forbidden, no regular file or owned by another
        user (a lease needs the owner or CAP_LEASE): never raises OSError, a look at the path will tell.
        Does not block on local filesystems. `device`: where a regular file was just seen at the path.
        """
        flags = READING if follow_symlinks else READING | NO_FOLLOW
        try:
            if device is None:
                seen = os.stat(path, follow_symlinks=follow_symlinks)
                device = seen.st_dev if is_regular(seen) else None
            if device is None or not self.can_tell(device):
                return None
            descriptor = os.open(path, flags)
        except OSError as exc:
            return what_refusal_tells(exc)
        try:
            return self.is_lease_refused(descriptor)
        finally:
            os.close(descriptor)

    def can_tell(self, device: int) -> bool:
        """Whether files on this device can be asked about at all."""
        return _SET_LEASE is not None and _SET_SIGNAL is not None and self._trusted(device)

    def is_lease_refused(self, descriptor: int) -> bool | None:
        """The same answer for a file that is open for reading, on a device of which it can be told."""
        if _SET_LEASE is None or _SET_SIGNAL is None:
            return None
        return _is_lease_refused(descriptor, _SET_LEASE, self._signal)


def what_refusal_tells(exc: OSError) -> bool | None:
    """What it says of writers that the file could not be opened: another's lease is in the way of who has it in use."""
    return True if exc.errno == errno.EAGAIN else None


def _is_lease_refused(descriptor: int, set_lease: int, set_signal: int | None) -> bool | None:
    try:
        if set_signal is not None:
            fcntl.fcntl(descriptor, set_signal, signal.SIGURG)
        fcntl.fcntl(descriptor, set_lease, fcntl.F_RDLCK)
    except OSError as exc:
        return True if exc.errno == errno.EAGAIN else None
    fcntl.fcntl(descriptor, set_lease, fcntl.F_UNLCK)
    return False
