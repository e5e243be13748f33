"""Reads WAV files: the stream's parameters, LIST INFO chunks, and where an ID3 chunk lies.

Own code because mutagen does not read INFO chunks (what most programs write) and builds an object for
each chunk of a crafted file; this walks the chunk headers once.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from file_watcher.processing.tags.names import RIFF_INFO

_MAX_CHUNKS: Final = 10_000
"""Real files have fewer than a hundred; a crafted one has a million."""
_MAX_INFO_SIZE: Final = 1 << 20
_UNKNOWN_SIZE: Final = 0xFFFF_FFFF
"""The size of a stream that was written without an end, or that stands in the `ds64` chunk (RF64)."""


class RiffError(Exception):
    """Not the chunk structure of a WAV file."""


@dataclass(slots=True)
class Wave:
    """What the chunks say. Numbers are as written, not checked."""

    channels: int = 0
    sample_rate: int = 0
    byte_rate: int = 0
    data_size: int | None = None
    tags: list[tuple[str, str]] = field(default_factory=list)
    id3_at: int | None = None

    @property
    def duration(self) -> float | None:
        """Seconds, from the bytes of sound and their rate."""
        return self.data_size / self.byte_rate if self.data_size and self.byte_rate else None


def read_wave(file: BinaryIO, wave: Wave) -> None:
    """Fill `wave` from the file; raises RiffError where it is no WAV file, having kept what it found."""
    long_size = 0
    for name, start, size in _chunks(file):
        if name == b"ds64":
            head = file.read(16)
            long_size = struct.unpack_from("<Q", head, 8)[0] if len(head) == 16 else 0
        elif name == b"fmt ":
            _read_format(file.read(16), wave)
        elif name == b"data" and wave.data_size is None:
            wave.data_size = long_size if size == _UNKNOWN_SIZE and long_size else size
            wave.data_size = min(wave.data_size, _end(file) - start)
        elif name == b"LIST":
            wave.tags.extend(_info(file.read(min(size, _MAX_INFO_SIZE))))
        elif name in {b"id3 ", b"ID3 "}:
            wave.id3_at = start
    if not wave.sample_rate:
        raise RiffError("no format chunk")


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and size of each chunk; the file stands at the start. Chunks are padded to even sizes."""
    file.seek(0)
    header = file.read(12)
    if header[:4] not in {b"RIFF", b"RF64"} or header[8:] != b"WAVE":
        raise RiffError("no RIFF header")
    position = 12
    for _ in range(_MAX_CHUNKS):
        file.seek(position)
        head = file.read(8)
        if len(head) < 8:
            return
        name, size = struct.unpack("<4sI", head)
        yield name, position + 8, size
        if size == _UNKNOWN_SIZE:
            return
        position += 8 + size + (size & 1)


def _end(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _read_format(chunk: bytes, wave: Wave) -> None:
    if len(chunk) < 16:
        raise RiffError("format chunk too short")
    _, wave.channels, wave.sample_rate, wave.byte_rate = struct.unpack_from("<HHII", chunk)


def _info(chunk: bytes) -> Iterator[tuple[str, str]]:
    """The tags of a LIST chunk of type INFO."""
    if chunk[:4] != b"INFO":
        return
    position = 4
    while position + 8 <= len(chunk):
        name, size = struct.unpack_from("<4sI", chunk, position)
        value = chunk[position + 8 : position + 8 + size]
        if name in RIFF_INFO:
            yield RIFF_INFO[name], _decoded(value.partition(b"\0")[0])
        position += 8 + size + (size & 1)


def _decoded(value: bytes) -> str:
    """The format names no encoding: UTF-8 where it is valid, else the Windows one of Western Europe."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("cp1252", "replace")
