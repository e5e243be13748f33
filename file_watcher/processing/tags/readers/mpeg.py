"""MPEG audio and AAC in ADTS: streams without a header of their own, with ID3 or APEv2 tags around them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, BinaryIO, Final

from mutagen.aac import AACInfo
from mutagen.apev2 import APENoHeaderError, APEv2
from mutagen.id3 import ID3NoHeaderError
from mutagen.mp3 import MPEGInfo

from file_watcher.processing.tags.medium import Beginning, Claim, Medium, MetadataReader, try_all
from file_watcher.processing.tags.names import named
from file_watcher.processing.tags.readers.id3 import read_id3

_MPEG: Final = Claim("audio/mpeg", "mp3")
_AAC: Final = Claim("audio/aac", "aac")
_BY_EXTENSION: Final = {b".mp3": _MPEG, b".aac": _AAC}


class _Streams(MetadataReader):
    def recognise(self, beginning: Beginning) -> Claim | None:
        return _by_header(beginning.header)

    def guess(self, beginning: Beginning) -> Claim | None:
        return _BY_EXTENSION.get(beginning.suffix, _MPEG if beginning.has_id3 else None)

    def read(self, file: BinaryIO, medium: Medium) -> None:
        stream = _aac if medium.media_type == _AAC.media_type else _mpeg
        try_all(file, medium, _id3v2, _ape, _id3v1, stream)


READER: Final[MetadataReader] = _Streams()


def _by_header(header: bytes) -> Claim | None:
    if header.startswith(b"ADIF"):
        return _AAC
    # Eleven bits of sync; the two layer bits are 0 in AAC (ADTS) only.
    if len(header) > 1 and header[0] == 0xFF and header[1] & 0xE0 == 0xE0:
        return _MPEG if header[1] & 0x06 else _AAC
    return None


def _mpeg(file: BinaryIO, medium: Medium) -> None:
    info = MPEGInfo(file)
    medium.take(info)
    medium.file_type = f"mp{info.layer}"


def _aac(file: BinaryIO, medium: Medium) -> None:
    medium.take(AACInfo(file))


def _id3v2(file: BinaryIO, medium: Medium) -> None:
    with suppress(ID3NoHeaderError):
        read_id3(file, medium, load_v1=False)


def _ape(file: BinaryIO, medium: Medium) -> None:
    """Comes after ID3v2: some programs put only the loudness here."""
    with suppress(APENoHeaderError):
        _take_ape(APEv2(file), medium)


def _id3v1(file: BinaryIO, medium: Medium) -> None:
    """The poorest of the three, which cuts what is longer than 30 characters: only where it is the only one."""
    if not medium.tags and file.read(3) != b"ID3":
        file.seek(0)
        with suppress(ID3NoHeaderError):
            read_id3(file, medium)


def _take_ape(tag: Any, medium: Medium) -> None:
    """APEv2 joins several values with NUL: the first counts."""
    medium.tags.extend(named((key, str(value).partition("\0")[0]) for key, value in _texts(tag)))
    covers = (value for key, value in tag.items() if key.lower().startswith("cover art"))
    # The picture's name stands before it, ended by NUL.
    medium.picture_sizes.extend(len(bytes(cover.value).partition(b"\0")[2]) for cover in covers if cover.kind)


def _texts(tag: Any) -> list[tuple[str, Any]]:
    return [(key, value) for key, value in tag.items() if not value.kind]
