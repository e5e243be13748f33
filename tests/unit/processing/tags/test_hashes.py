"""Both hashes of a small file in one pass."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import xxhash

from file_watcher.processing.tags.hashes import hashes_of

MEBIBYTE = 1 << 20


@contextmanager
def opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("size", [0, 1, 4096, MEBIBYTE - 1, MEBIBYTE, 2 * MEBIBYTE + 3])
def test_they_are_those_of_all_its_bytes(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    content = os.urandom(size)
    path.write_bytes(content)
    before_ns = time.time_ns()
    with opened(path) as descriptor:
        hashes = hashes_of(descriptor, size)
    assert hashes is not None
    assert hashes.sha256 == hashlib.sha256(content).digest()
    assert hashes.xxh128 == xxhash.xxh3_128(content).digest()
    assert before_ns <= hashes.read_at_ns <= time.time_ns()
    assert hashes.seconds >= 0


@pytest.mark.parametrize("expected", [0, 4, 6, 3 * MEBIBYTE])
def test_a_file_of_another_size_has_none(tmp_path: Path, expected: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    with opened(path) as descriptor:
        assert hashes_of(descriptor, expected) is None
