"""Files to import: real media that ffmpeg made, each copy with tags and so with content of its own.

The originals are made once and kept in the system's temporary folder.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from io import BytesIO
from itertools import cycle
from pathlib import Path
from typing import Final

import mutagen
from mutagen.id3 import ID3, TALB, TDRC, TIT2, TPE1

from tests.support.processes import ServerMissing

_ENCODINGS: Final = {
    "mp3": ("-c:a", "libmp3lame", "-b:a", "192k"),
    "flac": ("-c:a", "flac"),
    "ogg": ("-c:a", "libvorbis", "-b:a", "192k", "-minrate", "192k", "-maxrate", "192k"),
    "m4a": ("-c:a", "aac", "-b:a", "192k", "-f", "ipod"),
}
_BYTES_PER_SECOND: Final = {"mp3": 24_000, "flac": 123_000, "ogg": 22_500, "m4a": 25_000}
"""What these encoders make of a second of pink noise; noise, so that no encoder shrinks it to nothing."""
_PER_FOLDER: Final = 20
_RECORDING_BYTES: Final = 700_000
_MP3_FRAMES_FROM: Final = 20_000
_MP3_FRAMES_TO: Final = 600_000
"""Of the recording: behind tags and the frame that tells its length, before what comes last."""


def media_library(root: Path, count: int, size: int) -> list[Path]:
    """`count` tagged files of about `size` bytes: mp3, flac, ogg and m4a in turn, 20 in each folder."""
    originals = cycle(_originals(size))
    paths = []
    for number in range(count):
        original = next(originals)
        folder = root / f"Artist {number // 200:03d}" / f"Album {number // _PER_FOLDER:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{number:05d} Song{original.suffix}"
        shutil.copyfile(original, path)
        _tag(path, number)
        paths.append(path)
    return paths


def sized_library(root: Path, count: int, size: int) -> list[Path]:
    """`count` tagged MP3 files of exactly `size` bytes (at least 4 KiB), 20 in each folder.

    The frames of one recording are repeated: a stream of constant bit rate, whatever its length.
    """
    recording = _originals(_RECORDING_BYTES)[0].read_bytes()
    frames = recording[_MP3_FRAMES_FROM:_MP3_FRAMES_TO]
    sound = (frames * (size // len(frames) + 1))[:size]
    paths = []
    for number in range(count):
        folder = root / f"Album {number // _PER_FOLDER:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{number:05d} Song.mp3"
        tags = _id3(number)
        path.write_bytes(tags + sound[: size - len(tags)])
        paths.append(path)
    return paths


def json_library(root: Path, count: int) -> list[Path]:
    """`count` small JSON files of a few hundred bytes, 20 in each folder."""
    paths = []
    for number in range(count):
        folder = root / f"{number // 400:03d}" / f"{number // _PER_FOLDER:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"node-{number:05d}.json"
        node = {"number": number, "children": [{"kind": "leaf", "value": number * 7 + i} for i in range(8)]}
        path.write_text(json.dumps(node, indent=1))
        paths.append(path)
    return paths


def tiny_library(root: Path, count: int) -> None:
    """Many JSON files of a few bytes, 20 in each folder, 100 folders in each of those above; no list is kept."""
    for number in range(0, count, _PER_FOLDER):
        folder = root / f"{number // (100 * _PER_FOLDER):03d}" / f"{number // _PER_FOLDER:05d}"
        folder.mkdir(parents=True)
        for index in range(number, min(number + _PER_FOLDER, count)):
            (folder / f"{index:06d}.json").write_text(f"[{index}]")


def plain_library(root: Path, folders: int, per_folder: int) -> list[bytes]:
    """Many files of a few bytes; returns their paths in the order of their bytes."""
    paths = []
    for number in range(folders):
        folder = os.fsencode(root) + b"/%02d/%04d" % (number // 100, number)
        os.makedirs(folder)
        for index in range(per_folder):
            path = folder + b"/%06d.mp3" % (number * per_folder + index)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            os.write(descriptor, b"%06d" % index)
            os.close(descriptor)
            paths.append(path)
    return sorted(paths)


def _originals(size: int) -> list[Path]:
    cache = Path(tempfile.gettempdir()) / f"file-watcher-benchmark-media-{os.getuid()}"
    cache.mkdir(mode=0o700, exist_ok=True)
    return [_original(cache, extension, size) for extension in _ENCODINGS]


def _original(cache: Path, extension: str, size: int) -> Path:
    path = cache / f"{size}.{extension}"
    if path.exists():
        return path
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        raise ServerMissing("ffmpeg is missing: run `make test-servers`, or apt-get install ffmpeg")
    seconds = size / _BYTES_PER_SECOND[extension]
    source = f"anoisesrc=color=pink:sample_rate=44100:amplitude=0.5:seed=1:duration={seconds:.2f}"
    draft = cache / f"draft-{os.getpid()}.{extension}"
    command = [ffmpeg, "-nostdin", "-y", "-loglevel", "error", "-f", "lavfi", "-i", source, "-ac", "2"]
    subprocess.run([*command, *_ENCODINGS[extension], str(draft)], check=True, timeout=300)
    _tag(draft, 0)
    draft.rename(path)
    return path


def _id3(number: int) -> bytes:
    """An ID3v2.4 tag, without padding."""
    tags = ID3()
    texts = {
        TIT2: f"Song {number:05d}",
        TPE1: "Artist",
        TALB: f"Album {number // _PER_FOLDER:04d}",
        TDRC: "2024",
    }
    for frame, text in texts.items():
        tags.add(frame(encoding=3, text=text))
    memory = BytesIO()
    tags.save(memory, padding=lambda _: 0)
    return memory.getvalue()


def _tag(path: Path, number: int) -> None:
    file = mutagen.File(path, easy=True)
    file["title"] = f"Song {number:05d}"
    file["artist"] = f"Artist {number // 200:03d}"
    file["album"] = f"Album {number // _PER_FOLDER:04d}"
    file["date"] = "2024-05-01"
    file["genre"] = "Noise"
    file["tracknumber"] = str(number % _PER_FOLDER + 1)
    file.save()
