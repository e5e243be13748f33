"""Metadata of files that real encoders made."""

from __future__ import annotations

import base64
import json
import random
import shutil
import struct
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from mutagen import MutagenError
from mutagen.apev2 import BINARY, APEv2, APEValue
from mutagen.asf import ASF, ASFByteArrayAttribute
from mutagen.flac import Picture
from mutagen.id3 import ID3, UFID
from mutagen.mp4 import MP4
from mutagen.oggflac import OggFLAC
from mutagen.oggopus import OggOpus
from mutagen.oggvorbis import OggVorbis

from file_watcher.lifecycle import Deadline
from file_watcher.model import FileStat
from file_watcher.processing.tags.formats import MEDIA_EXTENSIONS
from file_watcher.processing.tags.pool import TagReader
from file_watcher.processing.tags.reader import read_metadata
from tests.support.tones import ENCODINGS, real_sounds

FORMATS = {
    "mp3": "audio/mpeg",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "wave": "audio/wav",
    "ogg": "audio/ogg",
    "oga": "audio/ogg",
    "aac": "audio/aac",
    "opus": "audio/opus",
    "m4a": "audio/mp4",
    "m4b": "audio/mp4",
    "m4p": "audio/mp4",
    "m4v": "audio/mp4",
    "m4r": "audio/mp4",
    "mp4": "audio/mp4",
    "wma": "audio/x-ms-wma",
}
FILE_TYPES = {"wave": "wav", "oga": "oggflac", **dict.fromkeys(("m4b", "m4p", "m4v", "m4r", "mp4"), "m4a")}
"""Where they are another word than the extension."""
TAGS = {
    "artist": "The Tones",
    "album": "Sines",
    "albumartist": "Various Tones",
    "date": "2021",
    "genre": "Test",
    "track": "3",
    "tracktotal": "12",
    "disc": "1",
    "disctotal": "2",
}
NOT_IN_RIFF_INFO = {"albumartist", "disc", "disctotal"}


def read(path: Path) -> dict[str, Any]:
    """What a child does with one file, in this process."""
    metadata = read_metadata(bytes(path))
    assert metadata is not None
    json.dumps(metadata, allow_nan=False).encode("utf-8")
    return metadata


def ffmpeg(*arguments: str, to: Path) -> Path:
    program = shutil.which("ffmpeg")
    assert program is not None, "ffmpeg is missing: apt-get install ffmpeg"
    subprocess.run([program, "-nostdin", "-loglevel", "error", *arguments, str(to)], check=True, timeout=60)
    return to


SINE = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=1")
PICTURES = ("-f", "lavfi", "-i", "testsrc=size=64x64:rate=5:duration=1")


def test_all_extensions_are_covered() -> None:
    assert {f".{extension}".encode() for extension in FORMATS} <= MEDIA_EXTENSIONS
    assert FORMATS.keys() == ENCODINGS.keys()


@pytest.mark.parametrize("extension", FORMATS)
def test_a_tagged_tone_of_every_extension_is_read(encoded_tones: Path, extension: str) -> None:
    metadata = read(encoded_tones / f"tone.{extension}")
    assert metadata.pop("duration") == pytest.approx(1.0, abs=0.1)
    assert 10_000 < metadata.pop("bitrate") < 2_000_000
    tags = {"title": f"Tone {extension}", **TAGS}
    if extension in {"wav", "wave"}:
        tags = {name: value for name, value in tags.items() if name not in NOT_IN_RIFF_INFO}
    assert metadata == {
        "sample_rate": 48_000 if extension == "opus" else 44_100,
        "channels": 2,
        "format": FORMATS[extension],
        "file_type": FILE_TYPES.get(extension, extension),
        "tags": tags,
    }


def test_the_child_processes_answer_the_same(encoded_tones: Path) -> None:
    reader = TagReader(2, 512 << 20, 30.0, on_failure=lambda *_: None)
    reader.start()
    try:
        paths = [*sorted(encoded_tones.iterdir()), *real_sounds()] * 3
        futures = [reader.submit(bytes(path), FileStat.of(path.stat())) for path in paths]
        assert [future.result(60) for future in futures] == [read(path) for path in paths]
    finally:
        reader.close()
        assert reader.join(Deadline(10))


