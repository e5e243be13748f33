from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from file_watcher.processing.tags import reader
from file_watcher.processing.tags.hashes import Hashes, hashes_of
from file_watcher.processing.tags.identity import Identity
from file_watcher.processing.tags.medium import Beginning, Claim, Medium, MetadataReader
from file_watcher.processing.tags.reader import AnotherFile, DiskFailed, read_metadata, read_whole
from tests.support.crafted_media import (
    bomb_mp3,
    chunk,
    compressed_mp3,
    id3,
    info_list,
    mpeg_frames,
    text_frame,
    user_frame,
    wav,
)

KEYS = {"duration", "bitrate", "sample_rate", "channels", "format", "file_type", "tags"}


class Toy(MetadataReader):
    """A reader whose every file is MPEG, and read by a function of the test's."""

    def __init__(self, function: Callable[[Any, Any], None]) -> None:
        self._function = function

    def recognise(self, beginning: Beginning) -> Claim | None:
        return Claim("audio/mpeg", "mp3")

    def read(self, file: BinaryIO, medium: Medium) -> None:
        self._function(file, medium)


def read(folder: Path, content: bytes, name: str = "file.mp3") -> dict[str, Any]:
    path = folder / name
    path.write_bytes(content)
    metadata = read_metadata(bytes(path))
    assert metadata is not None
    assert metadata.keys() >= KEYS
    json.dumps(metadata, allow_nan=False).encode("utf-8")
    return metadata


def flac(*comments: bytes, picture: bytes = b"") -> bytes:
    info = (
        struct.pack(">HH", 4096, 4096)
        + bytes(6)
        + (44100 << 44 | 1 << 41 | 15 << 36 | 88200).to_bytes(8)
        + bytes(16)
    )
    listed = b"".join(struct.pack("<I", len(comment)) + comment for comment in comments)
    vorbis = struct.pack("<II", 0, len(comments)) + listed
    blocks = [(0, info), (3, bytes(18)), (6, picture), (4, vorbis)] if picture else [(0, info), (4, vorbis)]
    parts = [b"fLaC"]
    for number, (kind, block) in enumerate(blocks):
        last = 0x80 if number == len(blocks) - 1 else 0
        parts.append(bytes((kind | last,)) + len(block).to_bytes(3) + block)
    return b"".join(parts) + bytes(1000)


def test_an_mp3_file_is_read_with_its_tags(tmp_path: Path) -> None:
    tag = id3(
        text_frame("TIT2", "Tür"),
        text_frame("TPE2", "Band"),
        text_frame("TYER", "1999"),
        text_frame("TDAT", "3112"),
        text_frame("TCON", "(17)"),
        text_frame("TRCK", "3/12"),
        text_frame("TPOS", "1"),
        text_frame("TSRC", "DEA123456789"),
        user_frame("MusicBrainz Album Id", "0a-1b"),
        user_frame("replaygain_track_gain", "-3 dB"),
        user_frame("comment", "is not published"),
    )
    assert read(tmp_path, tag + mpeg_frames(100)) == {
        "duration": 2.606,
        "bitrate": 128000,
        "sample_rate": 44100,
        "channels": 2,
        "format": "audio/mpeg",
        "file_type": "mp3",
        "tags": {
            "title": "Tür",
            "albumartist": "Band",
            "date": "1999-12-31",
            "genre": "Rock",
            "track": "3",
            "tracktotal": "12",
            "disc": "1",
            "isrc": "DEA123456789",
            "musicbrainz_albumid": "0a-1b",
            "replaygain_track_gain": "-3 dB",
        },
    }


def test_an_old_tag_of_three_letter_frames_is_read(tmp_path: Path) -> None:
    body = b"TT2" + bytes((0, 0, 6)) + b"\x00Title" + b"TYE" + bytes((0, 0, 5)) + b"\x002001"
    metadata = read(tmp_path, b"ID3\x02\x00\x00\x00\x00\x00" + bytes((len(body),)) + body + mpeg_frames())
    assert metadata["tags"] == {"title": "Title", "date": "2001"}


