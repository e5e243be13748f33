"""Ogg files: Vorbis, Opus, FLAC, Speex and Theora inside."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from mutagen.oggflac import OggFLAC
from mutagen.oggopus import OggOpus
from mutagen.oggspeex import OggSpeex
from mutagen.oggtheora import OggTheora
from mutagen.oggvorbis import OggVorbis

from file_watcher.processing.tags.medium import Beginning, Claim, Medium, MetadataReader
from file_watcher.processing.tags.readers.comments import take_comments
from file_watcher.processing.tags.readers.partly import parse_partly

_OPUS_SAMPLE_RATE: Final = 48_000
"""Opus always decodes at 48 kHz; the header's rate is only that of the original (RFC 7845, section 5.1)."""

_CODECS: Final[tuple[tuple[bytes, Claim, Any], ...]] = (
    (b"\x01vorbis", Claim("audio/ogg", "ogg"), OggVorbis),
    (b"OpusHead", Claim("audio/opus", "opus"), OggOpus),
    (b"\x7fFLAC", Claim("audio/ogg", "oggflac"), OggFLAC),
    (b"Speex   ", Claim("audio/ogg", "speex"), OggSpeex),
    (b"\x80theora", Claim("video/ogg", "theora"), OggTheora),
)
"""How the first packet of each codec begins; sound before pictures where both are in the file.

`audio/opus` rather than `audio/ogg` for Opus, so that consumers can tell it from Vorbis (it is also what
Python's mimetypes and the usual players say of `.opus`). Ogg FLAC and Speex are `audio/ogg` (RFC 5334).
"""
_PARSERS: Final = {claim: parser for _, claim, parser in _CODECS}


class _Ogg(MetadataReader):
    def recognise(self, beginning: Beginning) -> Claim | None:
        if not beginning.header.startswith(b"OggS"):
            return None
        packets = list(_first_packets(beginning.header))
        for magic, claim, _ in _CODECS:
            if any(packet.startswith(magic) for packet in packets):
                return claim
        return None

    def read(self, file: BinaryIO, medium: Medium) -> None:
        claim = Claim(medium.media_type or "", medium.file_type or "")
        parse_partly(_PARSERS[claim], file, lambda parsed: _take(parsed, medium))
        if claim.file_type == "oggflac" and isinstance(medium.duration, float) and medium.duration > 0:
            # The stream names no bitrate: the file's average is told, as mutagen does for FLAC itself.
            medium.bitrate = os.fstat(file.fileno()).st_size * 8 / medium.duration


READER: Final[MetadataReader] = _Ogg()


def _take(parsed: Any, medium: Medium) -> None:
    medium.take(parsed.info)
    if parsed.info is not None and medium.file_type == "opus":
        medium.sample_rate = _OPUS_SAMPLE_RATE
    take_comments(parsed.tags, medium)


def _first_packets(header: bytes) -> Iterator[bytes]:
    """The beginning of each stream's first packet: such pages come first and are flagged (RFC 3533)."""
    position = 0
    while header[position : position + 4] == b"OggS" and len(header) > position + 27:
        if not header[position + 5] & 0x02:
            return
        segments = header[position + 26]
        body = position + 27 + segments
        yield header[body : body + 16]
        position = body + sum(header[position + 27 : body])