def test_real_sounds_of_another_encoder_are_read() -> None:
    for sound in real_sounds():
        metadata = read(sound)
        assert metadata["format"] == "audio/ogg"
        assert metadata["duration"] > 0
        assert metadata["sample_rate"] in {44_100, 48_000}
        assert metadata["channels"] in {1, 2}
        assert "error" not in metadata


@pytest.mark.parametrize("extension", ["mp3", "flac", "wav", "ogg", "oga", "aac", "opus", "m4a", "wma"])
def test_one_channel_is_told_as_one(tmp_path: Path, extension: str) -> None:
    path = ffmpeg(*SINE, "-ac", "1", to=tmp_path / f"mono.{extension}")
    assert read(path)["channels"] == 1


@pytest.mark.parametrize("extension", ["mp3", "flac", "ogg", "opus", "m4a", "wma"])
def test_a_file_without_tags_has_none_but_its_stream_is_known(tmp_path: Path, extension: str) -> None:
    options = ("-map_metadata", "-1", "-fflags", "+bitexact", "-flags:a", "+bitexact", "-id3v2_version", "0")
    path = ffmpeg(
        *SINE, *(options if extension == "mp3" else options[:-2]), to=tmp_path / f"bare.{extension}"
    )
    metadata = read(path)
    assert metadata["tags"] == {}
    assert metadata["duration"] == pytest.approx(1.0, abs=0.1)
    assert "error" not in metadata


def test_a_film_is_video_and_one_without_sound_has_nulls(tmp_path: Path) -> None:
    film = read(ffmpeg(*SINE, *PICTURES, "-shortest", to=tmp_path / "film.mp4"))
    assert (film["format"], film["sample_rate"], film["channels"]) == ("video/mp4", 44_100, 1)
    silent = read(ffmpeg(*PICTURES, to=tmp_path / "silent.m4v"))
    assert silent["format"] == "video/mp4"
    assert silent["duration"] == pytest.approx(1.0, abs=0.1)
    assert silent["sample_rate"] is silent["channels"] is silent["bitrate"] is None
    assert "error" not in silent


def test_a_fragmented_file_has_no_duration_rather_than_none_at_all(tmp_path: Path) -> None:
    options = ("-movflags", "frag_keyframe+empty_moov", "-frag_duration", "200000")
    metadata = read(ffmpeg(*SINE, *options, to=tmp_path / "fragmented.m4a"))
    assert metadata["duration"] is None
    assert metadata["sample_rate"] == 44_100


def test_sound_in_an_ogg_film_is_told(tmp_path: Path) -> None:
    film = ffmpeg(
        *SINE, *PICTURES, "-c:v", "libtheora", "-c:a", "libvorbis", "-f", "ogg", to=tmp_path / "film.ogg"
    )
    assert read(film)["sample_rate"] == 44_100
    silent = read(ffmpeg(*PICTURES, "-c:v", "libtheora", "-f", "ogg", to=tmp_path / "silent.ogg"))
    assert (silent["format"], silent["sample_rate"]) == ("video/ogg", None)


def test_speech_in_ogg_and_lossless_sound_in_mp4_are_read(tmp_path: Path) -> None:
    speech = read(ffmpeg(*SINE, "-ar", "16000", "-c:a", "libspeex", "-f", "ogg", to=tmp_path / "speech.oga"))
    assert (speech["format"], speech["sample_rate"]) == ("audio/ogg", 16_000)
    lossless = read(ffmpeg(*SINE, "-c:a", "alac", to=tmp_path / "lossless.m4a"))
    assert (lossless["sample_rate"], lossless["channels"]) == (44_100, 1)


