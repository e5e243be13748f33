"""What each format calls the tags that are published.

The published names are those of Vorbis comments with `track` and `disc` for the numbers; the mapping
follows the tables that MusicBrainz Picard documents. Names that are not listed here do not travel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

MUSICBRAINZ: Final = (
    "musicbrainz_trackid",
    "musicbrainz_albumid",
    "musicbrainz_artistid",
    "musicbrainz_albumartistid",
    "musicbrainz_releasetrackid",
    "musicbrainz_releasegroupid",
    "musicbrainz_workid",
    "musicbrainz_discid",
    "musicbrainz_originalalbumid",
    "musicbrainz_originalartistid",
)
"""As they are called in files: `musicbrainz_trackid` is the recording, `musicbrainz_releasetrackid` the track."""

LOUDNESS: Final = (
    "replaygain_track_gain",
    "replaygain_track_peak",
    "replaygain_track_range",
    "replaygain_album_gain",
    "replaygain_album_peak",
    "replaygain_album_range",
    "replaygain_reference_loudness",
    "r128_track_gain",
    "r128_album_gain",
)
"""The last two are those of Opus, in units of 1/256 dB (RFC 7845, section 5.2.1)."""

ID3_FRAMES: Final = {
    "TIT2": "title",
    "TPE1": "artist",
    "TALB": "album",
    "TPE2": "albumartist",
    "TDRC": "date",
    "TCON": "genre",
    "TRCK": "track",
    "TPOS": "disc",
    "TCOM": "composer",
    "TSRC": "isrc",
    "TCMP": "compilation",
    "TBPM": "bpm",
}
"""Text frames after mutagen has turned ID3v2.2 and 2.3 into 2.4."""

MUSICBRAINZ_UFID: Final = "UFID:http://musicbrainz.org"

MP4_ATOMS: Final = {
    "\xa9nam": "title",
    "\xa9ART": "artist",
    "\xa9alb": "album",
    "aART": "albumartist",
    "\xa9day": "date",
    "\xa9gen": "genre",
    "\xa9wrt": "composer",
}
"""Atoms that hold text; numbers and freeform atoms are read by `extract`."""

MP4_PAIRS: Final = {"trkn": ("track", "tracktotal"), "disk": ("disc", "disctotal")}

RIFF_INFO: Final = {
    b"INAM": "title",
    b"IART": "artist",
    b"IPRD": "album",
    b"ICRD": "date",
    b"IGNR": "genre",
    b"IPRT": "track",
    b"ITRK": "track",
    b"IMUS": "composer",
}

_KEYS: Final = {
    **{name: name for name in ID3_FRAMES.values()},
    **{name.replace("_", ""): name for name in (*MUSICBRAINZ, *LOUDNESS)},
    "year": "date",
    # ffmpeg puts this frame's name into a TXXX of ID3
    "tcmp": "compilation",
    "tracknumber": "track",
    "tracktotal": "tracktotal",
    "totaltracks": "tracktotal",
    "discnumber": "disc",
    "disctotal": "disctotal",
    "totaldiscs": "disctotal",
    # ASF: Content Description Object, then the WM/ attributes
    "author": "artist",
    "wmalbumtitle": "album",
    "wmalbumartist": "albumartist",
    "wmyear": "date",
    "wmgenre": "genre",
    "wmtracknumber": "track",
    "wmpartofset": "disc",
    "wmcomposer": "composer",
    "wmisrc": "isrc",
    "wmiscompilation": "compilation",
    "wmbeatsperminute": "bpm",
}
_SEPARATORS: Final = str.maketrans("", "", " _-/")


@lru_cache(maxsize=1024)
def published_name(key: str) -> str | None:
    """The published name of a key of Vorbis comments, APEv2, ASF or a freeform field; None if not wanted.

    Writers differ in case and separators only: `Album Artist`, `album_artist`, `MusicBrainz/Album Id`.
    """
    return _KEYS.get(key.translate(_SEPARATORS).lower())


def named(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Those of the pairs that are wanted, under their published names."""
    for key, value in pairs:
        name = published_name(key)
        if name is not None:
            yield name, value
