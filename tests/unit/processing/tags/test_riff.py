from __future__ import annotations

import struct
import tempfile
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from file_watcher.processing.tags.riff import RiffError, Wave, read_wave
from tests.support.crafted_media import chunk, info_list, wav


def parsed(content: bytes) -> Wave:
    wave = Wave()
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        read_wave(file, wave)
    return wave


def test_the_stream_is_described_by_its_format_chunk() -> None:
    wave = parsed(wav(seconds=1.5))
    assert (wave.channels, wave.sample_rate, wave.byte_rate, wave.duration) == (1, 8000, 16000, 1.5)


def test_info_chunks_are_read_in_utf_8_or_else_in_windows_1252() -> None:
    wave = parsed(
        wav(info_list(INAM="Tür".encode(), IART="Tür".encode("cp1252"), IPRT=b"3\0junk", ISFT=b"Writer"))
    )
    assert wave.tags == [("title", "Tür"), ("artist", "Tür"), ("track", "3")]


def test_an_odd_chunk_is_padded() -> None:
    wave = parsed(wav(chunk(b"odd ", b"x"), info_list(INAM=b"odd", IART=b"even")))
    assert wave.tags == [("title", "odd"), ("artist", "even")]


def test_an_id3_chunk_is_found_whatever_its_case() -> None:
    for name in (b"id3 ", b"ID3 "):
        content = wav(chunk(name, b"ID3 tag"))
        assert parsed(content).id3_at == content.index(b"ID3 tag")


def test_a_list_that_is_no_info_is_left_alone() -> None:
    assert parsed(wav(chunk(b"LIST", b"adtlINAM\x02\x00\x00\x00no"))).tags == []


def test_a_stream_of_unknown_size_lasts_to_the_end_of_the_file() -> None:
    content = wav(seconds=2.0)
    at = content.index(b"data") + 4
    endless = content[:at] + b"\xff\xff\xff\xff" + content[at + 4 :]
    assert parsed(endless).duration == 2.0


def test_a_size_beyond_the_end_of_the_file_is_not_believed() -> None:
    content = wav(seconds=2.0)
    at = content.index(b"data") + 4
    assert parsed(content[:at] + struct.pack("<I", 1 << 30) + content[at + 4 :]).duration == 2.0


def test_a_file_of_more_than_4_gb_says_its_size_in_a_chunk_of_its_own() -> None:
    content = wav(seconds=2.0)
    at = content.index(b"data") + 4
    ds64 = chunk(b"ds64", struct.pack("<QQ", 0, 16_000))
    long = b"RF64" + content[4:12] + ds64 + content[12:at] + b"\xff\xff\xff\xff" + content[at + 4 :]
    assert parsed(long).duration == 1.0


@pytest.mark.parametrize("content", [b"", b"RIFF", b"RIFF\0\0\0\0AVI ", b"RIFF\0\0\0\0WAVE", wav()[:30]])
def test_what_has_no_format_is_no_wav_file(content: bytes) -> None:
    with pytest.raises(RiffError):
        parsed(content)


def test_what_was_found_before_the_damage_is_kept() -> None:
    wave = Wave()
    with tempfile.TemporaryFile() as file:
        file.write(wav()[:12] + info_list(INAM=b"Title") + chunk(b"fmt ", b"short"))
        with pytest.raises(RiffError):
            read_wave(file, wave)
    assert wave.tags == [("title", "Title")]


def test_a_million_chunks_are_not_all_looked_at() -> None:
    wave = parsed(wav(chunk(b"junk", b"") * 1_000_000, info_list(INAM=b"never reached")))
    assert wave.duration == 1.0
    assert wave.tags == []


@given(st.binary(max_size=200), st.integers(0, 60))
def test_any_damage_gives_a_result_or_the_one_error(junk: bytes, at: int) -> None:
    content = wav(info_list(INAM=b"Title"), seconds=0.001)
    with suppress(RiffError):
        parsed(content[:at] + junk + content[at + len(junk) :])
