from __future__ import annotations

import struct
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from file_watcher.processing.tags.atoms import has_video, is_mono_aac


def atom(name: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", len(body) + 8, name) + body


def long_atom(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4sQ", 1, name, len(content) + 16) + content


def track(handler: bytes, config: bytes = b"") -> bytes:
    decoder = b"\x04\x80\x80\x80\x20" + bytes(13) + b"\x05" + bytes((len(config),)) + config
    esds = atom(b"esds", bytes(4) + b"\x03\x80\x80\x80\x30" + bytes(3) + decoder)
    samples = atom(b"stsd", bytes(8), atom(b"mp4a", bytes(28), esds))
    return atom(
        b"trak",
        atom(
            b"mdia",
            atom(b"hdlr", bytes(8) + handler + bytes(12)),
            atom(b"minf", atom(b"stbl", samples)),
        ),
    )


def ask(question: object, content: bytes) -> object:
    assert callable(question)
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        return question(file)


HEAD = atom(b"ftyp", b"M4A ") + atom(b"free")
MONO_44100 = bytes.fromhex("1208")
STEREO_44100 = bytes.fromhex("1210")
MONO_22050 = bytes.fromhex("1388")


def test_a_picture_track_is_found_behind_a_sound_track() -> None:
    assert ask(has_video, HEAD + atom(b"moov", track(b"soun"), track(b"vide"))) is True
    assert ask(has_video, HEAD + atom(b"moov", track(b"soun"), track(b"text"))) is False


def test_atoms_of_64_bit_sizes_and_a_last_one_without_size_are_walked() -> None:
    moov = atom(b"moov", track(b"vide"))
    assert ask(has_video, HEAD + long_atom(b"mdat", bytes(100)) + moov) is True
    assert ask(has_video, HEAD + bytes(4) + moov[4:]) is True


@pytest.mark.parametrize(
    ("config", "mono"),
    [
        (MONO_44100, True),
        (STEREO_44100, False),
        (MONO_22050, False),  # stereo may hide in an extension
        (MONO_22050 + bytes.fromhex("56e500"), True),
        (bytes.fromhex("2a08"), False),  # AAC with explicit SBR
        (b"", False),
    ],
)
def test_sound_is_mono_only_where_no_second_channel_can_hide(config: bytes, *, mono: bool) -> None:
    assert ask(is_mono_aac, HEAD + atom(b"moov", track(b"soun", config))) is mono


def test_the_rate_is_part_of_the_proof() -> None:
    config_of_24_khz = bytes(((2 << 3) | (6 >> 1), (6 & 1) << 7 | 1 << 3))
    config_of_32_khz = bytes(((2 << 3) | (5 >> 1), (5 & 1) << 7 | 1 << 3))
    assert ask(is_mono_aac, atom(b"moov", track(b"soun", config_of_24_khz))) is False
    assert ask(is_mono_aac, atom(b"moov", track(b"soun", config_of_32_khz))) is True


@given(junk=st.binary(min_size=1, max_size=30), at=st.integers(0, 250))
def test_any_damage_reads_as_an_answer(junk: bytes, at: int) -> None:
    content = HEAD + atom(b"moov", track(b"soun", MONO_44100), track(b"vide"))
    damaged = content[:at] + junk + content[at + len(junk) :]
    assert ask(has_video, damaged) in {True, False}
    assert ask(is_mono_aac, damaged) in {True, False}
