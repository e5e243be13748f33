"""Crafted files through the product's own tag reader: each is answered, within its limits, and harms no other.

`python -m tests.tag_bombs` prints what each costs with the default limits.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from file_watcher.publishing.message import BODY_LIMIT, encode_event
from tests.support.bombs import BOMBS
from tests.support.crafted_media import id3, mpeg_frames, text_frame
from tests.support.messages import event, validated
from tests.support.tag_children import submit, tag_reader
from tests.tag_bombs import PeakMemory

MEMORY = 256 << 20
SECONDS = 1.0
"""Less than the default, so that the test is quick; a real file needs a few milliseconds."""

TOLD: dict[str, dict[str, Any]] = {
    "ID3 frame of 900 MB, compressed": {"sample_rate": 44_100, "format": "audio/mpeg", "tags": {}},
    "ID3 bomb in a WAV chunk": {"duration": 1.0, "format": "audio/wav", "tags": {}},
    "APEv2 tag of 4 billion items, one of 4 GB": {"duration": 1.045, "format": "audio/mpeg"},
    "WAV of a million chunks": {"duration": 1.0, "format": "audio/wav"},
    "MP4 of 100,000 nested atoms": {"format": "audio/mp4"},
    "Ogg of 500,000 empty pages": {"format": "audio/ogg"},
    "ASF of 65,535 values": {"tags": {"title": "x"}},
}
"""What is known all the same, where it does not depend on how fast the machine is."""


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_crafted_file_is_answered_within_its_limits_and_harms_no_other(tmp_path: Path, bomb: str) -> None:
    extension, make = BOMBS[bomb]
    path, innocent = tmp_path / f"bomb.{extension}", tmp_path / "innocent.mp3"
    path.write_bytes(make())
    innocent.write_bytes(id3(text_frame("TIT2", "Innocent")) + mpeg_frames())
    seconds = 30.0 if bomb in TOLD else SECONDS
    with tag_reader(memory=MEMORY, timeout=seconds) as reader, PeakMemory() as peak:
        futures = [submit(reader, each) for each in (path, innocent)]
        crafted, other = (future.result(120) for future in futures)
    assert crafted is not None
    assert other is not None
    assert other["tags"] == {"title": "Innocent"}
    assert "error" in crafted or crafted["format"]
    known = TOLD.get(bomb, {})
    assert {key: crafted.get(key) for key in known} == known
    assert 0 < peak.highest <= MEMORY
    body = encode_event(event(metadata=json.loads(json.dumps(crafted, allow_nan=False))), "abc12345")
    validated(body)
    assert len(body) < BODY_LIMIT
