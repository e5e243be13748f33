"""Reads a file once and gives both of its hashes, or says why they would not be true.

Owns no thread: one `Fingerprinter` is shared by all hashing threads, each of which keeps its own buffer.
A fingerprint is only given for bytes that held still: the open file's stat before and after the reading is
the same, the bytes read are as many as its size, and (`read`) the path still leads to that inode.
"""

from __future__ import annotations

import errno
import hashlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import xxhash

from file_watcher.errors import PermanentError, RetryableError
from file_watcher.model import FileStat, Fingerprint, display, is_regular
from file_watcher.system import NO_ATIME, NO_FOLLOW, READING, read_into

BLOCK_SIZE: Final = 1 << 20
"""1 MiB: measured, both hashes in one pass reach 1.45 GB/s a core from 256 KiB to 1 MiB, 1.2 GB/s at 8 KiB;
the hashes free the interpreter lock only for blocks above 2 KiB (SHA-256) and 64 KiB (XXH128)."""

LONG_SIZE: Final = 4 << 30
"""4 GiB, seconds of one core: from this size on a file's reading is long, and others may not wait behind it."""

_LOOK_AGAIN_EVERY: Final = 1 << 28
"""256 MiB, a fraction of a second: so soon a long reading ends whose file was removed, replaced or written to,
rather than occupy the disk and the worker to its end, and the space of a file that is no longer wanted."""

_GONE: Final = frozenset({errno.ENOENT, errno.ENOTDIR})
_NOT_REGULAR: Final = frozenset({errno.ELOOP, errno.ENXIO, errno.ENODEV})
"""What open(2) says of a symbolic link (with O_NOFOLLOW), of a socket and of a device without a driver."""


class ChangedWhileReading(RetryableError):
    """The file did not hold still while it was read: let it settle and read it again."""

    def __init__(self, path: bytes) -> None:
        super().__init__(f"{display(path)} changed while it was read.")
        self.path = path


class Vanished(RetryableError):
    """Nothing is at the path any more (ENOENT, ENOTDIR)."""

    def __init__(self, path: bytes) -> None:
        super().__init__(f"{display(path)} is no longer there.")
        self.path = path


class Unreadable(RetryableError):
    """The system refuses the content now (permissions, a failing disk, another's lease); `errno` says why."""

    def __init__(self, path: bytes, number: int) -> None:
        reason = os.strerror(number)
        super().__init__(f"{display(path)} cannot be read: {reason}.")
        self.path = path
        self.errno = number


class NotRegular(PermanentError):
    """A folder, a symbolic link, a FIFO, a socket or a device is at the path."""

    def __init__(self, path: bytes) -> None:
        super().__init__(f"{display(path)} is not a regular file.")
        self.path = path


class Crowded(RetryableError):
    """As many large files as may be read at once are being read: come again."""

    def __init__(self, path: bytes) -> None:
        super().__init__(f"{display(path)} waits until another large file was read.")
        self.path = path


class Interrupted(RetryableError):
    """The service stops; the reading was given up between two blocks."""

    def __init__(self, path: bytes) -> None:
        super().__init__(f"Reading {display(path)} was given up because the service stops.")
        self.path = path


@dataclass(frozen=True, slots=True)
class Reading:
    """What one pass over a file gave."""

    stat: FileStat
    """Of the open file, after the last byte."""
    fingerprint: Fingerprint
    read_at_ns: int
    """Wall clock before the first byte was read."""
    seconds: float
    """How long reading and hashing took."""


