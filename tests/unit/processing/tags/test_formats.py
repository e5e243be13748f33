from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from file_watcher.processing.tags.formats import (
    MEDIA_EXTENSIONS,
    REGISTRY,
    beginning_of,
    load_readers,
    wants_tags,
)
from file_watcher.processing.tags.medium import Claim, MetadataReader
from file_watcher.settings.schema import FileWatchSettings
from tests.support.crafted_media import id3, mpeg_frames, text_frame, wav

READERS = load_readers()


def recognised(content: bytes, path: bytes = b"/file") -> Claim | None:
    beginning = beginning_of(io.BytesIO(content), path)
    return next((claim for reader in READERS if (claim := reader.recognise(beginning))), None)


def guessed(content: bytes, path: bytes) -> Claim | None:
    beginning = beginning_of(io.BytesIO(content), path)
    return next((claim for reader in READERS if (claim := reader.guess(beginning))), None)


def ogg_page(packet: bytes, *, first: bool = True) -> bytes:
    return b"OggS\x00" + bytes((2 if first else 0,)) + bytes(20) + bytes((1, len(packet))) + packet


@pytest.mark.parametrize(
    ("content", "claim"),
    [
        (mpeg_frames(1), ("audio/mpeg", "mp3")),
        (id3(text_frame("TIT2", "x")) + mpeg_frames(1), ("audio/mpeg", "mp3")),
        (b"\xff\xf1\x50\x80", ("audio/aac", "aac")),
        (id3(text_frame("TIT2", "x")) + b"\xff\xf9\x50\x80", ("audio/aac", "aac")),
        (b"ADIF", ("audio/aac", "aac")),
        (b"fLaC\x00\x00\x00\x22", ("audio/flac", "flac")),
        (id3() + id3() + b"fLaC", ("audio/flac", "flac")),
        (id3(text_frame("TIT2", "x" * 9000)) + b"fLaC", ("audio/flac", "flac")),
        (wav(), ("audio/wav", "wav")),
        (bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), ("audio/x-ms-wma", "wma")),
        (b"\x00\x00\x00\x20ftypM4A ", ("audio/mp4", "m4a")),
        (b"\x00\x00\x00\x08wide", ("audio/mp4", "m4a")),
        (ogg_page(b"\x01vorbis"), ("audio/ogg", "ogg")),
        (ogg_page(b"OpusHead"), ("audio/opus", "opus")),
        (ogg_page(b"\x7fFLAC"), ("audio/ogg", "oggflac")),
        (ogg_page(b"Speex   "), ("audio/ogg", "speex")),
        (ogg_page(b"\x80theora"), ("video/ogg", "theora")),
        (ogg_page(b"\x80theora") + ogg_page(b"\x01vorbis"), ("audio/ogg", "ogg")),
        (ogg_page(b"fishead\0") + ogg_page(b"other", first=False) + ogg_page(b"OpusHead"), None),
        (b'{"json": true}', None),
        (b"ID3", None),
        (b"", None),
    ],
)
def test_the_content_says_what_a_file_is(content: bytes, claim: tuple[str, str] | None) -> None:
    assert recognised(content) == claim


@given(
    prefix=st.sampled_from([b"", b"ID3", b"OggS\x00\x02", b"RIFF", b"\xff", b"\x1a\x45\xdf\xa3"]),
    rest=st.binary(max_size=200),
)
def test_any_beginning_can_be_looked_at(prefix: bytes, rest: bytes) -> None:
    claim = recognised(prefix + rest)
    assert claim is None or claim.media_type.startswith(("audio/", "video/"))
    guessed(prefix + rest, b"/file.mp3")


def test_only_streams_that_may_begin_with_junk_are_guessed_by_name() -> None:
    assert guessed(b"junk", b"/a.mp3") == ("audio/mpeg", "mp3")
    assert guessed(b"junk", b"/a.AAC") == ("audio/aac", "aac")
    assert guessed(b"junk", b"/a.flac") is None
    assert guessed(id3(), b"/a.flac") == ("audio/mpeg", "mp3")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (b"/music/a.mp3", True),
        (b"/music/A.FLAC", True),
        (b"/music/\xff.Opus", True),
        (b"/music/a.json", False),
        (b"/music.mp3/a", False),
        (b"/music/mp3", False),
    ],
)
def test_the_name_alone_says_whether_tags_are_wanted(name: bytes, *, wanted: bool) -> None:
    assert wants_tags(name) is wanted


def test_every_reader_keeps_the_interface() -> None:
    assert len(READERS) == len(REGISTRY)
    assert all(isinstance(reader, MetadataReader) for reader in READERS)


def test_no_extension_is_listed_twice_and_all_that_are_watched_by_default_are() -> None:
    listed = " ".join(registered.extensions for registered in REGISTRY).split()
    assert len(listed) == len(set(listed)) == len(MEDIA_EXTENSIONS)
    watched = {pattern.removeprefix("*").encode() for pattern in FileWatchSettings().patterns}
    assert watched <= MEDIA_EXTENSIONS
