"""The whole service while the broker is away for longer than the outbox is meant to hold."""

from __future__ import annotations

import threading
from pathlib import Path

from structlog.testing import capture_logs

from tests.support.consumer import Consumer
from tests.support.inside import InsideService, serving
from tests.support.rabbitmq import RabbitNode
from tests.support.service import disk
from tests.support.waiting import wait_for

LIMIT = 12
FILES = 5


def test_a_long_outage_leaves_one_message_for_each_file_and_the_disk_is_told_as_it_is(
    tmp_path: Path, private_rabbit: RabbitNode
) -> None:
    library = tmp_path / "library"
    library.mkdir()
    consumer = Consumer(private_rabbit.url, "file_events")
    consumer.subscribe()
    catalog = f"sqlite:///{tmp_path / 'state' / 'catalog.db'}"
    service = InsideService(library, private_rabbit.url, "file_events", catalog, outbox_limit=LIMIT)
    with capture_logs() as logs, serving(service):
        write_all(service, library, "before")
        service.sync()
        consumer.drain()
        private_rabbit.stop_app()
        for number in range(6):
            write_all(service, library, f"during {number}")
        waiting = threading.Thread(target=service.sync)  # for what will be merged meanwhile
        waiting.start()
        for number in range(6, 9):
            write_all(service, library, f"during {number}")
        wait_for(lambda: "outbox_over_limit" in {entry["event"] for entry in logs}, "the warning")
        wait_for(lambda: merged(service) > 0, "the metric")
        wait_for(lambda: depth(service) <= LIMIT, "the outbox to be merged")
        private_rabbit.start_app()
        waiting.join(60)
        assert not waiting.is_alive()
        service.sync()

    consumer.drain()
    assert consumer.mirror.files == disk(library, suffixes=(".mp3",))
    assert consumer.mirror.duplicates == 0
    told = [message.body["file_path"] for message in consumer.events()]
    assert len(told) < 3 * FILES + LIMIT, "45 without merging"
    warnings = [entry for entry in logs if entry["event"] == "outbox_over_limit"]
    assert len(warnings) == 1, "once for each outage"


def write_all(service: InsideService, library: Path, content: str) -> None:
    """Write all files and wait until each of them stands in the outbox."""
    outbox = service.parts.house._outbox
    before = outbox.last_sequence()
    for number in range(FILES):
        (library / f"{number}.mp3").write_text(f"{content} {number}")
    wait_for(lambda: outbox.last_sequence() >= before + FILES, "what was written to be recorded")


def depth(service: InsideService) -> int:
    return service.parts.house._outbox.depth()[0]


def merged(service: InsideService) -> float:
    return service.service._metrics.registry.get_sample_value("watcher_outbox_merged_total") or 0.0