def test_an_id3v1_tag_at_the_end_is_read(tmp_path: Path) -> None:
    fields = (b"Title", b"Artist", b"Album", b"2001", b"Comment")
    tag = struct.pack("3s30s30s30s4s28sBBB", b"TAG", *fields, 0, 7, 17)
    metadata = read(tmp_path, mpeg_frames() + tag)
    assert metadata["tags"] == {
        "title": "Title",
        "artist": "Artist",
        "album": "Album",
        "date": "2001",
        "genre": "Rock",
        "track": "7",
    }


def ape(**items: bytes) -> bytes:
    """An APEv2 tag; two underscores in a name stand for a blank."""
    listed = b"".join(
        struct.pack("<II", len(value), 0) + name.replace("__", " ").encode() + b"\0" + value
        for name, value in items.items()
    )
    return listed + b"APETAGEX" + struct.pack("<IIII", 2000, len(listed) + 32, len(items), 0) + bytes(8)


def id3v1(title: bytes, artist: bytes) -> bytes:
    return b"TAG" + title.ljust(30, b"\0") + artist.ljust(30, b"\0") + bytes(64) + b"\xff"


def test_the_first_of_several_values_in_an_ape_tag_counts(tmp_path: Path) -> None:
    found = read(tmp_path, mpeg_frames() + ape(Album__Artist=b"One\0Another"))
    assert found["tags"] == {"albumartist": "One"}


def test_of_several_kinds_of_tags_the_richer_one_counts_and_the_others_add_to_it(tmp_path: Path) -> None:
    loudness = ape(Title=b"From APE", replaygain_track_gain=b"-3 dB")
    old = id3v1(b"From the old", b"Artist of the old")
    both = read(tmp_path, id3(text_frame("TIT2", "From ID3")) + mpeg_frames() + loudness)
    assert both["tags"] == {"title": "From ID3", "replaygain_track_gain": "-3 dB"}
    behind = read(tmp_path, mpeg_frames() + loudness + old)
    assert behind["tags"] == {"title": "From APE", "replaygain_track_gain": "-3 dB"}
    alone = read(tmp_path, mpeg_frames() + old)
    assert alone["tags"] == {"title": "From the old", "artist": "Artist of the old"}


def test_pictures_do_not_travel_but_are_counted_and_do_not_hide_what_follows(tmp_path: Path) -> None:
    picture = b"APIC" + struct.pack(">IH", 100_000, 0) + b"\x00image/png\x00\x03\x00" + os.urandom(99_987)
    metadata = read(
        tmp_path,
        id3(text_frame("TIT2", "Before"), picture, picture, text_frame("TALB", "After")) + mpeg_frames(),
    )
    assert metadata["tags"] == {"title": "Before", "album": "After"}
    assert metadata["pictures"] == {"count": 2, "bytes": 200_000}


def test_a_file_without_pictures_says_nothing_of_them(tmp_path: Path) -> None:
    assert "pictures" not in read(tmp_path, mpeg_frames())


def test_a_flac_file_named_mp3_is_told_as_what_it_is(tmp_path: Path) -> None:
    metadata = read(tmp_path, flac(b"TITLE=First", b"title=Second", b"ARTIST=AC/DC", b"DATE=2020-01"))
    assert metadata["format"] == "audio/flac"
    assert (metadata["duration"], metadata["sample_rate"], metadata["channels"]) == (2.0, 44100, 2)
    assert metadata["tags"] == {"title": "First", "artist": "AC/DC", "date": "2020-01"}


def test_a_wav_file_is_read_with_its_info_chunks_and_its_id3_chunk_first(tmp_path: Path) -> None:
    tag = chunk(b"id3 ", id3(text_frame("TIT2", "From ID3")))
    metadata = read(tmp_path, wav(info_list(INAM=b"From INFO", IART=b"Artist"), tag, seconds=2), "file.wav")
    assert metadata == {
        "duration": 2.0,
        "bitrate": 128000,
        "sample_rate": 8000,
        "channels": 1,
        "format": "audio/wav",
        "file_type": "wav",
        "tags": {"title": "From ID3", "artist": "Artist"},
    }


def test_a_value_that_was_cut_is_marked(tmp_path: Path) -> None:
    metadata = read(tmp_path, flac(b"TITLE=" + b"x" * 5000))
    assert metadata["truncated"] is True
    assert len(metadata["tags"]["title"]) == 4096


def test_tags_of_a_file_without_sound_are_kept_beside_the_error(tmp_path: Path) -> None:
    metadata = read(tmp_path, id3(text_frame("TIT2", "Title")) + bytes(100))
    assert metadata["tags"] == {"title": "Title"}
    assert metadata["format"] is None
    assert "damaged or no media" in metadata["error"]


