"""The promise itself: whatever people and faults do, a consumer that follows our messages has the disk."""

from __future__ import annotations

import os
import random
import signal
import threading
from pathlib import Path

import pytest

from tests.support.consumer import Consumer
from tests.support.people import People
from tests.support.rabbitmq import RabbitNode
from tests.support.service import ServiceProcess, disk

WATCHED = (".mp3", ".flac", ".wav", ".ogg")
MOST_SECONDS = 120
SEEDS = [int(seed) for seed in os.environ.get("MIRROR_SEEDS", "1 2").split()]
"""`make soak` runs many more."""

pause = threading.Event().wait
"""What paces the people; nothing is waited for with it."""


def visible(library: Path) -> dict[bytes, tuple[str | None, str | None]]:
    """What the default patterns make of the disk: the suffixes, without hidden and temporary names."""
    found = disk(library, suffixes=WATCHED)
    start = len(str(library).encode()) + 1
    return {
        path: hashes
        for path, hashes in found.items()
        if not any(part.startswith(b".") for part in path[start:].split(b"/"))
    }


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_consumer_has_the_disk_after_random_operations_kills_and_outages(
    tmp_path: Path,
    encoded_tones: Path,
    private_rabbit: RabbitNode,
    exchange: str,
    database_url: str,
    seed: int,
) -> None:
    library, outside = tmp_path / "library", tmp_path / "outside"
    library.mkdir()
    outside.mkdir()
    consumer = Consumer(private_rabbit.url, exchange)
    consumer.subscribe()
    service = ServiceProcess(
        tmp_path, library, private_rabbit.url, exchange, database_url, FILE_WATCH_LOSS_GUARD="off"
    )
    people = People(library, outside, encoded_tones / "tone.flac", seed)
    dice = random.Random(seed)
    service.start()
    try:
        service.wait_until_ready()
        for round_number in range(5):
            for _ in range(60):
                people.act()
                pause(dice.choice([0, 0, 0, 0.01, 0.05]))
            if round_number == 1:
                service.kill()
                people.act()
                service.start()
            elif round_number == 2:
                private_rabbit.kill9()
                for _ in range(20):
                    people.act()
                private_rabbit.start()
            elif round_number == 3:
                service.signal(signal.SIGSTOP)
                for _ in range(30):
                    people.act()
                service.signal(signal.SIGCONT)
            elif round_number == 4:
                service.stop()
                for _ in range(30):
                    people.act()
                service.start()
        service.wait_until_ready()
        service.sync(MOST_SECONDS)
        consumer.drain()
        expected = visible(library)
        differences = {
            path: (consumer.mirror.files.get(path), expected.get(path))
            for path in consumer.mirror.files.keys() | expected.keys()
            if consumer.mirror.files.get(path) != expected.get(path)
        }
        assert differences == {}, f"{dict(people.done)}"
        assert consumer.mirror.problems == []
        assert len(consumer.events()) > 200, "too little happened to prove anything"
    except BaseException:
        print(service.tail(60))
        raise
    finally:
        service.kill()
