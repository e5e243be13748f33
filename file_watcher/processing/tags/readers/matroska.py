"""Matroska and WebM files, sound or film (RFC 9559 on the EBML of RFC 8794).

Own code, since mutagen does not read them. Only headers are walked: from the beginning to the first cluster of
sound and pictures, and then where the file's own index says that tags and attachments lie.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

from file_watcher.processing.tags.medium import Beginning, Claim, Medium, MetadataReader
from file_watcher.processing.tags.names import named

_EBML, _DOC_TYPE = 0x1A45DFA3, 0x4282
_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675
_SEEK_HEAD, _SEEK, _SEEK_ID, _SEEK_POSITION = 0x114D9B74, 0x4DBB, 0x53AB, 0x53AC
_INFO, _TIMESTAMP_SCALE, _DURATION, _TITLE = 0x1549A966, 0x2AD7B1, 0x4489, 0x7BA9
_TRACKS, _TRACK, _TRACK_TYPE, _AUDIO, _SAMPLING_FREQUENCY, _CHANNELS = (
    0x1654AE6B,
    0xAE,
    0x83,
    0xE1,
    0xB5,
    0x9F,
)
_TAGS, _TAG, _TARGETS, _TARGET_TYPE, _TRACK_UID = 0x1254C367, 0x7373, 0x63C0, 0x68CA, 0x63C5
_SIMPLE_TAG, _TAG_NAME, _TAG_STRING = 0x67C8, 0x45A3, 0x4487
_ATTACHMENTS, _ATTACHED_FILE, _FILE_MEDIA_TYPE, _FILE_DATA = 0x1941A469, 0x61A7, 0x4660, 0x465C

_VIDEO, _SOUND = 1, 2
_ALBUM = 50
"""The target of tags that belong to the whole album; what is not said to belong to it belongs to the piece."""
_OF_ALBUM: Final = {
    "title": "album",
    "artist": "albumartist",
    "totalparts": "tracktotal",
    "daterelease": "date",
    "daterecorded": "date",
}
_OF_PIECE: Final = {"partnumber": "track", "daterelease": "date", "daterecorded": "date"}
_DEFAULT_SCALE: Final = 1_000_000
"""Nanoseconds of a tick where the file does not say."""
_MAX_ELEMENTS: Final = 10_000
"""On one level; real files have a few hundred outside their clusters."""
_MAX_VALUE_SIZE: Final = 1 << 16


class MatroskaError(Exception):
    """Not the structure of a Matroska file."""


class _Element(NamedTuple):
    id: int
    start: int
    """Of the content."""
    end: int


class _Matroska(MetadataReader):
    def recognise(self, beginning: Beginning) -> Claim | None:
        if not beginning.header.startswith(_EBML.to_bytes(4)):
            return None
        # The document's type stands among the first few elements, after its identifier and its size.
        _, _, sized = beginning.header[:100].partition(_DOC_TYPE.to_bytes(2))
        document = sized[_vint_size(sized) :]
        if document.startswith(b"webm"):
            return Claim("audio/webm", "webm")
        return Claim("audio/matroska", "mka") if document.startswith(b"matroska") else None

    def read(self, file: BinaryIO, medium: Medium) -> None:
        _Walk(file, medium).read()


READER: Final[MetadataReader] = _Matroska()


class _Walk:
    """One way through one file."""

    def __init__(self, file: BinaryIO, medium: Medium) -> None:
        self._file = file
        self._medium = medium
        self._size = os.fstat(file.fileno()).st_size
        self._read_at: set[int] = set()

    def read(self) -> None:
        segment = next((each for each in self._inside(0, self._size) if each.id == _SEGMENT), None)
        if segment is None:
            raise MatroskaError("no segment")
        listed: list[int] = []
        for element in self._inside(segment.start, segment.end):
            if element.id == _CLUSTER:
                break
            if element.id == _SEEK_HEAD:
                listed = [segment.start + position for position in self._positions(element)]
            self._take(element)
        for position in listed:
            for element in self._inside(position, segment.end, most=1):
                self._take(element)

    def _take(self, element: _Element) -> None:
        if element.start in self._read_at:
            return
        self._read_at.add(element.start)
        if element.id == _INFO:
            self._take_info(element)
        elif element.id == _TRACKS:
            self._take_tracks(element)
        elif element.id == _TAGS:
            self._take_tags(element)
        elif element.id == _ATTACHMENTS:
            self._take_attachments(element)

    def _positions(self, seek_head: _Element) -> list[int]:
        """Where tags and attachments lie, from the segment's start."""
        found = []
        for seek in self._children(seek_head, _SEEK):
            values = {each.id: self._whole(each) for each in self._children(seek)}
            if values.get(_SEEK_ID) in {_INFO, _TRACKS, _TAGS, _ATTACHMENTS} and _SEEK_POSITION in values:
                found.append(values[_SEEK_POSITION])
        return found

    def _take_info(self, info: _Element) -> None:
        scale, ticks = _DEFAULT_SCALE, 0.0
        for each in self._children(info):
            if each.id == _TIMESTAMP_SCALE:
                scale = self._whole(each)
            elif each.id == _DURATION:
                ticks = self._real(each)
            elif each.id == _TITLE:
                self._medium.tags.append(("title", self._text(each)))
        self._medium.duration = ticks * scale / 1e9

    def _take_tracks(self, tracks: _Element) -> None:
        for track in self._children(tracks, _TRACK):
            children = list(self._children(track))
            kind = next((self._whole(each) for each in children if each.id == _TRACK_TYPE), 0)
            if kind == _VIDEO:
                self._claim_video()
            elif kind == _SOUND and not self._medium.channels:
                self._take_sound([each for each in children if each.id == _AUDIO])

    def _claim_video(self) -> None:
        is_webm = self._medium.file_type == "webm"
        self._medium.claim(Claim("video/webm", "webm") if is_webm else Claim("video/matroska", "mkv"))

    def _take_sound(self, audio: list[_Element]) -> None:
        # What both are where the file does not say (RFC 9559, section 5.1.4.1.29).
        self._medium.sample_rate, self._medium.channels = 8000.0, 1
        for each in audio:
            for value in self._children(each):
                if value.id == _SAMPLING_FREQUENCY:
                    self._medium.sample_rate = self._real(value)
                elif value.id == _CHANNELS:
                    self._medium.channels = self._whole(value)

    def _take_tags(self, tags: _Element) -> None:
        for tag in self._children(tags, _TAG):
            children = list(self._children(tag))
            target = [value for each in children if each.id == _TARGETS for value in self._children(each)]
            if any(each.id == _TRACK_UID and self._whole(each) for each in target):
                # Of one track of a film, such as its statistics.
                continue
            level = next((self._whole(each) for each in target if each.id == _TARGET_TYPE), _ALBUM)
            # Programs that know no targets write tags of the piece without any.
            is_album = level >= _ALBUM and bool(target)
            renamed = _OF_ALBUM if is_album else _OF_PIECE
            for each in children:
                if each.id == _SIMPLE_TAG:
                    self._take_tag(each, renamed)

    def _take_tag(self, simple_tag: _Element, renamed: dict[str, str]) -> None:
        texts = {
            each.id: self._text(each)
            for each in self._children(simple_tag)
            if each.id in {_TAG_NAME, _TAG_STRING}
        }
        name = texts.get(_TAG_NAME, "")
        key = renamed.get(name.lower().replace("_", ""), name)
        self._medium.tags.extend(named([(key, texts.get(_TAG_STRING, ""))]))

    def _take_attachments(self, attachments: _Element) -> None:
        for attached in self._children(attachments, _ATTACHED_FILE):
            children = {each.id: each for each in self._children(attached)}
            kind, data = children.get(_FILE_MEDIA_TYPE), children.get(_FILE_DATA)
            if kind and data and self._text(kind).startswith("image/"):
                self._medium.picture_sizes.append(data.end - data.start)

    def _children(self, parent: _Element, wanted: int | None = None) -> Iterator[_Element]:
        for element in self._inside(parent.start, parent.end):
            if wanted is None or element.id == wanted:
                yield element

    def _inside(self, position: int, end: int, most: int = _MAX_ELEMENTS) -> Iterator[_Element]:
        """The elements from the position on; ends without a word where the file does, or makes no sense."""
        for _ in range(most):
            self._file.seek(position)
            head = self._file.read(12)
            id_size = _vint_size(head)
            if not 0 < id_size <= 4 or position >= end:
                return
            size_size = _vint_size(head[id_size:])
            if not size_size or len(head) < id_size + size_size:
                return
            size = int.from_bytes(head[id_size : id_size + size_size]) & (1 << 7 * size_size) - 1
            start = position + id_size + size_size
            is_unknown = size == (1 << 7 * size_size) - 1
            stop = end if is_unknown else min(start + size, end)
            yield _Element(int.from_bytes(head[:id_size]), start, stop)
            position = stop

    def _content(self, element: _Element) -> bytes:
        self._file.seek(element.start)
        return self._file.read(min(element.end - element.start, _MAX_VALUE_SIZE))

    def _whole(self, element: _Element) -> int:
        return int.from_bytes(self._content(element)[:8])

    def _real(self, element: _Element) -> float:
        content = self._content(element)
        form = {4: ">f", 8: ">d"}.get(len(content))
        return float(struct.unpack(form, content)[0]) if form else 0.0

    def _text(self, element: _Element) -> str:
        return self._content(element).partition(b"\0")[0].decode("utf-8", "replace")


def _vint_size(head: bytes) -> int:
    """Bytes of the number of variable length: one more than its leading zero bits; 0 where there is none."""
    return 9 - head[0].bit_length() if head and head[0] else 0