def test_sound_behind_a_broken_tag_is_told_beside_the_error(tmp_path: Path) -> None:
    broken = b"ID3\x03\x00\xff" + bytes(3) + b"\x0a" + bytes(10)
    metadata = read(tmp_path, broken + mpeg_frames(100))
    assert (metadata["format"], metadata["duration"], metadata["tags"]) == ("audio/mpeg", 2.606, {})
    assert "error" in metadata


def test_what_is_known_before_a_damaged_place_is_told_beside_the_error(tmp_path: Path) -> None:
    whole = flac(b"TITLE=First", picture=bytes(100))
    cut = whole[: whole.index(b"TITLE")]
    metadata = read(tmp_path, cut, "file.flac")
    assert "Part of the content is damaged" in metadata["error"]
    assert (metadata["format"], metadata["duration"], metadata["sample_rate"]) == ("audio/flac", 2.0, 44_100)


@pytest.mark.parametrize(
    "name", ["file.mp3", "file.aac", "file.flac", "file.ogg", "file.m4a", "file.wma", "file.wav"]
)
def test_a_media_name_without_media_gives_an_error_and_no_values(tmp_path: Path, name: str) -> None:
    for content, sentence in ((b"", "The file is empty."), (b"just text " * 100, "media")):
        metadata = read(tmp_path, content, name)
        assert sentence in metadata.pop("error")
        assert metadata == {**dict.fromkeys(KEYS), "tags": {}}


def test_what_is_no_media_by_name_and_content_has_no_metadata(tmp_path: Path) -> None:
    (tmp_path / "file.json").write_bytes(b"{}")
    assert read_metadata(bytes(tmp_path / "file.json")) is None


def identity_of(path: Path) -> Identity:
    stat = path.stat()
    return Identity(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_dev, stat.st_ino)


def test_only_the_file_that_was_asked_for_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file.mp3"
    path.write_bytes(mpeg_frames())
    identity = identity_of(path)
    assert read_metadata(bytes(path), identity) is not None
    path.chmod(0o600)
    with pytest.raises(AnotherFile):
        read_metadata(bytes(path), identity)


def test_a_file_that_changes_while_it_is_read_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.mp3"
    path.write_bytes(mpeg_frames())

    def change(file: object, medium: object) -> None:
        path.write_bytes(b"changed")

    monkeypatch.setattr(reader, "_READERS", (Toy(change),))
    with pytest.raises(AnotherFile):
        read_metadata(bytes(path), identity_of(path))


def test_a_whole_file_is_read_with_its_hashes(tmp_path: Path) -> None:
    path = tmp_path / "file.mp3"
    path.write_bytes(id3(text_frame("TIT2", "Title")) + mpeg_frames())
    metadata, hashes = read_whole(bytes(path), identity_of(path))
    assert metadata == read_metadata(bytes(path))
    assert hashes.sha256 == hashlib.sha256(path.read_bytes()).digest()
    assert hashes.xxh128 == xxhash.xxh3_128(path.read_bytes()).digest()


def test_a_whole_file_that_is_or_becomes_another_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.mp3"
    path.write_bytes(mpeg_frames())
    identity = identity_of(path)
    with pytest.raises(AnotherFile):
        read_whole(bytes(path), identity._replace(size=1))
    with pytest.raises(AnotherFile):
        read_whole(bytes(tmp_path / "gone.mp3"), identity)

    def grow(descriptor: int, size: int) -> Hashes | None:
        with path.open("ab") as file:
            file.write(b"more")
        return hashes_of(descriptor, size)

    monkeypatch.setattr(reader, "hashes_of", grow)
    with pytest.raises(AnotherFile):
        read_whole(bytes(path), identity)

    def truncate(descriptor: int, size: int) -> Hashes | None:
        os.truncate(path, 10)
        return hashes_of(descriptor, size)

    identity = identity_of(path)
    monkeypatch.setattr(reader, "hashes_of", truncate)
    with pytest.raises(AnotherFile):
        read_whole(bytes(path), identity)


