"""`python -m file_watcher.demo FOLDER`: a small library of tones to watch when there is no music at hand.

Made with the standard library alone, so that it works before anything else is configured. No thread.
"""

from __future__ import annotations

import array
import io
import math
import struct
import sys
import wave
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from file_watcher.errors import UsageError

SAMPLE_RATE = 22_050
"""Hz; half of a compact disc's rate is plenty for tones below 1 kHz."""
SECONDS = 1.0
_FADE_SECONDS = 0.02
"""A tone that begins or ends at full level clicks."""
_AMPLITUDE = 0.4 * 32_767


@dataclass(frozen=True, slots=True)
class Track:
    """One tone of the library. `frequency` in Hz."""

    artist: str
    album: str
    number: int
    title: str
    frequency: float
    year: str

    @property
    def path(self) -> Path:
        """Where the track lies below the library: artist/album/track."""
        return Path(self.artist) / self.album / f"{self.number:02d} {self.title}.wav"

    @property
    def info(self) -> dict[bytes, str]:
        """The track's tags by their names in a RIFF INFO list."""
        return {
            b"INAM": self.title,
            b"IART": self.artist,
            b"IPRD": self.album,
            b"ICRD": self.year,
            b"IGNR": "Test Tone",
            b"IPRT": str(self.number),
        }


TRACKS = (
    Track("Pitch Pipe", "Standard Pitch", 1, "Concert A", 440.0, "1939"),
    Track("Pitch Pipe", "Standard Pitch", 2, "Middle C", 261.63, "1939"),
    Track("Pitch Pipe", "Open Strings", 1, "Violin G", 196.0, "1950"),
    Track("Pitch Pipe", "Open Strings", 2, "Violin E", 659.26, "1950"),
    Track("Mains Hum", "Fifty and Sixty", 1, "Europe", 50.0, "1891"),
    Track("Mains Hum", "Fifty and Sixty", 2, "America", 60.0, "1891"),
)


def make_library(folder: Path, tracks: Sequence[Track] = TRACKS) -> list[Path]:
    """Write the tracks that are not there yet below `folder`; returns the files that were written.

    A file that is there is left as it is, whatever it holds. Raises OSError where the disk refuses.
    """
    return [folder / track.path for track in tracks if _write_new(folder / track.path, track)]


def tone(frequency: float, info: Mapping[bytes, str], seconds: float = SECONDS) -> bytes:
    """A mono 16-bit WAV file of a sine at `frequency` Hz, with a RIFF LIST INFO chunk of tags."""
    samples = array.array("h", (_sample(n, frequency, seconds) for n in range(round(seconds * SAMPLE_RATE))))
    if sys.byteorder == "big":
        samples.byteswap()  # RIFF is little-endian everywhere
    target = io.BytesIO()
    with wave.open(target, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(SAMPLE_RATE)
        out.writeframes(samples.tobytes())
    body = target.getvalue()[8:] + _chunk(b"LIST", b"INFO" + b"".join(map(_info_chunk, info.items())))
    return _chunk(b"RIFF", body)


def main(arguments: Sequence[str]) -> int:
    """Make the library in the one folder that is named; 0, or 2 after one line that says what is wrong."""
    try:
        folder = _folder(arguments)
        written = make_library(folder)
    except UsageError as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    except OSError as problem:
        sys.stderr.write(f"cannot write the demo library: {problem}; name a folder that you may write to\n")
        return 2
    if written:
        sys.stdout.write(f"wrote {len(written)} tones into {folder}\n")
    return 0


def _folder(arguments: Sequence[str]) -> Path:
    if len(arguments) != 1:
        raise UsageError("usage: python -m file_watcher.demo FOLDER")
    folder = Path(arguments[0])
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; name one that does not exist yet, or an empty one")
    return folder


def _write_new(path: Path, track: Track) -> bool:
    """Write the track unless something of its name is there. A write that fails leaves no half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        out = path.open("xb")
    except FileExistsError:
        return False
    try:
        with out:
            out.write(tone(track.frequency, track.info))
    except BaseException:
        path.unlink()
        raise
    return True


def _sample(n: int, frequency: float, seconds: float) -> int:
    at = n / SAMPLE_RATE
    fade = min(1.0, at / _FADE_SECONDS, (seconds - at) / _FADE_SECONDS)
    return round(_AMPLITUDE * fade * math.sin(2 * math.pi * frequency * at))


def _info_chunk(item: tuple[bytes, str]) -> bytes:
    name, text = item
    return _chunk(name, text.encode() + b"\0")


def _chunk(name: bytes, body: bytes) -> bytes:
    """A RIFF chunk: name, length, body, and a byte that brings an odd length to an even place."""
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