@pytest.mark.parametrize(
    ("name", "codecs", "media_type"),
    [
        ("film.mkv", ("-c:v", "mpeg4", "-c:a", "flac"), "video/matroska"),
        ("sound.mka", ("-vn", "-c:a", "libvorbis"), "audio/matroska"),
        ("film.webm", ("-c:v", "libvpx", "-c:a", "libvorbis"), "video/webm"),
        ("film.wmv", ("-c:v", "wmv2", "-c:a", "wmav2", "-f", "asf"), "video/x-ms-wmv"),
    ],
)
def test_films_of_other_formats_are_read(
    tmp_path: Path, name: str, codecs: tuple[str, ...], media_type: str
) -> None:
    tags = ("-metadata", "title=Film", "-metadata", "artist=AC/DC", "-metadata", "date=2021")
    film = read(ffmpeg(*PICTURES, *SINE, "-ac", "2", "-shortest", *tags, *codecs, to=tmp_path / name))
    assert (film["format"], film["sample_rate"], film["channels"]) == (media_type, 44_100, 2)
    assert film["duration"] == pytest.approx(1.0, abs=0.1)
    assert film["tags"] == {"title": "Film", "artist": "AC/DC", "date": "2021"}


@pytest.mark.parametrize("name", ["silent.wmv", "silent.mkv"])
def test_pictures_without_sound_have_no_rates(tmp_path: Path, name: str) -> None:
    codec = ("-c:v", "wmv2", "-f", "asf") if name.endswith("wmv") else ("-c:v", "mpeg4")
    silent = read(ffmpeg(*PICTURES, *codec, to=tmp_path / name))
    assert silent["format"].startswith("video/")
    assert silent["duration"] == pytest.approx(1.0, abs=0.1)
    assert silent["sample_rate"] is silent["channels"] is silent["bitrate"] is None
    assert "error" not in silent


def test_the_content_counts_and_not_the_name(encoded_tones: Path, tmp_path: Path) -> None:
    for real, claimed in (("flac", "mp3"), ("aac", "mp3"), ("mp3", "m4a"), ("wav", "wma"), ("m4a", "ogg")):
        path = tmp_path / f"{real}.{claimed}"
        shutil.copyfile(encoded_tones / f"tone.{real}", path)
        metadata = read(path)
        assert metadata["format"] == FORMATS[real]
        assert metadata["tags"]["title"] == f"Tone {real}"


