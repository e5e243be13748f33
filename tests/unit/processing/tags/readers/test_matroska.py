from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from file_watcher.processing.tags.reader import read_metadata


def element(identifier: int, *content: bytes) -> bytes:
    """An EBML element whose size is written in eight bytes."""
    body = b"".join(content)
    name = identifier.to_bytes((identifier.bit_length() + 7) // 8)
    return name + (len(body) | 1 << 56).to_bytes(8) + body


def whole(identifier: int, value: int) -> bytes:
    return element(identifier, value.to_bytes(8))


def simple_tag(name: str, text: str) -> bytes:
    return element(0x67C8, element(0x45A3, name.encode()), element(0x4487, text.encode()))


def tag(*simple_tags: bytes, level: int | None = None, track: int = 0) -> bytes:
    target = (whole(0x68CA, level) if level else b"") + (whole(0x63C5, track) if track else b"")
    return element(0x7373, element(0x63C0, target), *simple_tags)


def tags(*several: bytes) -> bytes:
    return element(0x1254C367, *several)


HEAD = element(0x1A45DFA3, element(0x4282, b"matroska"))
INFO = element(0x1549A966, whole(0x2AD7B1, 1_000_000), element(0x4489, struct.pack(">d", 2500.0)))
SOUND = element(
    0xAE, whole(0x83, 2), element(0xE1, element(0xB5, struct.pack(">f", 44_100.0)), whole(0x9F, 2))
)
PICTURES = element(0xAE, whole(0x83, 1))
CLUSTER = element(0x1F43B675, bytes(5000))


def segment(*content: bytes) -> bytes:
    return HEAD + element(0x18538067, *content)


def read(folder: Path, content: bytes) -> dict[str, Any]:
    path = folder / "file.mka"
    path.write_bytes(content)
    metadata = read_metadata(bytes(path))
    assert metadata is not None
    return metadata


def test_sound_is_described_by_its_track_and_a_film_is_told_as_one(tmp_path: Path) -> None:
    sound = read(tmp_path, segment(INFO, element(0x1654AE6B, SOUND), CLUSTER))
    assert sound == {
        "duration": 2.5,
        "bitrate": None,
        "sample_rate": 44_100,
        "channels": 2,
        "format": "audio/matroska",
        "file_type": "mka",
        "tags": {},
    }
    film = read(tmp_path, segment(INFO, element(0x1654AE6B, PICTURES, SOUND), CLUSTER))
    assert (film["format"], film["file_type"], film["channels"]) == ("video/matroska", "mkv", 2)
    web = read(tmp_path, segment(element(0x1654AE6B, PICTURES)).replace(b"matroska", b"webm\0\0\0\0"))
    assert (web["format"], web["file_type"], web["sample_rate"]) == ("video/webm", "webm", None)


def test_tags_of_the_album_and_of_the_piece_are_told_apart(tmp_path: Path) -> None:
    album = tag(
        simple_tag("TITLE", "Album"), simple_tag("ARTIST", "Band"), simple_tag("TOTAL_PARTS", "12"), level=50
    )
    piece = tag(
        simple_tag("TITLE", "Song"),
        simple_tag("ARTIST", "Singer"),
        simple_tag("PART_NUMBER", "3"),
        simple_tag("DATE_RELEASED", "not known here"),
        simple_tag("DATE_RELEASE", "1999"),
        level=30,
    )
    statistics = tag(simple_tag("TITLE", "of a track"), track=7)
    found = read(tmp_path, segment(element(0x1654AE6B, SOUND), tags(statistics, album, piece), CLUSTER))
    assert found["tags"] == {
        "album": "Album",
        "albumartist": "Band",
        "tracktotal": "12",
        "title": "Song",
        "artist": "Singer",
        "track": "3",
        "date": "1999",
    }


def test_tags_behind_the_sound_are_found_by_the_files_index_and_read_once(tmp_path: Path) -> None:
    behind = tags(tag(simple_tag("TITLE", "Behind")))
    tracks = element(0x1654AE6B, SOUND)
    position = len(seek_head(0)) + len(tracks) + len(CLUSTER)
    found = read(tmp_path, segment(seek_head(position), tracks, CLUSTER, behind))
    assert found["tags"] == {"title": "Behind"}


def seek_head(position: int) -> bytes:
    return element(0x114D9B74, element(0x4DBB, element(0x53AB, b"\x12\x54\xc3\x67"), whole(0x53AC, position)))


def test_attached_pictures_are_counted(tmp_path: Path) -> None:
    cover = element(0x61A7, element(0x4660, b"image/jpeg"), element(0x465C, bytes(3000)))
    font = element(0x61A7, element(0x4660, b"font/ttf"), element(0x465C, bytes(3000)))
    found = read(tmp_path, segment(element(0x1654AE6B, SOUND), element(0x1941A469, cover, font)))
    assert found["pictures"] == {"count": 1, "bytes": 3000}


def test_a_file_without_a_segment_is_damaged(tmp_path: Path) -> None:
    found = read(tmp_path, HEAD)
    assert found["format"] == "audio/matroska"
    assert "damaged" in found["error"]


def test_other_documents_of_the_same_structure_are_not_taken_for_media(tmp_path: Path) -> None:
    found = read(tmp_path, element(0x1A45DFA3, element(0x4282, b"other")))
    assert found["format"] is None


WHOLE_FILE = segment(
    seek_head(100), INFO, element(0x1654AE6B, PICTURES, SOUND), tags(tag(simple_tag("TITLE", "x"))), CLUSTER
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=12),
    cut=st.integers(0, 6000),
)
def test_any_damage_is_answered(tmp_path: Path, changes: list[tuple[int, int]], cut: int) -> None:
    content = bytearray(WHOLE_FILE)
    for at, value in changes:
        content[at] = value
    read(tmp_path, bytes(content[:cut]))


def test_a_million_empty_elements_are_not_all_looked_at(tmp_path: Path) -> None:
    nothing = element(0xEC)
    late = tags(tag(simple_tag("TITLE", "Late")))
    few = read(tmp_path, segment(element(0x1654AE6B, SOUND), nothing * 9_000, late))
    assert few["tags"] == {"title": "Late"}
    many = read(tmp_path, segment(element(0x1654AE6B, SOUND), nothing * 1_000_000, late))
    assert (many["channels"], many["tags"]) == (2, {})
