"""A file whose tags end every process that reads them: told once with an error, and left alone until it changes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tests.support.consumer import Consumer
from tests.support.crafted_media import id3, mpeg_frames, slow_mp3, text_frame
from tests.support.rabbitmq import RabbitNode
from tests.support.service import ServiceProcess, running


def told(consumer: Consumer, path: Path) -> list[dict[str, Any]]:
    consumer.drain()
    return [each.body for each in consumer.events() if each.body["file_path"] == str(path)]


def test_a_file_that_ends_its_readers_is_not_tried_again_by_a_restart_but_when_it_changes(
    tmp_path: Path, rabbit: RabbitNode, exchange: str
) -> None:
    library = tmp_path / "library"
    library.mkdir()
    hostile = library / "hostile.mp3"
    hostile.write_bytes(slow_mp3(300_000))
    # Old enough that no second reading is owed to the filesystem's clock.
    os.utime(hostile, (1_000_000_000, 1_000_000_000))
    (library / "song.mp3").write_bytes(id3(text_frame("TIT2", "Song")) + mpeg_frames())
    consumer = Consumer(rabbit.url, exchange)
    consumer.subscribe()
    service = ServiceProcess(tmp_path, library, rabbit.url, exchange, FILE_WATCH_TAG_TIMEOUT="1s")

    service.start()
    try:
        service.wait_until_ready()
        service.sync()
    finally:
        service.kill()
    (created,) = told(consumer, hostile)
    assert created["metadata"]["error"] == "Reading the tags of this file took longer than 1 s."
    assert created["sha256_hash"]
    (song,) = told(consumer, library / "song.mp3")
    assert song["metadata"]["tags"] == {"title": "Song"}
    before = service.log.stat().st_size
    assert service.log.read_text().count('"tag_child_ended"') == 2

    with running(service):
        service.sync()
        assert "tag_child_ended" not in service.log.read_text()[before:]
        assert told(consumer, hostile) == [created]

        hostile.write_bytes(id3(text_frame("TIT2", "Mended")) + mpeg_frames())
        service.sync()
    _, modified = told(consumer, hostile)
    assert modified["event_type"] == "modified"
    assert modified["metadata"]["tags"] == {"title": "Mended"}
    assert "error" not in modified["metadata"]
