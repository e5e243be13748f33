"""FLAC files."""

from __future__ import annotations

from typing import Any, BinaryIO, Final

from mutagen.flac import FLAC, MetadataBlock

from file_watcher.processing.tags.medium import Beginning, Claim, Medium, MetadataReader
from file_watcher.processing.tags.readers.comments import take_comments
from file_watcher.processing.tags.readers.partly import parse_partly

_STREAM, _SEEK_TABLE, _CUE_SHEET = 0, 3, 5


class _Flac(MetadataReader):
    def recognise(self, beginning: Beginning) -> Claim | None:
        return Claim("audio/flac", "flac") if beginning.header.startswith(b"fLaC") else None

    def read(self, file: BinaryIO, medium: Medium) -> None:
        parse_partly(_LeanFlac, file, lambda parsed: _take(parsed, medium))


READER: Final[MetadataReader] = _Flac()


def _take(parsed: Any, medium: Medium) -> None:
    """The stream's parameters are the first block of the file; what follows may be damaged."""
    medium.take(next((block for block in parsed.metadata_blocks if block.code == _STREAM), None))
    take_comments(parsed.tags, medium)
    medium.picture_sizes.extend(len(picture.data) for picture in parsed.pictures)


class _LeanFlac(FLAC):  # type: ignore[misc]
    """FLAC whose seek table and cue sheet stay unparsed."""

    METADATA_BLOCKS = [  # noqa: RUF012 - mutagen's attribute
        MetadataBlock if block is not None and block.code in {_SEEK_TABLE, _CUE_SHEET} else block
        for block in FLAC.METADATA_BLOCKS
    ]
