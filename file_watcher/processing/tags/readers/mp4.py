"""MP4 files and the QuickTime files before them, sound or film. What mutagen does not tell is in `atoms`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, Final

from mutagen.mp4 import MP4

from file_watcher.processing.tags.atoms import has_video, is_mono_aac
from file_watcher.processing.tags.medium import Beginning, Claim, Medium, MetadataReader
from file_watcher.processing.tags.names import MP4_ATOMS, MP4_PAIRS, named
from file_watcher.processing.tags.readers.partly import parse_partly

_FIRST_ATOMS: Final = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"})
"""What MP4 files (`ftyp`) and the QuickTime files before them begin with."""


class _Mp4(MetadataReader):
    def recognise(self, beginning: Beginning) -> Claim | None:
        return Claim("audio/mp4", "m4a") if beginning.header[4:8] in _FIRST_ATOMS else None

    def read(self, file: BinaryIO, medium: Medium) -> None:
        if has_video(file):
            medium.claim(Claim("video/mp4", "mp4"))
        file.seek(0)
        parse_partly(MP4, file, lambda parsed: _take(parsed, medium))
        if medium.channels == 2 and is_mono_aac(file):
            medium.channels = 1


READER: Final[MetadataReader] = _Mp4()


def _take(parsed: Any, medium: Medium) -> None:
    medium.take(parsed.info)
    if parsed.tags is not None:
        medium.tags.extend(_pairs(parsed.tags))
        medium.picture_sizes.extend(len(cover) for cover in parsed.tags.get("covr", ()))


def _pairs(tags: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for atom, name in MP4_ATOMS.items():
        yield from ((name, str(value)) for value in tags.get(atom, ()))
    for atom, (number, total) in MP4_PAIRS.items():
        for left, right in tags.get(atom, ()):
            yield number, str(left)
            yield total, str(right)
    yield from (("bpm", str(value)) for value in tags.get("tmpo", ()))
    if "cpil" in tags:
        yield "compilation", "1" if tags["cpil"] else "0"
    for key, values in tags.items():
        if key.startswith("----:"):
            name = key.rpartition(":")[2]
            yield from named((name, bytes(value).decode("utf-8", "replace")) for value in values)
