"""Replay, as a consumer that comes late sees it: real files, real processes, real servers."""

from __future__ import annotations

import itertools
import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from file_watcher.catalog.requests import Requests
from file_watcher.catalog.snapshot import Confirmation
from file_watcher.snapshots import Wish
from tests.support.catalog import opened
from tests.support.consumer import Consumer
from tests.support.databases import MOSTLY_POSTGRESQL, MOSTLY_SQLITE
from tests.support.service import ServiceProcess, disk, running
from tests.support.waiting import wait_for

PHANTOM = ("f" * 64, "f" * 32)


@pytest.fixture
def files() -> int:
    """How many files the library has at first."""
    return 1000


@pytest.fixture
def library(tmp_path: Path, files: int) -> Path:
    """Small files in forty folders."""
    library = tmp_path / "library"
    for number in range(files):
        path = library / f"album {number % 40:02}" / f"{number:04}.mp3"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % number * 50)
    return library


@pytest.fixture
def service(
    tmp_path: Path, library: Path, broker_url: str, exchange: str, database_url: str
) -> Iterator[ServiceProcess]:
    """The service, which has told all of it to nobody; once with each database. It sends a thousand a second."""
    service = ServiceProcess(
        tmp_path, library, broker_url, exchange, database_url, FILE_WATCH_RATE_LIMIT="1000"
    )
    with running(service):
        service.sync()
        yield service


@pytest.fixture
def consumer(service: ServiceProcess, broker_url: str, exchange: str) -> Consumer:
    """Subscribed only now, so that it has heard nothing."""
    consumer = Consumer(broker_url, exchange, f"{exchange}.late", is_late=True)
    consumer.subscribe()
    assert consumer.drain() == []
    return consumer


def replayed(service: ServiceProcess, *arguments: str) -> dict[str, Any]:
    """The snapshot that `replay` has enqueued and the broker confirmed."""
    result = service.command("replay", *arguments, "--wait", "--timeout", "60", "--json")
    assert result.returncode == 0, f"{result.stdout}{result.stderr}\n{service.tail()}"
    answer = json.loads(result.stdout)
    assert (answer["confirmed"], answer["unrouted"]) == (True, 0)
    (snapshot,) = answer["snapshots"]
    assert isinstance(snapshot, dict)
    return snapshot


class Changes:
    """Somebody who writes, moves and deletes files without a pause, for as long as the block lasts."""

    def __init__(self, library: Path) -> None:
        self._library = library
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="changes")
        self.rounds = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _work(self) -> None:
        dice, files = random.Random(3), sorted(self._library.rglob("*.mp3"))
        while not self._stop.wait(0.03):
            self.rounds += 1
            dice.choice(files).write_bytes(b"changed %d" % self.rounds)
            place = dice.randrange(len(files))
            files[place] = files[place].rename(dice.choice(files).parent / f"moved {self.rounds}.mp3")
            files.pop(dice.randrange(len(files))).unlink()
            files.append(files[0].parent / f"new {self.rounds}.mp3")
            files[-1].write_bytes(b"new %d" % self.rounds)


def told_again(consumer: Consumer, snapshot: dict[str, Any]) -> list[bytes]:
    """The files that the snapshot told, in its order."""
    return [
        os.fsencode(each.body["file_path"])
        for each in consumer.events()
        if each.body["snapshot"] == snapshot["snapshot"]
    ]


@pytest.mark.timeout(240)
@MOSTLY_SQLITE
def test_a_consumer_that_comes_late_gets_the_library_by_replay_while_it_changes(
    service: ServiceProcess, library: Path, files: int, consumer: Consumer, exchange: str
) -> None:
    queue = f"{exchange}.late"
    with Changes(library) as changes:
        wait_for(lambda: changes.rounds >= 20, "the changes to be under way", 60)
        snapshot = replayed(service, "library", "--queue", queue)
        before = changes.rounds
        wait_for(lambda: changes.rounds >= before + 20, "changes after it", 60)
    service.sync()
    consumer.drain()

    assert consumer.mirror.files == disk(library)
    assert consumer.mirror.problems == []
    assert consumer.mirror.duplicates == 0
    assert len(told_again(consumer, snapshot)) == snapshot["files"] > files / 2
    live = Counter(each.kind for each in consumer.events() if each.body["snapshot"] is None)
    assert {"created", "modified", "deleted", "moved"} <= live.keys()

    # What a consumer holds and the disk does not is forgotten, within what was asked for alone.
    mirror, album = consumer.mirror, library / "album 07"
    phantoms = [
        os.fsencode(library / name) for name in ("phantom.mp3", "album 07/phantom.mp3", "album 07.mp3")
    ]
    for path in phantoms:
        mirror.files[path], mirror.owners[path] = PHANTOM, next(iter(mirror.owners.values()))
    below = replayed(service, "--path", str(album))  # to the exchange, as for every other consumer
    consumer.drain()
    assert mirror.purged[-1:] == phantoms[1:2]
    assert set(told_again(consumer, below)) == {
        path for path in disk(library) if path.startswith(os.fsencode(f"{album}/"))
    }

    moment = time.time() + 1
    wait_for(lambda: time.time() >= moment, "a moment after all of it")
    (album / "late.mp3").write_bytes(b"late")
    service.sync()
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
    partial = replayed(service, "library", "--since", since, "--queue", queue)
    consumer.drain()
    assert told_again(consumer, partial) == [os.fsencode(album / "late.mp3")]
    assert mirror.files.keys() - disk(library).keys() == {phantoms[0], phantoms[2]}, (
        "it tells of nothing gone"
    )
    assert mirror.problems == []

    misplaced = service.command("replay", "--queue", "nobody's")
    assert misplaced.returncode == 2
    assert 'has no queue "nobody\'s"' in misplaced.stderr


@pytest.mark.timeout(240)
@pytest.mark.parametrize("files", [300])
@MOSTLY_POSTGRESQL
def test_a_kill_leaves_all_of_a_snapshot_or_nothing_and_a_restart_makes_it_one(
    service: ServiceProcess,
    library: Path,
    files: int,
    consumer: Consumer,
    exchange: str,
    database_url: str,
) -> None:
    snapshots = itertools.count(1)
    with opened(database_url) as database:
        requests = Requests(database)
        for moment in ("running", "done"):
            number = requests.ask("replay", Wish(queue=f"{exchange}.late").arguments())
            wait_for(lambda: _state(requests, number) in (moment, "done"), moment, 30, every=0.001)  # noqa: B023
            service.kill()
            service.start()
            service.wait_until_ready()
            service.sync()
            consumer.drain()
            begun, ended = (
                [each.body for each in consumer.messages if each.kind == kind]
                for kind in ("snapshot.begin", "snapshot.end")
            )
            distinct = {body["snapshot"] for body in begun}
            assert len(distinct) == next(snapshots), f"killed when {moment}"
            assert {body["snapshot"] for body in ended} == distinct
            assert {body["count"] for body in ended} == {files}
            assert _state(requests, number) == "done"
        lost = requests.wait(requests.ask("replay", Wish(queue="nobody's").arguments()), 30).result
        assert lost is not None
        nobodys = Confirmation(database, lost["snapshots"][0]["first"], lost["snapshots"][0]["last"])
        wait_for(lambda: not nobodys.waiting(), "the broker to take them", 60)
        assert nobodys.unrouted() == files + 2
    assert consumer.mirror.problems == []
    assert consumer.mirror.files == disk(library)


def _state(requests: Requests, number: int) -> str:
    return requests.wait(number, timeout=0).state
