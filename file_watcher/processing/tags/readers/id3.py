"""ID3 tags as mutagen reads them, without what is not published. Used by the readers of several kinds."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, Final

from mutagen.id3 import ID3, Frame, Frames, Frames_2_2, _frames
from mutagen.id3._util import ID3JunkFrameError

from file_watcher.processing.tags.medium import Medium
from file_watcher.processing.tags.names import ID3_FRAMES, MUSICBRAINZ_UFID, named

_MAX_UNPACKED_SIZE: Final = 1 << 20
"""Bytes of a compressed frame; few programs ever wrote one, and pictures are not unpacked."""


class _UnwantedFrame(Frame):  # type: ignore[misc]
    """Stands for ID3 frames that are not published: neither decoded nor decompressed (bombs)."""

    @classmethod
    def _fromData(cls, header: Any, tflags: int, data: bytes) -> Frame:  # noqa: N802, ARG003
        raise ID3JunkFrameError


class _Picture(Frame):  # type: ignore[misc]
    """Stands for a picture, of which the size as stored is all that is wanted."""

    size = 0

    @classmethod
    def _fromData(cls, header: Any, tflags: int, data: bytes) -> Frame:  # noqa: N802, ARG003
        picture = cls()
        picture.size = len(data)
        return picture

    @property
    def HashKey(self) -> str:  # noqa: N802 - mutagen's name; no two are merged
        return f"picture:{id(self)}"


class _BoundedZlib:
    """Stands for zlib in mutagen: a frame that unpacks to more than any text needs is left out, as junk is."""

    error = zlib.error

    @staticmethod
    def decompress(data: bytes) -> bytes:
        unpacker = zlib.decompressobj()
        unpacked = unpacker.decompress(data, _MAX_UNPACKED_SIZE)
        if not unpacker.eof:
            raise zlib.error("incomplete, or too large")
        return unpacked


_frames.zlib = _BoundedZlib

_WANTED_FRAMES: Final = frozenset(
    {*ID3_FRAMES, "TYER", "TDAT", "TIME", "TXXX", "UFID"}
    # ID3v1 fields arrive as these, and mutagen builds its comment unasked.
    | {"COMM"}
)


def _lean_frames() -> dict[str, type[Frame]]:
    """mutagen's tables with all but the wanted frames replaced.

    The names all stay: from them mutagen guesses how sizes are written in ID3v2.4.
    """
    return {name: _replaced(frame) for name, frame in {**Frames, **Frames_2_2}.items()}


def _replaced(frame: type[Frame]) -> type[Frame]:
    # Frames of ID3v2.2 are made from those of later versions.
    names = {kind.__name__ for kind in frame.__mro__[:2]}
    if "APIC" in names:
        return _Picture
    return frame if names & _WANTED_FRAMES else _UnwantedFrame


_KNOWN_FRAMES: Final = _lean_frames()


def read_id3(file: BinaryIO, medium: Medium, *, load_v1: bool = True) -> None:
    """Put what the tag at the file's position holds before what was found so far.

    Raises mutagen's ID3NoHeaderError where there is none, and whatever it lets escape.
    """
    tag = ID3(file, known_frames=_KNOWN_FRAMES, load_v1=load_v1)
    medium.tags[:0] = _pairs(tag)
    medium.picture_sizes.extend(frame.size for frame in tag.values() if isinstance(frame, _Picture))


def _pairs(tag: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for frame_id, name in ID3_FRAMES.items():
        frame = tag.get(frame_id)
        if frame is not None:
            values = frame.genres if frame_id == "TCON" else frame.text
            yield from ((name, str(value)) for value in values)
    owner = tag.get(MUSICBRAINZ_UFID)
    if owner is not None:
        yield "musicbrainz_trackid", owner.data.decode("ascii", "replace")
    for key, frame in tag.items():
        if key.startswith("TXXX:"):
            yield from named((frame.desc, value) for value in frame.text)
