"""Small files that would cost a careless reader gigabytes, minutes or its life."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Final

from tests.support.crafted_media import bomb_mp3, chunk, mpeg_frames, slow_mp3, wav

_ASF_HEADER: Final = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_EXTENSION: Final = bytes.fromhex("b503bf5f2ea9cf118ee300c00c205365")
_ASF_CONTENT: Final = bytes.fromhex("40a4d0d207e3d21197f000a0c95ea850")


def atom(name: bytes, content: bytes = b"") -> bytes:
    """An MP4 atom."""
    return struct.pack(">I", len(content) + 8) + name + content


def mp4_of_many_atoms(count: int = 1_000_000) -> bytes:
    """As many empty atoms as told where the tags are."""
    many = atom(b"ilst", atom(b"free") * count)
    return atom(b"ftyp", b"M4A \0\0\0\0") + atom(b"moov", atom(b"udta", atom(b"meta", bytes(4) + many)))


def mp4_of_nested_atoms(depth: int = 100_000) -> bytes:
    """Atoms each of which holds the next: a stack overflow for recursive readers."""
    inner = b"".join(struct.pack(">I", 8 * (depth - level)) + b"moov" for level in range(depth))
    return atom(b"ftyp", b"M4A \0\0\0\0") + inner


def ape_of_absurd_counts() -> bytes:
    """An APEv2 tag that claims 4 billion items, and an item that claims 4 GB."""
    item = struct.pack("<II", 0xFFFF_FFF0, 0) + b"Title\0x"
    footer = b"APETAGEX" + struct.pack("<IIII", 2000, len(item) + 32, 0xFFFF_FFFF, 0) + bytes(8)
    return mpeg_frames() + item + footer


def ape_of_many_items(count: int = 400_000) -> bytes:
    """An APEv2 tag that truly has so many items."""
    items = b"".join(struct.pack("<II", 1, 0) + b"k%d\0x" % number for number in range(count))
    footer = b"APETAGEX" + struct.pack("<IIII", 2000, len(items) + 32, count, 0) + bytes(8)
    return mpeg_frames() + items + footer


def ogg_page(body: bytes, lacing: bytes, sequence: int, flags: int = 0, serial: int = 1) -> bytes:
    """An Ogg page; its checksum is not counted."""
    head = struct.pack("<4sBBqIIiB", b"OggS", 0, flags, 0, serial, sequence, 0, len(lacing))
    return head + lacing + body


def _vorbis_head() -> bytes:
    head = b"\x01vorbis" + struct.pack("<IBIiiiB", 0, 2, 44_100, 0, 128_000, 0, 0xB8) + b"\x01"
    return ogg_page(head, bytes((len(head),)), 0, 2)


def ogg_of_endless_lacing(pages: int = 1_000) -> bytes:
    """A comment packet that goes on from page to page and never ends: 65 MB in 1,000 pages."""
    full = bytes(255 * 255)
    return _vorbis_head() + b"".join(
        ogg_page(full, b"\xff" * 255, number, 1 if number > 1 else 0) for number in range(1, pages + 1)
    )


def ogg_of_empty_pages(pages: int = 500_000) -> bytes:
    """Pages of another stream without content, for which the comments are waited for."""
    return _vorbis_head() + b"".join(ogg_page(b"", b"", number, 0, 2) for number in range(pages))


def ogg_of_countless_comments() -> bytes:
    """A Vorbis comment that claims 4 billion entries."""
    packet = b"\x03vorbis" + struct.pack("<II", 0, 0xFFFF_FFFF) + struct.pack("<I", 0xFFFF_FFFF) + b"TITLE=x"
    return _vorbis_head() + ogg_page(packet, bytes((len(packet),)), 1)


def _flac_block(kind: int, content: bytes, *, last: bool = False) -> bytes:
    return bytes((kind | (0x80 if last else 0),)) + len(content).to_bytes(3) + content


def _flac(*blocks: bytes) -> bytes:
    stream = struct.pack(">HH", 4096, 4096) + bytes(6)
    stream += (44_100 << 44 | 1 << 41 | 15 << 36 | 88_200).to_bytes(8) + bytes(16)
    return b"fLaC" + _flac_block(0, stream) + b"".join(blocks) + _flac_block(1, b"", last=True) + bytes(1000)


def flac_of_many_blocks(count: int = 1_000_000) -> bytes:
    """So many empty metadata blocks."""
    return _flac(_flac_block(2, b"") * count)


def flac_of_a_giant_picture() -> bytes:
    """A picture that claims 4 GB in a block of 16 MB, which are there."""
    picture = struct.pack(">III", 3, 0, 0) + bytes(16) + struct.pack(">I", 0xFFFF_FFFF)
    return _flac(_flac_block(6, picture + bytes((1 << 24) - 1 - len(picture))))


def flac_of_countless_comments() -> bytes:
    """Empty Vorbis comments, 4 billion claimed, as many as 16 MB hold there."""
    comments = struct.pack("<II", 0, 0xFFFF_FFFF) + bytes((1 << 24) - 9)
    return _flac(_flac_block(4, comments))


def _asf(*objects: bytes, count: int | None = None) -> bytes:
    body = b"".join(objects)
    number = len(objects) if count is None else count
    return _ASF_HEADER + struct.pack("<QIBB", 30 + len(body), number, 1, 2) + body


def asf_of_empty_objects() -> bytes:
    """Objects of size 0, 4 billion of them: a reader that goes on by the size never comes to an end."""
    return _asf(_ASF_CONTENT + bytes(8), bytes(1000), count=0xFFFF_FFFF)


def asf_of_nested_objects(size: int = 200_000) -> bytes:
    """A header extension that is full of objects of size 0."""
    inner = (_ASF_CONTENT + bytes(8)) * size
    extension = _ASF_EXTENSION + struct.pack("<Q", 46 + len(inner)) + bytes(18)
    return _asf(extension + struct.pack("<I", len(inner)) + inner)


def asf_of_many_values(count: int = 65_535) -> bytes:
    """As many values as the format can count, all of one name."""
    name = "Title".encode("utf-16-le")
    value = struct.pack("<H", len(name)) + name + struct.pack("<HH", 0, 2) + b"x\0"
    content = struct.pack("<H", count) + value * count
    return _asf(_ASF_CONTENT + struct.pack("<Q", 24 + len(content)) + content)


def matroska_of_many_elements(count: int = 1_000_000) -> bytes:
    """So many empty tags; two bytes each."""
    head = bytes.fromhex("1a45dfa3 8b 4282 88") + b"matroska"
    tags = bytes.fromhex("1254c367") + (3 * count | 1 << 56).to_bytes(8) + bytes.fromhex("7373 80") * count
    return head + bytes.fromhex("18538067 ff") + tags


BOMBS: Final[Mapping[str, tuple[str, Callable[[], bytes]]]] = {
    "ID3 frame of 900 MB, compressed": ("mp3", lambda: bomb_mp3(900)),
    "ID3 tag of 300,000 frames": ("mp3", lambda: slow_mp3(300_000)),
    "ID3 tag of 250 MB that is not there": (
        "mp3",
        lambda: b"ID3\x03\x00\x00\x7f\x7f\x7f\x7f" + mpeg_frames(),
    ),
    "APEv2 tag of 4 billion items, one of 4 GB": ("mp3", ape_of_absurd_counts),
    "APEv2 tag of 400,000 items": ("mp3", ape_of_many_items),
    "WAV of a million chunks": ("wav", lambda: wav(chunk(b"junk", b"") * 1_000_000)),
    "MP4 of a million atoms": ("m4a", mp4_of_many_atoms),
    "MP4 of 100,000 nested atoms": ("m4a", mp4_of_nested_atoms),
    "Ogg with a comment of 65 MB over 1,000 pages, without an end": ("ogg", ogg_of_endless_lacing),
    "Ogg of 500,000 empty pages": ("ogg", ogg_of_empty_pages),
    "Vorbis comment of 2³²-1 entries, one of 4 GB": ("ogg", ogg_of_countless_comments),
    "FLAC of a million blocks": ("flac", flac_of_many_blocks),
    "FLAC picture of 4 GB in a block of 16 MB": ("flac", flac_of_a_giant_picture),
    "FLAC comment of 4 million empty entries": ("flac", flac_of_countless_comments),
    "ASF of 4 billion objects of size 0": ("wma", asf_of_empty_objects),
    "ASF extension of 200,000 objects of size 0": ("wma", asf_of_nested_objects),
    "ASF of 65,535 values": ("wma", asf_of_many_values),
    "Matroska of a million tags": ("mka", matroska_of_many_elements),
    "ID3 bomb in a WAV chunk": ("wav", lambda: wav(chunk(b"id3 ", bomb_mp3(300)))),
}
"""What it is → the extension that it bears, and its bytes."""
