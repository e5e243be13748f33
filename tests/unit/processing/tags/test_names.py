from __future__ import annotations

import pytest

from file_watcher.processing.tags.names import published_name


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("TITLE", "title"),
        ("Album Artist", "albumartist"),
        ("album_artist", "albumartist"),
        ("WM/AlbumArtist", "albumartist"),
        ("TRACKNUMBER", "track"),
        ("Track", "track"),
        ("TOTALTRACKS", "tracktotal"),
        ("DISCNUMBER", "disc"),
        ("WM/PartOfSet", "disc"),
        ("Author", "artist"),
        ("Year", "date"),
        ("WM/Year", "date"),
        ("TCMP", "compilation"),
        ("REPLAYGAIN_TRACK_GAIN", "replaygain_track_gain"),
        ("R128_TRACK_GAIN", "r128_track_gain"),
        ("MusicBrainz/Original Artist Id", "musicbrainz_originalartistid"),
        ("MusicBrainz Album Id", "musicbrainz_albumid"),
        ("MUSICBRAINZ_ALBUMID", "musicbrainz_albumid"),
        ("MusicBrainz/Release Group Id", "musicbrainz_releasegroupid"),
        ("METADATA_BLOCK_PICTURE", None),
        ("WM/Picture", None),
        ("", None),
    ],
)
def test_keys_of_all_writers_lead_to_one_name(key: str, name: str | None) -> None:
    assert published_name(key) == name
