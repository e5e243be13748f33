"""Every field that is published, in every format, written by ffmpeg and by mutagen, comes back as it was written.

What a writer or a format cannot hold is listed here, so that this fails both when something is lost and when it
begins to be held. `python -m tests.tag_table` prints the same as a table.
"""

from __future__ import annotations

import pytest

from file_watcher.processing.tags.names import ID3_FRAMES, LOUDNESS, MUSICBRAINZ
from tests.support.tagged_media import FIELDS
from tests.support.tones import ENCODINGS
from tests.tag_table import Told, read_back, rows

_RIFF_HOLDS = frozenset({"title", "artist", "album", "date", "genre", "track", "tracktotal"})
"""What ffmpeg writes into a WAV file: INFO chunks. mutagen writes ID3 into it, which holds all."""
_MP4_LACKS = frozenset({"isrc", "bpm", *MUSICBRAINZ, *LOUDNESS})
"""ffmpeg writes the atoms that Apple's players know, and no freeform ones."""

NOT_HELD: dict[tuple[str, str], frozenset[str]] = {
    **{("ffmpeg", extension): frozenset(FIELDS) - _RIFF_HOLDS for extension in ("wav", "wave")},
    **{("ffmpeg", extension): _MP4_LACKS for extension in ("m4a", "m4b", "m4p", "m4v", "m4r", "mp4")},
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return read_back(tmp_path_factory.mktemp("tagged"))


def test_every_field_that_is_published_is_in_the_table() -> None:
    published = {*ID3_FRAMES.values(), *MUSICBRAINZ, *LOUDNESS, "tracktotal", "disctotal"}
    assert FIELDS.keys() == published


@pytest.mark.parametrize("writer", ["ffmpeg", "mutagen"])
@pytest.mark.parametrize("extension", ENCODINGS)
def test_what_was_written_is_read(told: Told, writer: str, extension: str) -> None:
    missing = NOT_HELD.get((writer, extension), frozenset())
    assert told[writer, extension] == {name: value for name, value in FIELDS.items() if name not in missing}


def test_the_table_has_a_line_for_each_field_and_a_column_for_each_extension(told: Told) -> None:
    lines = rows(told)
    assert [line[0] for line in lines[2:]] == list(FIELDS)
    assert {len(line) for line in lines} == {1 + len(ENCODINGS)}
    assert lines[2][1:] == ["f m"] * len(ENCODINGS)
