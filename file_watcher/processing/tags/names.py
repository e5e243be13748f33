"""What each format calls the tags that are published.

The published names are those of Vorbis comments with `track` and `disc` for the numbers; the mapping
follows the tables that MusicBrainz Picard documents. Names that are not listed here do not travel.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

_MUSICBRAINZ: Final = (
    "musicbrainz_trackid",
    "musicbrainz_albumid",
    "musicbrainz_artistid",
    "musicbrainz_albumartistid",
    "musicbrainz_releasetrackid",
    "musicbrainz_releasegroupid",
    "musicbrainz_workid",
)

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
    **{name.replace("_", ""): name for name in _MUSICBRAINZ},
    "year": "date",
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
