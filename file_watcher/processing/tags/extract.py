"""One function for each kind of content: mutagen's objects in, plain values out.

Each fills a `Medium` bit by bit, tags and stream apart where the format allows it, so that what is known
in spite of a damaged place is kept. Everything here may raise whatever mutagen lets escape; `reader`
catches it around one file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

from mutagen.aac import AACInfo
from mutagen.apev2 import APENoHeaderError, APEv2
from mutagen.asf import ASF
from mutagen.flac import FLAC, MetadataBlock
from mutagen.id3 import ID3, Frame, Frames, Frames_2_2, ID3NoHeaderError
from mutagen.id3._util import ID3JunkFrameError
from mutagen.mp3 import MPEGInfo
from mutagen.mp4 import MP4
from mutagen.oggflac import OggFLAC
from mutagen.oggopus import OggOpus
from mutagen.oggspeex import OggSpeex
from mutagen.oggtheora import OggTheora
from mutagen.oggvorbis import OggVorbis

from file_watcher.processing.tags.formats import Kind
from file_watcher.processing.tags.mp4 import has_video, is_mono_aac
from file_watcher.processing.tags.names import (
    ID3_FRAMES,
    MP4_ATOMS,
    MP4_PAIRS,
    MUSICBRAINZ_UFID,
    published_name,
)
from file_watcher.processing.tags.riff import Wave, read_wave

_OPUS_SAMPLE_RATE: Final = 48_000
"""Opus always decodes at 48 kHz; the header's rate is only that of the original (RFC 7845, section 5.1)."""


@dataclass(slots=True)
class Medium:
    """What was found, unchecked: numbers may be 0 or nonsense, `tags` may hold a name several times."""

    media_type: str | None = None
    duration: object = None
    bitrate: object = None
    sample_rate: object = None
    channels: object = None
    tags: list[tuple[str, str]] = field(default_factory=list)

    def take(self, info: Any) -> None:
        """Take the stream's parameters from one of mutagen's info objects; they lack what they do not know."""
        self.duration = getattr(info, "length", None)
        self.bitrate = getattr(info, "bitrate", None)
        self.sample_rate = getattr(info, "sample_rate", None)
        self.channels = getattr(info, "channels", None)


class _UnwantedFrame(Frame):  # type: ignore[misc]
    """Stands for ID3 frames that are not published: neither decoded nor decompressed (pictures, bombs)."""

    @classmethod
    def _fromData(cls, header: Any, tflags: int, data: bytes) -> Frame:  # noqa: N802, ARG003
        raise ID3JunkFrameError


class _LeanFlac(FLAC):  # type: ignore[misc]
    """FLAC whose seek table and cue sheet stay unparsed."""

    METADATA_BLOCKS = [  # noqa: RUF012 - mutagen's attribute
        MetadataBlock if block is not None and block.code in {3, 5} else block
        for block in FLAC.METADATA_BLOCKS
    ]


_WANTED_FRAMES: Final = frozenset(
    {*ID3_FRAMES, "TYER", "TDAT", "TIME", "TXXX", "UFID"}
    # ID3v1 fields arrive as these, and mutagen builds its comment unasked.
    | {"COMM"}
)


def _frames() -> dict[str, type[Frame]]:
    """mutagen's tables with all but the wanted frames replaced.

    The names all stay: from them mutagen guesses how sizes are written in ID3v2.4.
    """
    frames = {**Frames, **Frames_2_2}
    return {
        name: frame
        if frame.__name__ in _WANTED_FRAMES or frame.__base__.__name__ in _WANTED_FRAMES
        else _UnwantedFrame
        for name, frame in frames.items()
    }


_KNOWN_FRAMES: Final = _frames()


def _leading_tags(file: BinaryIO, medium: Medium) -> None:
    """ID3 tags, else APEv2 ones (which follow the stream)."""
    try:
        medium.tags.extend(_id3_pairs(ID3(file, known_frames=_KNOWN_FRAMES)))
    except ID3NoHeaderError:
        file.seek(0)
        with suppress(APENoHeaderError):
            medium.tags.extend(_keyed(APEv2(file).items()))