def test_a_disk_that_fails_under_a_whole_file_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.mp3"
    path.write_bytes(mpeg_frames())

    def fail(descriptor: int, size: int) -> Hashes | None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(reader, "hashes_of", fail)
    with pytest.raises(DiskFailed, match="Input/output error"):
        read_whole(bytes(path), identity_of(path))


def test_what_is_no_regular_file_is_neither_waited_for_nor_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.mp3")
    (tmp_path / "zero.mp3").symlink_to("/dev/zero")
    (tmp_path / "folder.mp3").mkdir()
    for name in ("fifo.mp3", "zero.mp3", "missing.mp3"):
        with pytest.raises(AnotherFile):
            read_metadata(bytes(tmp_path / name))
    with pytest.raises(AnotherFile):
        read_metadata(bytes(tmp_path / "folder.mp3"))
    with pytest.raises(AnotherFile):
        read_metadata(bytes(tmp_path / "zero.mp3"), follow_symlinks=True)


def test_a_symbolic_link_is_followed_where_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "file.mp3").write_bytes(mpeg_frames())
    (tmp_path / "link.mp3").symlink_to("file.mp3")
    assert read_metadata(bytes(tmp_path / "link.mp3"), follow_symlinks=True) is not None


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_failing_disk_is_not_held_against_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, wrapped: bool
) -> None:
    path = tmp_path / "file.mp3"
    path.write_bytes(mpeg_frames())

    def fail(file: object, medium: object) -> None:
        try:
            raise OSError(errno.EIO, "Input/output error")
        except OSError as exc:
            if not wrapped:
                raise
            raise KeyError(exc) from None

    monkeypatch.setattr(reader, "_READERS", (Toy(fail),))
    with pytest.raises(DiskFailed, match="Input/output error"):
        read_metadata(bytes(path))


def test_a_seek_to_nowhere_is_the_files_own_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def seek_to_nowhere(file: Any, medium: object) -> None:
        file.seek(-1)

    monkeypatch.setattr(reader, "_READERS", (Toy(seek_to_nowhere),))
    assert "error" in read(tmp_path, mpeg_frames())


def test_running_out_of_memory_is_not_answered_as_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhaust(file: object, medium: object) -> None:
        raise MemoryError

    monkeypatch.setattr(reader, "_READERS", (Toy(exhaust),))
    path = tmp_path / "file.mp3"
    path.write_bytes(mpeg_frames())
    with pytest.raises(MemoryError):
        read_metadata(bytes(path))


def test_a_compressed_frame_is_unpacked_unless_it_is_a_bomb_and_what_else_is_known_is_told(
    tmp_path: Path,
) -> None:
    small = read(tmp_path, compressed_mp3(text_frame("TIT2", "Packed"), text_frame("TALB", "After")))
    assert small["tags"] == {"title": "Packed", "album": "After"}
    bomb = read(tmp_path, bomb_mp3(2, text_frame("TALB", "After")))
    assert bomb["tags"] == {"album": "After"}
    assert bomb["duration"] == small["duration"]
    assert "error" not in bomb


def test_a_compressed_frame_that_is_not_wanted_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpacked: list[bytes] = []

    def unpack(data: bytes) -> bytes:
        unpacked.append(data)
        return b""

    monkeypatch.setattr("file_watcher.processing.tags.readers.id3._BoundedZlib.decompress", unpack)
    read(tmp_path, bomb_mp3(1).replace(b"TIT2", b"COMR", 1))
    read(tmp_path, bomb_mp3(1).replace(b"TIT2", b"APIC", 1))
    assert unpacked == []
    read(tmp_path, bomb_mp3(1))
    assert len(unpacked) == 1


SAMPLES = [
    id3(text_frame("TIT2", "Title"), text_frame("TRCK", "1/2")) + mpeg_frames(),
    flac(b"TITLE=Title", b"ARTIST=Artist"),
    wav(info_list(INAM=b"Title"), chunk(b"id3 ", id3(text_frame("TIT2", "Title"))), seconds=0.01),
]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), sample=st.sampled_from(SAMPLES), changes=st.integers(1, 20))
def test_any_damage_gives_metadata_that_can_be_published(
    tmp_path: Path, seed: int, sample: bytes, changes: int
) -> None:
    chance = random.Random(seed)
    content = bytearray(sample)
    for _ in range(changes):
        content[chance.randrange(min(len(content), 300))] = chance.randrange(256)
    read(tmp_path, bytes(content[: chance.randrange(len(content))]))
