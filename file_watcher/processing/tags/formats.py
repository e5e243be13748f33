"""Which files are tried for metadata, and what their first bytes say they are.

The name decides whether a file is opened at all, its content decides how it is read: a FLAC file named
`.mp3` is told as FLAC.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from enum import Enum
from typing import BinaryIO, Final

MEDIA_EXTENSIONS: Final = frozenset(
    b".mp3 .flac .wav .wave .ogg .oga .aac .opus .m4a .m4b .m4p .m4v .m4r .mp4 .wma".split()
)
"""The extensions that the service watches by default; other files carry no metadata."""

_HEADER_SIZE: Final = 4096
_MAX_LEADING_TAGS: Final = 4
"""ID3 tags that may precede the stream; some taggers put a second one before the first."""
_ASF_HEADER_OBJECT: Final = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_MP4_FIRST_ATOMS: Final = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"})
"""What MP4 files (`ftyp`) and the QuickTime files before them begin with."""


class Kind(Enum):
    """What a file's content is, and its media type.

    `audio/opus` rather than `audio/ogg` for Opus, so that consumers can tell it from Vorbis (it is also
    what Python's mimetypes and the usual players say of `.opus`). Ogg FLAC and Speex are `audio/ogg`
    (RFC 5334).
    """

    MPEG = "audio/mpeg"
    AAC = "audio/aac"
    FLAC = "audio/flac"
    WAV = "audio/wav"
    ASF = "audio/x-ms-wma"
    MP4 = "audio/mp4"
    VORBIS = "audio/ogg"
    OPUS = "audio/opus"
    OGG_FLAC = "audio/ogg;flac"
    SPEEX = "audio/ogg;speex"
    THEORA = "video/ogg"

    @property
    def media_type(self) -> str:
        """The media type as it is published."""
        return self.value.partition(";")[0]


_BY_EXTENSION: Final = {b".mp3": Kind.MPEG, b".aac": Kind.AAC}
"""Streams without a header of their own: junk may precede their first frame."""
_OGG_CODECS: Final = (
    (b"\x01vorbis", Kind.VORBIS),
    (b"OpusHead", Kind.OPUS),
    (b"\x7fFLAC", Kind.OGG_FLAC),
    (b"Speex   ", Kind.SPEEX),
    (b"\x80theora", Kind.THEORA),
)
"""How the first packet of each codec begins; sound before pictures where both are in the file."""


def extension(path: bytes) -> bytes:
    """The extension in lower case with its dot, or nothing."""
    return os.path.splitext(path)[1].lower()


def wants_tags(path: bytes) -> bool:
    """Whether a file of this name is media; asks the name only."""
    return extension(path) in MEDIA_EXTENSIONS


def sniff(file: BinaryIO) -> Kind | None:
    """What the content is, by what follows its leading ID3 tags. Moves the file."""
    file.seek(0)
    header = file.read(_HEADER_SIZE)
    for _ in range(_MAX_LEADING_TAGS):
        if not header.startswith(b"ID3") or len(header) < 10:
            break
        file.seek(_id3_end(header) - len(header), os.SEEK_CUR)
        header = file.read(_HEADER_SIZE)
    return _by_header(header)


def guess(file: BinaryIO, suffix: bytes) -> Kind | None:
    """What to try where the content's beginning says nothing: streams that may begin with junk."""
    file.seek(0)
    return _BY_EXTENSION.get(suffix, Kind.MPEG if file.read(3) == b"ID3" else None)


def _id3_end(header: bytes) -> int:
    """Where an ID3v2 tag ends: its size is in four bytes of seven bits, without header and footer (2.4)."""
    size = 0
    for byte in header[6:10]:
        size = size << 7 | byte & 0x7F
    footer = 10 if header[3] == 4 and header[5] & 0x10 else 0
    return 10 + size + footer


def _by_header(header: bytes) -> Kind | None:
    kind: Kind | None = None
    if header.startswith(b"fLaC"):
        kind = Kind.FLAC
    elif header.startswith(b"OggS"):
        kind = _ogg_codec(header)
    elif header.startswith((b"RIFF", b"RF64")) and header[8:12] == b"WAVE":
        kind = Kind.WAV
    elif header.startswith(_ASF_HEADER_OBJECT):
        kind = Kind.ASF
    elif header[4:8] in _MP4_FIRST_ATOMS:
        kind = Kind.MP4
    elif header.startswith(b"ADIF"):
        kind = Kind.AAC
    elif len(header) > 1 and header[0] == 0xFF and header[1] & 0xE0 == 0xE0:
        # Eleven bits of sync; the two layer bits are 0 in AAC (ADTS) only.
        kind = Kind.MPEG if header[1] & 0x06 else Kind.AAC
    return kind


def _ogg_codec(header: bytes) -> Kind | None:
    packets = list(_first_ogg_packets(header))
    for magic, kind in _OGG_CODECS:
        if any(packet.startswith(magic) for packet in packets):
            return kind
    return None


def _first_ogg_packets(header: bytes) -> Iterator[bytes]:
    """The beginning of each stream's first packet: such pages come first and are flagged (RFC 3533)."""
    position = 0
    while header[position : position + 4] == b"OggS" and len(header) > position + 27:
        if not header[position + 5] & 0x02:
            return
        segments = header[position + 26]
        body = position + 27 + segments
        yield header[body : body + 16]
        position = body + sum(header[position + 27 : body])