def _mpeg(file: BinaryIO, medium: Medium) -> None:
    medium.take(MPEGInfo(file))


def _aac(file: BinaryIO, medium: Medium) -> None:
    medium.take(AACInfo(file))


def _id3_pairs(tag: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
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
            yield from _keyed((frame.desc, value) for value in frame.text)


def _keyed(items: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, str]]:
    """Pairs of Vorbis comments, APEv2, ASF or freeform fields under their published names."""
    for key, value in items:
        name = published_name(key)
        if name is not None:
            yield name, _text(value)


def _text(value: Any) -> str:
    """APEv2 joins several values with NUL: the first counts."""
    return str(value).partition("\0")[0]


def _flac(file: BinaryIO, medium: Medium) -> None:
    _comments(_LeanFlac(file), medium)


def _comments(parsed: Any, medium: Medium) -> None:
    medium.take(parsed.info)
    medium.tags.extend(_keyed(parsed.tags or ()))


def _ogg(reader: Callable[[BinaryIO], Any]) -> Callable[[BinaryIO, Medium], None]:
    return lambda file, medium: _comments(reader(file), medium)


def _opus(file: BinaryIO, medium: Medium) -> None:
    _comments(OggOpus(file), medium)
    medium.sample_rate = _OPUS_SAMPLE_RATE


def _ogg_flac(file: BinaryIO, medium: Medium) -> None:
    """The stream names no bitrate: the file's average is told, as mutagen does for FLAC itself."""
    parsed = OggFLAC(file)
    _comments(parsed, medium)
    if parsed.info.length:
        medium.bitrate = os.fstat(file.fileno()).st_size * 8 / parsed.info.length


def _wav(file: BinaryIO, medium: Medium) -> None:
    """An ID3 chunk, where there is one, counts before the INFO chunks: it is the richer of the two."""
    wave = Wave()
    try:
        read_wave(file, wave)
    finally:
        medium.channels, medium.sample_rate = wave.channels, wave.sample_rate
        medium.bitrate, medium.duration = wave.byte_rate * 8, wave.duration
        medium.tags.extend(wave.tags)
    if wave.id3_at is not None:
        file.seek(wave.id3_at)
        tag = ID3(file, known_frames=_KNOWN_FRAMES, load_v1=False)
        medium.tags[:0] = _id3_pairs(tag)


def _asf(file: BinaryIO, medium: Medium) -> None:
    _comments(ASF(file), medium)


def _mp4(file: BinaryIO, medium: Medium) -> None:
    if has_video(file):
        medium.media_type = "video/mp4"
    file.seek(0)
    parsed = MP4(file)
    medium.take(parsed.info)
    if parsed.info.channels == 2 and is_mono_aac(file):
        medium.channels = 1
    if parsed.tags is not None:
        medium.tags.extend(_mp4_pairs(parsed.tags))


def _mp4_pairs(tags: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
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
            yield from _keyed((name, bytes(value).decode("utf-8", "replace")) for value in values)


_STEPS: Final[Mapping[Kind, tuple[Callable[[BinaryIO, Medium], None], ...]]] = {
    Kind.MPEG: (_leading_tags, _mpeg),
    Kind.AAC: (_leading_tags, _aac),
    Kind.FLAC: (_flac,),
    Kind.WAV: (_wav,),
    Kind.ASF: (_asf,),
    Kind.MP4: (_mp4,),
    Kind.VORBIS: (_ogg(OggVorbis),),
    Kind.OPUS: (_opus,),
    Kind.OGG_FLAC: (_ogg_flac,),
    Kind.SPEEX: (_ogg(OggSpeex),),
    Kind.THEORA: (_ogg(OggTheora),),
}


def extract(kind: Kind, file: BinaryIO, medium: Medium) -> None:
    """Fill `medium` from a file of this kind.

    Raises the first of whatever mutagen raised, having taken all steps and kept what they found; a
    MemoryError at once.
    """
    failure: Exception | None = None
    for step in _STEPS[kind]:
        file.seek(0)
        try:
            step(file, medium)
        except MemoryError:
            raise
        except Exception as exc:
            failure = failure or exc
    if failure is not None:
        raise failure
