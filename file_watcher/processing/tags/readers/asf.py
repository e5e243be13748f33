"""ASF files: Windows Media audio and video."""

from __future__ import annotations

from typing import Any, BinaryIO, Final

from mutagen.asf import ASF
from mutagen.asf._objects import BaseObject, StreamPropertiesObject

from file_watcher.processing.tags.medium import Beginning, Claim, Medium, MetadataReader
from file_watcher.processing.tags.names import named
from file_watcher.processing.tags.readers.partly import parse_partly

_HEADER_OBJECT: Final = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_AUDIO_STREAM: Final = bytes.fromhex("409e69f84d5bcf11a8fd00805f5c442b")
_VIDEO_STREAM: Final = bytes.fromhex("c0ef19bc4d5bcf11a8fd00805f5c442b")
"""Identifiers as they are stored (Advanced Systems Format, section 10)."""
_PICTURE_HEADER_SIZE: Final = 5
"""Of a WM/Picture before its two texts: what it shows, and its size."""


class _Asf(MetadataReader):
    def recognise(self, beginning: Beginning) -> Claim | None:
        return Claim("audio/x-ms-wma", "wma") if beginning.header.startswith(_HEADER_OBJECT) else None

    def read(self, file: BinaryIO, medium: Medium) -> None:
        parse_partly(ASF, file, lambda parsed: _take(parsed, medium))


READER: Final[MetadataReader] = _Asf()


@BaseObject._register  # noqa: SLF001 - the one way to teach mutagen
class _Streams(StreamPropertiesObject):  # type: ignore[misc]
    """mutagen takes any stream's parameters for those of sound."""

    GUID = StreamPropertiesObject.GUID

    def parse(self, asf: Any, data: bytes) -> None:
        if data.startswith(_AUDIO_STREAM):
            super().parse(asf, data)
        elif data.startswith(_VIDEO_STREAM):
            asf.info.has_video = True


def _take(parsed: Any, medium: Medium) -> None:
    medium.take(parsed.info)
    if getattr(parsed.info, "has_video", False):
        medium.claim(Claim("video/x-ms-wmv", "wmv"))
    medium.tags.extend(named((key, str(value)) for key, value in parsed.tags))
    for key, value in parsed.tags:
        if key == "WM/Picture":
            medium.picture_sizes.append(_picture_size(bytes(value)))


def _picture_size(value: bytes) -> int:
    return int.from_bytes(value[1:_PICTURE_HEADER_SIZE], "little")
