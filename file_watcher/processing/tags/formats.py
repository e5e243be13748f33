"""Which files are tried for metadata, which readers there are, and how a file is shown to them.

The name decides whether a file is opened at all, its content decides how it is read: a FLAC file named
`.mp3` is told as FLAC. This process asks for names only and imports no reader: the children do.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import BinaryIO, Final, NamedTuple

from file_watcher.processing.tags.medium import Beginning, MetadataReader


class Registered(NamedTuple):
    """One line of the registry."""

    module: str
    """In `readers/`; its `READER` is the reader."""
    extensions: str
    """Of the files that are opened for its sake, separated by spaces."""


REGISTRY: Final = (
    Registered("flac", ".flac"),
    Registered("ogg", ".ogg .oga .opus .ogv .spx"),
    Registered("mp4", ".m4a .m4b .m4p .m4v .m4r .mp4 .mov .3gp"),
    Registered("wav", ".wav .wave"),
    Registered("asf", ".wma .wmv .asf"),
    Registered("matroska", ".mkv .mka .webm"),
    Registered("mpeg", ".mp3 .aac"),
)
"""In the order in which they are asked; MPEG last, since two bytes of its own are all that it has."""

MEDIA_EXTENSIONS: Final = frozenset(
    extension.encode("ascii") for registered in REGISTRY for extension in registered.extensions.split()
)
"""All others carry no metadata."""

_HEADER_SIZE: Final = 4096
_MAX_LEADING_TAGS: Final = 4
"""ID3 tags that may precede the stream; some taggers put a second one before the first."""


def extension(path: bytes) -> bytes:
    """The extension in lower case with its dot, or nothing."""
    return os.path.splitext(path)[1].lower()


def wants_tags(path: bytes) -> bool:
    """Whether a file of this name is media; asks the name only."""
    return extension(path) in MEDIA_EXTENSIONS


def load_readers() -> tuple[MetadataReader, ...]:
    """Import all readers and what they use."""
    package = f"{__package__}.readers"
    return tuple(import_module(f"{package}.{registered.module}").READER for registered in REGISTRY)


def beginning_of(file: BinaryIO, path: bytes) -> Beginning:
    """What the readers are shown of a file. Moves the file."""
    file.seek(0)
    header = file.read(_HEADER_SIZE)
    has_id3 = header.startswith(b"ID3")
    for _ in range(_MAX_LEADING_TAGS):
        if not header.startswith(b"ID3") or len(header) < 10:
            break
        file.seek(_id3_end(header) - len(header), os.SEEK_CUR)
        header = file.read(_HEADER_SIZE)
    return Beginning(header, extension(path), has_id3)


def _id3_end(header: bytes) -> int:
    """Where an ID3v2 tag ends: its size is in four bytes of seven bits, without header and footer (2.4)."""
    size = 0
    for byte in header[6:10]:
        size = size << 7 | byte & 0x7F
    footer = 10 if header[3] == 4 and header[5] & 0x10 else 0
    return 10 + size + footer
