"""Real media files: one short tone per extension, encoded and tagged by ffmpeg."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.support.processes import ServerMissing

SOUNDS = Path("/usr/share/sounds/freedesktop/stereo")
"""Debian's sound-theme-freedesktop: small Ogg Vorbis files that another encoder made."""

TAGS = {
    "artist": "The Tones",
    "album": "Sines",
    "album_artist": "Various Tones",
    "date": "2021",
    "genre": "Test",
    "track": "3/12",
    "disc": "1/2",
}
"""What every file is tagged with, in ffmpeg's names; the title is "Tone <extension>"."""

_MP4 = ("-c:a", "aac", "-f", "mp4")
ENCODINGS: dict[str, tuple[str, ...]] = {
    "mp3": ("-c:a", "libmp3lame", "-f", "mp3"),
    "flac": ("-c:a", "flac", "-f", "flac"),
    "wav": ("-c:a", "pcm_s16le", "-f", "wav"),
    "wave": ("-c:a", "pcm_s16le", "-f", "wav"),
    "ogg": ("-c:a", "libvorbis", "-f", "ogg"),
    "oga": ("-c:a", "flac", "-f", "oga"),
    "aac": ("-c:a", "aac", "-write_id3v2", "1", "-f", "adts"),
    "opus": ("-c:a", "libopus", "-f", "opus"),
    "m4a": ("-c:a", "aac", "-f", "ipod"),
    "m4b": _MP4,
    "m4p": _MP4,
    "m4v": _MP4,
    "m4r": _MP4,
    "mp4": _MP4,
    "wma": ("-c:a", "wmav2", "-f", "asf"),
}
"""Extension → ffmpeg's output options. Together they are the patterns that are watched by default."""


def ffmpeg() -> str:
    """The program. Raises ServerMissing where it is not installed."""
    program = shutil.which("ffmpeg")
    if program is None:
        raise ServerMissing("ffmpeg is missing: run `make test-servers`, or apt-get install ffmpeg")
    return program


def make_tones(folder: Path, seconds: float = 1.0) -> list[Path]:
    """Write `tone.<extension>` for every extension in one run of ffmpeg; no two have the same bytes."""
    source = f"sine=frequency=440:sample_rate=44100:duration={seconds}"
    command = [ffmpeg(), "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", source]
    paths = []
    for extension, encoding in ENCODINGS.items():
        path = folder / f"tone.{extension}"
        tags = {"title": f"Tone {extension}", **TAGS}
        command += ["-ac", "2", *encoding]
        command += [part for key, value in tags.items() for part in ("-metadata", f"{key}={value}")]
        command.append(str(path))
        paths.append(path)
    subprocess.run(command, check=True, timeout=120)
    return paths


def real_sounds(count: int = 5) -> list[Path]:
    """The first `count` regular files of Debian's sound theme, by name."""
    sounds = sorted(path for path in SOUNDS.glob("*.oga") if not path.is_symlink())
    if len(sounds) < count:
        raise ServerMissing(
            f"{SOUNDS} lacks sounds: run `make test-servers`, or apt-get install sound-theme-freedesktop"
        )
    return sounds[:count]
