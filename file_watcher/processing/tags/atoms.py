"""Tells two things about an MP4 file that mutagen does not: has it pictures, and is its AAC truly mono.

Walks the headers of the atoms only (ISO/IEC 14496-12, section 4.2). Damage reads as "no".
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO, Final

_MAX_ATOMS: Final = 10_000
"""On one level; real files have a few, a fragmented one a few thousand."""
_HANDLER: Final = (b"moov", b"trak", b"mdia", b"hdlr")
_SAMPLES: Final = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
_MAX_SAMPLES_SIZE: Final = 4096
_AAC_LC: Final = 2
_LAST_INDEX_ABOVE_24_KHZ: Final = 5
"""Index of 32 kHz in the table of sampling frequencies (ISO/IEC 14496-3, table 1.18)."""
_NO_SBR: Final = bytes.fromhex("56e500")
"""What follows the configuration of an encoder that says so itself: sync extension 0x2b7, SBR absent."""


def has_video(file: BinaryIO) -> bool:
    """Whether one of the tracks is of the handler type `vide`. Moves the file."""
    return any(content[8:12] == b"vide" for content in _contents(file, _HANDLER, 12))


def is_mono_aac(file: BinaryIO) -> bool:
    """Whether the sound is AAC of one channel that no parametric stereo can turn into two. Moves the file.

    The sample entry says 2 channels whatever the stream has (ISO/IEC 14496-14, section 5.6), and mutagen
    takes its word where the stream says 1, since stereo could be hidden in an SBR extension. There is
    none where the base rate is above 24 kHz or the encoder denies it.
    """
    return any(
        len(config) >= 2
        and config[0] >> 3 == _AAC_LC
        and config[1] >> 3 & 0x0F == 1
        and (_rate_index(config) <= _LAST_INDEX_ABOVE_24_KHZ or config[2:5] == _NO_SBR)
        for config in map(_decoder_config, _contents(file, _SAMPLES, _MAX_SAMPLES_SIZE))
    )


def _rate_index(config: bytes) -> int:
    return (config[0] & 0x07) << 1 | config[1] >> 7


def _decoder_config(samples: bytes) -> bytes:
    """The AudioSpecificConfig inside the nested descriptors of `esds`, or nothing."""
    position = samples.find(b"esds")
    if position < 0:
        return b""
    position += 8
    # ES_Descriptor holds DecoderConfigDescriptor holds DecoderSpecificInfo (ISO/IEC 14496-1, section 7.2.6),
    # each after this many bytes of its own.
    for tag, own in ((3, 3), (4, 13), (5, 0)):
        if samples[position : position + 1] != bytes((tag,)):
            return b""
        position += 1
        while samples[position : position + 1] >= b"\x80":
            position += 1
        position += 1 + own
    return samples[position : position + 5]


def _contents(file: BinaryIO, path: tuple[bytes, ...], size: int) -> Iterator[bytes]:
    """The first `size` bytes inside every atom at `path`."""
    end = os.fstat(file.fileno()).st_size
    for start, stop in _inside(file, 0, end, path):
        file.seek(start)
        yield file.read(min(size, stop - start))


def _inside(file: BinaryIO, start: int, end: int, path: tuple[bytes, ...]) -> Iterator[tuple[int, int]]:
    """Where the contents of every atom at `path` lie."""
    if not path:
        yield start, end
        return
    for name, inner, stop in _atoms(file, start, end):
        if name == path[0]:
            yield from _inside(file, inner, stop, path[1:])


def _atoms(file: BinaryIO, position: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    for _ in range(_MAX_ATOMS):
        if position + 8 > end:
            return
        file.seek(position)
        head = file.read(16)
        if len(head) < 8:
            return
        size, name = struct.unpack_from(">I4s", head)
        inner = position + 8
        if size == 1 and len(head) == 16:
            size = struct.unpack_from(">Q", head, 8)[0]
            inner += 8
        stop = end if size == 0 else min(position + size, end)
        if stop < inner:
            return
        yield name, inner, stop
        position = stop
