"""Files that end the children which read them, through the real children."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from tests.support.crafted_media import greedy_flac, id3, mpeg_frames, slow_mp3, text_frame
from tests.support.tag_children import submit, tag_reader
from tests.support.waiting import wait_for

PATIENCE = 60.0


def test_a_file_that_ended_two_children_is_not_tried_again_until_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "slow.mp3"
    path.write_bytes(slow_mp3(300_000))
    with tag_reader(timeout=0.3) as reader, capture_logs() as logs:
        first = submit(reader, path).result(PATIENCE)
        assert first is not None
        assert "took longer than 0.3 s" in first["error"]
        deaths = ended(logs)
        assert len(deaths) == 2
        assert submit(reader, path).result(PATIENCE) == first
        assert ended(logs) == deaths, "it was tried again"
        path.write_bytes(id3(text_frame("TIT2", "mended")) + mpeg_frames())
        mended = submit(reader, path).result(PATIENCE)
    assert mended is not None
    assert mended["tags"] == {"title": "mended"}


def test_a_file_that_needs_too_much_memory_is_tried_once_more_in_another_child(tmp_path: Path) -> None:
    """The files before it may have left the first one little."""
    path = tmp_path / "greedy.flac"
    path.write_bytes(greedy_flac())
    with tag_reader(memory=200_000_000) as reader, capture_logs() as logs:
        metadata = submit(reader, path).result(PATIENCE)
        assert metadata is not None
        assert "more memory than the 200 MB" in metadata["error"]
        wait_for(lambda: len(ended(logs)) == 2, "the end of the second child, too")
    told = [each for each in logs if each["event"] == "tags_unreadable"]
    assert len(told) == 1


def ended(logs: Sequence[MutableMapping[str, Any]]) -> list[MutableMapping[str, Any]]:
    return [each for each in logs if each["event"] == "tag_child_ended"]