class Fingerprinter:
    """Hashes files with SHA-256 and XXH128 in one pass.

    `should_stop` is asked between two blocks and ends the reading of even the largest file within one
    block. `limiter` is told the size of every block that was read, and may block to slow the reading down.
    Of files of `LONG_SIZE` or more, `long_readings()` may be read at once; None: any number.
    """

    def __init__(
        self,
        should_stop: Callable[[], bool],
        block_size: int = BLOCK_SIZE,
        limiter: Callable[[int], None] | None = None,
        long_readings: Callable[[], int] | None = None,
    ) -> None:
        self._should_stop = should_stop
        self._long_readings = long_readings
        self._long_lock = threading.Lock()
        self._reading_long = 0
        self._block_size = block_size
        self._limiter = limiter
        self._buffers = _Buffers()

    def read(self, path: bytes, *, follow_symlinks: bool = False) -> Reading:
        """Read and hash the regular file at `path`; blocks as long as the disk takes.

        Safe to call from several threads at once. Raises `ChangedWhileReading`, `Vanished`, `Unreadable`,
        `NotRegular`, `Crowded` or `Interrupted`.
        """
        try:
            descriptor = open_for_reading(path, follow_symlinks=follow_symlinks)
            try:
                reading = self.read_open(path, descriptor)
            finally:
                os.close(descriptor)
            now_there = FileStat.of(os.stat(path, follow_symlinks=follow_symlinks))
        except OSError as exc:
            raise translated(path, exc) from exc
        if not now_there.same_file(reading.stat):
            raise ChangedWhileReading(path)
        return reading

    def book(self, size: int) -> None:
        """Somebody else is about to read so much: it counts, and blocks, like what is read here."""
        if self._limiter is not None:
            self._limiter(size)

    def read_open(self, path: bytes, descriptor: int) -> Reading:
        """The same for a file that was just opened at `path`; whether it is still there is not asked.

        Who calls this looks at the path again before the reading counts.
        """
        read_at_ns = time.time_ns()
        began = time.perf_counter()
        try:
            stat, fingerprint = self._read(path, descriptor)
        except OSError as exc:
            raise translated(path, exc) from exc
        return Reading(stat, fingerprint, read_at_ns, time.perf_counter() - began)

    def _read(self, path: bytes, descriptor: int) -> tuple[FileStat, Fingerprint]:
        result = os.fstat(descriptor)
        if not is_regular(result):
            raise NotRegular(path)
        before = FileStat.of(result)
        fingerprint = self._hash_in_turn(path, descriptor, before)
        after = FileStat.of(os.fstat(descriptor))
        if after != before:
            raise ChangedWhileReading(path)
        return after, fingerprint

    def _hash_in_turn(self, path: bytes, descriptor: int, before: FileStat) -> Fingerprint:
        if self._long_readings is None or before.size < LONG_SIZE:
            return self._hash(path, descriptor, before)
        at_most = self._long_readings()
        with self._long_lock:
            if self._reading_long >= at_most:
                raise Crowded(path)
            self._reading_long += 1
        try:
            return self._hash(path, descriptor, before)
        finally:
            with self._long_lock:
                self._reading_long -= 1

    def _hash(self, path: bytes, descriptor: int, before: FileStat) -> Fingerprint:
        """Hash as many bytes as it has; more or fewer are a change, and so is what a later stat shows."""
        sha256 = hashlib.sha256()
        xxh128 = xxhash.xxh3_128()
        buffers = self._buffers.of_this_thread(self._block_size)
        view = buffers[0]
        size, total, look_again_at = before.size, 0, _LOOK_AGAIN_EVERY
        while total < size or not total:
            if self._should_stop():
                raise Interrupted(path)
            count = read_into(descriptor, buffers)
            if not count:
                break
            total += count
            if total > size:
                raise ChangedWhileReading(path)
            if total >= look_again_at:
                look_again_at += _LOOK_AGAIN_EVERY
                if FileStat.of(os.fstat(descriptor)) != before:
                    raise ChangedWhileReading(path)
            block = view if count == len(view) else view[:count]
            sha256.update(block)
            xxh128.update(block)
            if self._limiter is not None:
                self._limiter(count)
        if total != size:
            raise ChangedWhileReading(path)
        return Fingerprint(sha256.digest(), xxh128.digest())


class _Buffers(threading.local):
    """One reused buffer for each thread."""

    def __init__(self) -> None:
        self._vector: tuple[memoryview] | None = None

    def of_this_thread(self, size: int) -> tuple[memoryview]:
        """The buffer as the vector that readv(2) takes, made at the thread's first reading."""
        if self._vector is None:
            self._vector = (memoryview(bytearray(size)),)
        return self._vector


def open_for_reading(path: bytes, *, follow_symlinks: bool = False) -> int:
    """Open a path without ever blocking on a FIFO and, where permitted, without touching its atime.

    Raises OSError as open(2) does. The caller asks fstat whether it is a regular file.
    """
    flags = READING if follow_symlinks else READING | NO_FOLLOW
    if NO_ATIME:
        try:
            return os.open(path, flags | NO_ATIME)
        except PermissionError as exc:
            # Only the owner may leave the atime alone (open(2): EPERM); a file that is truly
            # forbidden says so again below.
            if exc.errno != errno.EPERM:
                raise
    return os.open(path, flags)


def translated(path: bytes, exc: OSError) -> RetryableError | PermanentError:
    """The typed error for what the system said about `path`."""
    number = exc.errno or errno.EIO
    if number in _GONE:
        return Vanished(path)
    if number in _NOT_REGULAR:
        return NotRegular(path)
    return Unreadable(path, number)
