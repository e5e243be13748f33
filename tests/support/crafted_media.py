"""Small media files built byte by byte: for what an encoder would never write, and where speed counts."""

from __future__ import annotations

import struct
import zlib

_COMPRESSED = 0x0080
"""Flag of an ID3v2.3 frame."""


def mpeg_frames(count: int = 40) -> bytes:
    """Silent MPEG-1 layer 3 frames of 128 kbit/s, 44.1 kHz, two channels: 26.1 ms each."""
    frame = bytes((0xFF, 0xFB, 0x90, 0x64)) + bytes(413)
    return frame * count


def id3(*frames: bytes) -> bytes:
    """An ID3v2.3 tag."""
    body = b"".join(frames)
    size = len(body)
    return b"ID3\x03\x00\x00" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + body


def text_frame(name: str, text: str) -> bytes:
    """A text frame in UTF-16."""
    content = b"\x01" + text.encode("utf-16")
    return _frame(name, content)


def user_frame(description: str, text: str) -> bytes:
    """A TXXX frame in Latin-1."""
    return _frame("TXXX", b"\x00" + description.encode("latin-1") + b"\x00" + text.encode("latin-1"))


def _frame(name: str, content: bytes, flags: int = 0) -> bytes:
    return name.encode() + struct.pack(">IH", len(content), flags) + content


def slow_mp3(frames: int) -> bytes:
    """A file whose tag takes mutagen long: the time grows with the square (100,000 frames: 1 to 2 s)."""
    return id3(_frame("TIT2", b"\x00a") * frames) + mpeg_frames()


def bomb_mp3(megabytes: int, *more: bytes) -> bytes:
    """A file whose title is that big when it is decompressed; more frames follow."""
    packer = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    # Repeated rather than made: Adler-32 of n zeros has 1 in its lower half, and n in its upper one.
    checksum = ((megabytes << 20) % 65_521) << 16 | 1
    packed = b"\x78\x01" + block * megabytes + packer.flush() + struct.pack(">I", checksum)
    content = struct.pack(">I", megabytes << 20) + packed
    return id3(_frame("TIT2", content, _COMPRESSED), *more) + mpeg_frames()


def compressed_mp3(packed: bytes, *more: bytes) -> bytes:
    """A file whose first frame is compressed."""
    content = packed[10:]
    body = struct.pack(">I", len(content)) + zlib.compress(content)
    return id3(_frame(packed[:4].decode("ascii"), body, _COMPRESSED), *more) + mpeg_frames()


def greedy_flac() -> bytes:
    """A small file whose picture claims 4 GB: its reader asks for that much memory at once."""
    stream = struct.pack(">HH", 4096, 4096) + bytes(6)
    stream += (44_100 << 44 | 1 << 41 | 15 << 36 | 88_200).to_bytes(8) + bytes(16)
    picture = struct.pack(">III", 3, 0, 0) + bytes(16) + b"\xff\xff\xff\xff" + bytes(1000)
    blocks = ((0, stream), (0x86, picture))
    return b"fLaC" + b"".join(bytes((kind,)) + len(block).to_bytes(3) + block for kind, block in blocks)


def chunk(name: bytes, content: bytes) -> bytes:
    """A RIFF chunk, padded to an even size."""
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) & 1)


def wav(*chunks: bytes, seconds: float = 1.0, rate: int = 8000) -> bytes:
    """A WAV file of 16-bit mono silence; more chunks stand behind the sound."""
    sound = bytes(int(seconds * rate) * 2)
    form = struct.pack("<HHIIHH", 1, 1, rate, rate * 2, 2, 16)
    body = b"WAVE" + chunk(b"fmt ", form) + chunk(b"data", sound) + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def info_list(**values: bytes) -> bytes:
    """A LIST INFO chunk, e.g. `info_list(INAM=b"Title")`."""
    return chunk(b"LIST", b"INFO" + b"".join(chunk(name.encode(), value) for name, value in values.items()))