@pytest.mark.parametrize("extension", FORMATS)
def test_a_file_that_was_cut_short_is_answered(encoded_tones: Path, tmp_path: Path, extension: str) -> None:
    whole = (encoded_tones / f"tone.{extension}").read_bytes()
    for part in (10, 100, len(whole) // 2):
        path = tmp_path / f"cut.{extension}"
        path.write_bytes(whole[:part])
        metadata = read(path)
        assert metadata["format"] is None or metadata["format"].startswith("audio/")
        if part == 10:
            assert "error" in metadata


def cover_art(writer: str, path: Path, cover: bytes) -> None:
    """Put the cover into the file as its format does it."""
    if writer == "comments":
        picture = Picture()
        picture.type, picture.mime, picture.data = 3, "image/png", cover
        for parser in (OggVorbis, OggOpus, OggFLAC):
            with suppress(MutagenError):
                tagged = parser(path)
                tagged["METADATA_BLOCK_PICTURE"] = base64.b64encode(picture.write()).decode()
                tagged.save()
    elif writer == "asf":
        tagged = ASF(path)
        head = struct.pack("<BI", 3, len(cover)) + "image/png\0\0".encode("utf-16-le")
        tagged["WM/Picture"] = ASFByteArrayAttribute(head + cover)
        tagged.save()
    else:
        tag = APEv2()
        tag["Title"] = "Covered"
        tag["Cover Art (Front)"] = APEValue(b"cover.png\0" + cover, BINARY)
        tag.save(path)


@pytest.mark.parametrize(
    ("extension", "writer"),
    [("ogg", "comments"), ("oga", "comments"), ("opus", "comments"), ("wma", "asf"), ("mp3", "ape")],
)
def test_the_size_of_a_cover_picture_is_told_in_every_format(
    tmp_path: Path, extension: str, writer: str
) -> None:
    bare = ("-map_metadata", "-1", "-id3v2_version", "0") if extension == "mp3" else ("-map_metadata", "-1")
    path = ffmpeg(*SINE, *bare, *ENCODINGS[extension], to=tmp_path / f"covered.{extension}")
    cover_art(writer, path, b"\x89PNG" + bytes(5_000))
    metadata = read(path)
    assert metadata["pictures"] == {"count": 1, "bytes": 5_004}
    assert metadata["tags"] == ({"title": "Covered"} if writer == "ape" else {})


def test_a_cover_picture_does_not_travel(tmp_path: Path) -> None:
    cover = ffmpeg(*PICTURES, "-frames:v", "1", to=tmp_path / "cover.png")
    inputs = (*SINE, "-i", str(cover), "-map", "0", "-map", "1", "-c:v", "copy")
    covered = (*inputs, "-disposition:v", "attached_pic", "-metadata", "title=Covered")
    for extension in ("mp3", "flac", "m4a"):
        metadata = read(ffmpeg(*covered, to=tmp_path / f"covered.{extension}"))
        assert metadata["tags"] == {"title": "Covered"}
        assert metadata["format"].startswith("audio/")
        assert metadata["pictures"]["count"] == 1
        # ID3 counts what stands before the picture, too: its kind and its type.
        assert 0 <= metadata["pictures"]["bytes"] - cover.stat().st_size < 40


@pytest.mark.parametrize("extension", ["ogg", "opus", "flac", "m4a"])
def test_a_stream_whose_tags_are_damaged_is_described_all_the_same(
    encoded_tones: Path, tmp_path: Path, extension: str
) -> None:
    content = bytearray((encoded_tones / f"tone.{extension}").read_bytes())
    length_at = content.index(b"\xa9nam" if extension == "m4a" else b"title=") - 4
    content[length_at : length_at + 4] = b"\xff\xff\xff\x0f"
    path = tmp_path / f"damaged.{extension}"
    path.write_bytes(content)
    metadata = read(path)
    assert metadata["format"] == FORMATS[extension]
    assert "Part of the content is damaged" in metadata["error"]
    assert metadata["sample_rate"] in {44_100, 48_000}
    assert metadata["channels"] == 2


@pytest.mark.parametrize("extension", FORMATS)
def test_any_damage_gives_metadata_that_can_be_published(
    encoded_tones: Path, tmp_path: Path, extension: str
) -> None:
    whole = (encoded_tones / f"tone.{extension}").read_bytes()
    chance = random.Random(extension)
    path = tmp_path / f"damaged.{extension}"
    for _ in range(100):
        content = bytearray(whole)
        for _ in range(chance.randrange(1, 20)):
            content[chance.randrange(min(len(content), 2000))] = chance.randrange(256)
        path.write_bytes(content)
        metadata = read(path)
        assert metadata["duration"] is None or metadata["duration"] >= 0


def test_identifiers_of_musicbrainz_and_numbers_that_mp4_keeps_are_read(
    encoded_tones: Path, tmp_path: Path
) -> None:
    song, book = tmp_path / "song.mp3", tmp_path / "book.m4b"
    shutil.copyfile(encoded_tones / "tone.mp3", song)
    shutil.copyfile(encoded_tones / "tone.m4b", book)
    tag = ID3(song)
    tag.add(UFID(owner="http://musicbrainz.org", data=b"0a-recording"))
    tag.save()
    mp4 = MP4(book)
    mp4["----:com.apple.iTunes:MusicBrainz Track Id"] = [b"0b-recording"]
    mp4["tmpo"], mp4["cpil"] = [120], True
    mp4.save()
    assert read(song)["tags"]["musicbrainz_trackid"] == "0a-recording"
    tags = read(book)["tags"]
    assert (tags["musicbrainz_trackid"], tags["bpm"], tags["compilation"]) == ("0b-recording", "120", "1")
