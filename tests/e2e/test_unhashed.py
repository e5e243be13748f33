"""`hashing` none: what is told is true, no content is read, and hashes come when they are wanted again."""

from __future__ import annotations

from pathlib import Path

from tests.support.consumer import Consumer
from tests.support.crafted_media import id3, mpeg_frames, text_frame
from tests.support.rabbitmq import RabbitNode
from tests.support.service import ServiceProcess, disk, running


def kinds(consumer: Consumer) -> list[tuple[str, str]]:
    """What has been told since the last call."""
    told = [each for each in consumer.drain() if each.routing_key.startswith("file.")]
    return [(each.kind, Path(each.body["file_path"]).name) for each in told]


def test_a_library_whose_hashes_nobody_wants_is_told_without_and_hashed_when_they_are_wanted(
    library: Path, tmp_path: Path, rabbit: RabbitNode, exchange: str
) -> None:
    song, copy, moved = library / "song.mp3", library / "copy.mp3", library / "album" / "moved.mp3"
    content = id3(text_frame("TIT2", "Song")) + mpeg_frames()
    for path in (song, copy):
        path.write_bytes(content)
    moved.parent.mkdir()
    consumer = Consumer(rabbit.url, exchange)
    consumer.subscribe()
    service = ServiceProcess(tmp_path, library, rabbit.url, exchange, FILE_WATCH_HASHING="none")
    with running(service):
        service.sync()
        assert sorted(kinds(consumer)) == [("created", "copy.mp3"), ("created", "song.mp3")]
        song.rename(moved)
        service.sync()
        copy.write_bytes(content + b"more")
        service.sync()
        assert kinds(consumer) == [("moved", "moved.mp3"), ("modified", "copy.mp3")]
        assert service.metric("watcher_hashed_bytes_total") == 0
        verified = service.command("verify")
        assert verified.returncode == 0
        assert "without hashes in the catalog, so nothing to compare with" in verified.stdout
    assert {each.body["sha256_hash"] for each in consumer.events()} == {None}
    assert {each.body["metadata"]["tags"]["title"] for each in consumer.events()} == {"Song"}
    assert consumer.mirror.files.keys() == disk(library).keys()

    service.environment["FILE_WATCH_HASHING"] = "full"
    with running(service):
        service.sync()
        assert sorted(kinds(consumer)) == [("modified", "copy.mp3"), ("modified", "moved.mp3")]
        assert consumer.mirror.files == disk(library)
        assert consumer.mirror.problems == []
