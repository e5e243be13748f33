"""The largest and the nastiest tags, from a file through the reader and the real message: never above 1 MiB."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from mutagen.flac import FLAC
from mutagen.id3 import ID3, TIT2, TXXX

from file_watcher.model import EventType, Previous
from file_watcher.processing.tags import clean
from file_watcher.publishing.message import BODY_LIMIT, encode_event
from tests.support.messages import PRINT, event, validated
from tests.support.tag_children import submit, tag_reader
from tests.support.tagged_media import FIELDS, ffmpeg_tone

NASTY = {
    "control characters, six bytes each in JSON": "\x01",
    "quotes": '"',
    "outside the basic plane": "\U0001f3b5",
    "right to left": "\u202e",
    "letters": "x",
}
LONG_PATH = b"/m" + b"/\x01\xff\x01" * 1000
"""Undecodable, so that it travels twice, and full of what JSON has to escape."""


@pytest.fixture(scope="module")
def tone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ffmpeg_tone(tmp_path_factory.mktemp("tone") / "tone.flac")


def told(path: Path) -> dict[str, Any]:
    with tag_reader() as reader:
        metadata = submit(reader, path).result(60)
    assert metadata is not None
    return dict(metadata)


def largest_body(metadata: dict[str, Any]) -> bytes:
    """Of the event that names most paths."""
    moved = event(
        EventType.MOVED,
        path=LONG_PATH,
        old_path=LONG_PATH,
        previous=Previous(LONG_PATH, PRINT),
        metadata=metadata,
    )
    return encode_event(moved, "i" * 255)


@pytest.mark.parametrize("kind", NASTY)
def test_all_fields_as_long_as_they_can_be_still_travel(tone: Path, kind: str) -> None:
    """The caps of the reader leave a message that need not be cut: what fits of the tags arrives."""
    tagged = FLAC(tone)
    tagged.delete()
    for name in FIELDS:
        tagged[name] = "2021" + NASTY[kind] * 100_000
    tagged.save()
    metadata = told(tone)
    assert metadata["truncated"] is True
    assert sum(map(len, metadata["tags"].values())) <= clean.MAX_TOTAL_LENGTH
    body = largest_body(metadata)
    document = validated(body)
    assert len(body) < BODY_LIMIT
    assert document["metadata"]["tags"] == metadata["tags"]
    assert len(metadata["tags"]) >= clean.MAX_TOTAL_LENGTH // clean.MAX_VALUE_LENGTH


def test_thousands_of_fields_that_nobody_knows_and_values_without_end_do_not_travel(tmp_path: Path) -> None:
    path = ffmpeg_tone(tmp_path / "tone.mp3")
    tag = ID3()
    tag.add(TIT2(encoding=3, text=["y" * 5_000_000, "never told"]))
    for number in range(5_000):
        tag.add(TXXX(encoding=3, desc=f"field {number}", text="z" * 1_000))
    tag.save(path)
    metadata = told(path)
    assert metadata["tags"] == {"title": "y" * clean.MAX_VALUE_LENGTH}
    assert metadata["truncated"] is True
    assert len(largest_body(metadata)) < BODY_LIMIT


def test_what_a_reader_may_say_at_most_fits_into_a_message() -> None:
    """The arithmetic behind the caps, with the most expensive character in every place."""
    names = (f"name{number}" for number in itertools.count())
    pairs = [(next(names), "\x01" * clean.MAX_VALUE_LENGTH) for _ in range(100)]
    tags, truncated = clean.tags(pairs)
    assert truncated
    body = largest_body({"tags": tags, "truncated": True, "error": "\x01" * 500})
    assert len(body) < BODY_LIMIT
    assert json.loads(body)["metadata"]["tags"] == tags
