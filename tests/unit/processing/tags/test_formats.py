from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from file_watcher.processing.tags.formats import MEDIA_EXTENSIONS, Kind, guess, sniff, wants_tags
from tests.support.crafted_media import id3, mpeg_frames, text_frame, wav


def ogg_page(packet: bytes, *, first: bool = True) -> bytes:
    return b"OggS\x00" + bytes((2 if first else 0,)) + bytes(20) + bytes((1, len(packet))) + packet


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (mpeg_frames(1), Kind.MPEG),
        (id3(text_frame("TIT2", "x")) + mpeg_frames(1), Kind.MPEG),
        (b"\xff\xf1\x50\x80", Kind.AAC),
        (id3(text_frame("TIT2", "x")) + b"\xff\xf9\x50\x80", Kind.AAC),
        (b"ADIF", Kind.AAC),
        (b"fLaC\x00\x00\x00\x22", Kind.FLAC),
        (id3() + id3() + b"fLaC", Kind.FLAC),
        (id3(text_frame("TIT2", "x" * 9000)) + b"fLaC", Kind.FLAC),
        (wav(), Kind.WAV),
        (bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), Kind.ASF),
        (b"\x00\x00\x00\x20ftypM4A ", Kind.MP4),
        (b"\x00\x00\x00\x08wide", Kind.MP4),
        (ogg_page(b"\x01vorbis"), Kind.VORBIS),
        (ogg_page(b"OpusHead"), Kind.OPUS),
        (ogg_page(b"\x7fFLAC"), Kind.OGG_FLAC),
        (ogg_page(b"Speex   "), Kind.SPEEX),
        (ogg_page(b"\x80theora"), Kind.THEORA),
        (ogg_page(b"\x80theora") + ogg_page(b"\x01vorbis"), Kind.VORBIS),
        (ogg_page(b"fishead\0") + ogg_page(b"other", first=False) + ogg_page(b"OpusHead"), None),
        (b'{"json": true}', None),
        (b"ID3", None),
        (b"", None),
    ],
)
def test_the_content_says_what_a_file_is(content: bytes, kind: Kind | None) -> None:
    assert sniff(io.BytesIO(content)) is kind


@given(prefix=st.sampled_from([b"", b"ID3", b"OggS\x00\x02", b"RIFF", b"\xff"]), rest=st.binary(max_size=200))
def test_any_beginning_can_be_looked_at(prefix: bytes, rest: bytes) -> None:
    assert sniff(io.BytesIO(prefix + rest)) in {*Kind, None}


def test_only_streams_that_may_begin_with_junk_are_guessed_by_name() -> None:
    junk = io.BytesIO(b"junk")
    assert guess(junk, b".mp3") is Kind.MPEG
    assert guess(junk, b".aac") is Kind.AAC
    assert guess(junk, b".flac") is None
    assert guess(io.BytesIO(id3()), b".flac") is Kind.MPEG


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


def test_every_kind_has_a_media_type_of_its_family() -> None:
    assert {kind.media_type.partition("/")[0] for kind in Kind} == {"audio", "video"}
    assert Kind.OGG_FLAC.media_type == "audio/ogg"
    assert len(MEDIA_EXTENSIONS) == 15
