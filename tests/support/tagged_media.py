"""Real files of every extension with every field that is published, tagged by ffmpeg and by mutagen.

mutagen writes each format's own fields as MusicBrainz Picard documents them; ffmpeg is given its generic names
and writes what its muxers make of them.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from mutagen import id3
from mutagen.asf import ASF, ASFBoolAttribute
from mutagen.flac import FLAC
from mutagen.mp4 import MP4, MP4FreeForm
from mutagen.oggflac import OggFLAC
from mutagen.oggopus import OggOpus
from mutagen.oggvorbis import OggVorbis
from mutagen.wave import WAVE

from tests.support.tones import ENCODINGS, ffmpeg

FIELDS: Final[Mapping[str, str]] = {
    "title": "Tür & Tor — 扉",
    "artist": "AC/DC; Friends",
    "album": "Sines, Vol. 1",
    "albumartist": "Various Tones",
    "composer": "J. Fourier",
    "date": "2021-05-01",
    "genre": "Neue Welle",
    "track": "3",
    "tracktotal": "12",
    "disc": "1",
    "disctotal": "2",
    "isrc": "DEA123456789",
    "compilation": "1",
    "bpm": "120",
    "musicbrainz_trackid": "00000000-0000-4000-8000-000000000001",
    "musicbrainz_albumid": "00000000-0000-4000-8000-000000000002",
    "musicbrainz_artistid": "00000000-0000-4000-8000-000000000003",
    "musicbrainz_albumartistid": "00000000-0000-4000-8000-000000000004",
    "musicbrainz_releasetrackid": "00000000-0000-4000-8000-000000000005",
    "musicbrainz_releasegroupid": "00000000-0000-4000-8000-000000000006",
    "musicbrainz_workid": "00000000-0000-4000-8000-000000000007",
    "musicbrainz_discid": "I5l9cCSFccLKFEKS.7wqSZAorPU-",
    "musicbrainz_originalalbumid": "00000000-0000-4000-8000-000000000008",
    "musicbrainz_originalartistid": "00000000-0000-4000-8000-000000000009",
    "replaygain_track_gain": "-7.52 dB",
    "replaygain_track_peak": "0.987654",
    "replaygain_track_range": "5.10 dB",
    "replaygain_album_gain": "-6.10 dB",
    "replaygain_album_peak": "1.000000",
    "replaygain_album_range": "9.30 dB",
    "replaygain_reference_loudness": "89.0 dB",
    "r128_track_gain": "-512",
    "r128_album_gain": "256",
}
"""Published names → values. Slashes, commas and semicolons are no separators."""

_PICARD: Final = {
    "musicbrainz_trackid": "MusicBrainz Track Id",
    "musicbrainz_albumid": "MusicBrainz Album Id",
    "musicbrainz_artistid": "MusicBrainz Artist Id",
    "musicbrainz_albumartistid": "MusicBrainz Album Artist Id",
    "musicbrainz_releasetrackid": "MusicBrainz Release Track Id",
    "musicbrainz_releasegroupid": "MusicBrainz Release Group Id",
    "musicbrainz_workid": "MusicBrainz Work Id",
    "musicbrainz_discid": "MusicBrainz Disc Id",
    "musicbrainz_originalalbumid": "MusicBrainz Original Album Id",
    "musicbrainz_originalartistid": "MusicBrainz Original Artist Id",
}
"""As ID3's TXXX frames and MP4's freeform atoms spell them."""
_LOUDNESS: Final = tuple(name for name in FIELDS if name.startswith(("replaygain", "r128")))

_ID3: Final = {
    "title": id3.TIT2,
    "artist": id3.TPE1,
    "album": id3.TALB,
    "albumartist": id3.TPE2,
    "composer": id3.TCOM,
    "date": id3.TDRC,
    "genre": id3.TCON,
    "isrc": id3.TSRC,
    "compilation": id3.TCMP,
    "bpm": id3.TBPM,
}
_MP4: Final = {
    "title": "\xa9nam",
    "artist": "\xa9ART",
    "album": "\xa9alb",
    "albumartist": "aART",
    "composer": "\xa9wrt",
    "date": "\xa9day",
    "genre": "\xa9gen",
}
_ASF: Final = {
    "title": "Title",
    "artist": "Author",
    "album": "WM/AlbumTitle",
    "albumartist": "WM/AlbumArtist",
    "composer": "WM/Composer",
    "date": "WM/Year",
    "genre": "WM/Genre",
    "isrc": "WM/ISRC",
    "bpm": "WM/BeatsPerMinute",
}
_COMMENTS: Final = {"track": "TRACKNUMBER", "disc": "DISCNUMBER"}


def _generic_names() -> dict[str, str]:
    """What ffmpeg is given: it has one name for each number and its total."""
    pairs = {
        "track": f"{FIELDS['track']}/{FIELDS['tracktotal']}",
        "disc": f"{FIELDS['disc']}/{FIELDS['disctotal']}",
    }
    others = {name: value for name, value in FIELDS.items() if not name.endswith("total")}
    others["album_artist"] = others.pop("albumartist")
    return {**others, **pairs}


def make_tagged(folder: Path) -> dict[tuple[str, str], Path]:
    """Writer ("ffmpeg" or "mutagen") and extension → a file that the writer has given all fields."""
    made: dict[tuple[str, str], Path] = {}
    command = [
        ffmpeg(),
        "-nostdin",
        "-loglevel",
        "error",
        "-f",
        "lavfi",
        "-i",
        "sine=sample_rate=44100:duration=1",
    ]
    for writer in ("ffmpeg", "mutagen"):
        (folder / writer).mkdir()
        for extension, encoding in ENCODINGS.items():
            path = made[writer, extension] = folder / writer / f"tagged.{extension}"
            tags = _generic_names() if writer == "ffmpeg" else {}
            command += ["-map_metadata", "-1", *encoding]
            command += [part for key, value in tags.items() for part in ("-metadata", f"{key}={value}")]
            command.append(str(path))
    subprocess.run(command, check=True, timeout=120)
    for extension in ENCODINGS:
        _WRITERS[extension](made["mutagen", extension])
    return made


def ffmpeg_tone(path: Path) -> Path:
    """A second of sound without tags, as the extension says."""
    encoding = ENCODINGS[path.suffix.removeprefix(".")]
    command = [ffmpeg(), "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", "sine=duration=1"]
    subprocess.run([*command, "-map_metadata", "-1", *encoding, str(path)], check=True, timeout=60)
    return path


def _id3_frames() -> id3.ID3:
    tag = id3.ID3()
    for name, frame in _ID3.items():
        tag.add(frame(encoding=3, text=FIELDS[name]))
    tag.add(id3.TRCK(encoding=3, text=f"{FIELDS['track']}/{FIELDS['tracktotal']}"))
    tag.add(id3.TPOS(encoding=3, text=f"{FIELDS['disc']}/{FIELDS['disctotal']}"))
    tag.add(id3.UFID(owner="http://musicbrainz.org", data=FIELDS["musicbrainz_trackid"].encode()))
    for name, spelling in _PICARD.items():
        if name != "musicbrainz_trackid":
            tag.add(id3.TXXX(encoding=3, desc=spelling, text=FIELDS[name]))
    for name in _LOUDNESS:
        tag.add(id3.TXXX(encoding=3, desc=name.upper(), text=FIELDS[name]))
    return tag


def _write_id3(path: Path) -> None:
    _id3_frames().save(path)


def _write_wave(path: Path) -> None:
    wave = WAVE(path)
    wave.add_tags()
    for frame in _id3_frames().values():
        wave.tags.add(frame)
    wave.save()


def _write_comments(parser: Callable[[Path], Any]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        parsed = parser(path)
        for name, value in FIELDS.items():
            parsed[_COMMENTS.get(name, name.upper())] = value
        parsed.save()

    return write


def _write_mp4(path: Path) -> None:
    parsed = MP4(path)
    for name, key in _MP4.items():
        parsed[key] = FIELDS[name]
    parsed["trkn"] = [(int(FIELDS["track"]), int(FIELDS["tracktotal"]))]
    parsed["disk"] = [(int(FIELDS["disc"]), int(FIELDS["disctotal"]))]
    parsed["cpil"], parsed["tmpo"] = True, [int(FIELDS["bpm"])]
    spellings = {**_PICARD, **{name: name for name in _LOUDNESS}, "isrc": "ISRC"}
    for name, spelling in spellings.items():
        parsed[f"----:com.apple.iTunes:{spelling}"] = MP4FreeForm(FIELDS[name].encode())
    parsed.save()


def _write_asf(path: Path) -> None:
    parsed = ASF(path)
    for name, key in _ASF.items():
        parsed[key] = FIELDS[name]
    parsed["WM/TrackNumber"] = f"{FIELDS['track']}/{FIELDS['tracktotal']}"
    parsed["WM/PartOfSet"] = f"{FIELDS['disc']}/{FIELDS['disctotal']}"
    parsed["WM/IsCompilation"] = ASFBoolAttribute(value=True)
    for name, spelling in _PICARD.items():
        parsed[spelling.replace(" ", "/", 1)] = FIELDS[name]
    for name in _LOUDNESS:
        parsed[name] = FIELDS[name]
    parsed.save()


_WRITERS: Final[Mapping[str, Callable[[Path], None]]] = {
    "mp3": _write_id3,
    "aac": _write_id3,
    "wav": _write_wave,
    "wave": _write_wave,
    "flac": _write_comments(FLAC),
    "ogg": _write_comments(OggVorbis),
    "oga": _write_comments(OggFLAC),
    "opus": _write_comments(OggOpus),
    **dict.fromkeys(("m4a", "m4b", "m4p", "m4v", "m4r", "mp4"), _write_mp4),
    "wma": _write_asf,
}
