"""Both hashes of a small file, computed in a child process beside its tags.

A copy in small of what `processing.fingerprint` does for files of any size, without its imports, which would
lengthen the start of the children.
"""

from __future__ import annotations

import hashlib
import time
from typing import Final, NamedTuple

import xxhash

from file_watcher.system import read_into

_BLOCK_SIZE: Final = 1 << 20
_BUFFERS: Final = (memoryview(bytearray(_BLOCK_SIZE)),)
"""A child has one thread and is at one file at a time."""


class Hashes(NamedTuple):
    """What one pass over a file gave: the digests, the wall clock before the first byte, and how long it took."""

    sha256: bytes
    xxh128: bytes
    read_at_ns: int
    seconds: float


def hashes_of(descriptor: int, size: int) -> Hashes | None:
    """Hash the open file from where it stands to its end; None where it has more or fewer bytes than `size`.

    Raises OSError as read(2) does.
    """
    read_at_ns, began = time.time_ns(), time.perf_counter()
    sha256, xxh128 = hashlib.sha256(), xxhash.xxh3_128()
    total = 0
    while (total < size or not total) and (count := read_into(descriptor, _BUFFERS)):
        block = _BUFFERS[0][:count]
        sha256.update(block)
        xxh128.update(block)
        total += count
    if total != size:
        return None
    return Hashes(sha256.digest(), xxh128.digest(), read_at_ns, time.perf_counter() - began)
