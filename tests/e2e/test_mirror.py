"""The promise itself: whatever people and faults do, a consumer that follows our messages has the disk.

A seed gives the acts of people and the faults, so a run can be repeated; what differs is the timing. A failure
tells the story of the paths that differ: what happened there, what was told of it, what is there.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.chronicle import WATCHED, Chronicle, contradictions, is_wanted
from tests.support.consumer import Consumer, path_of
from tests.support.faults import Injector, Surroundings
from tests.support.people import People
from tests.support.postgresql import PostgresCluster
from tests.support.rabbitmq import RabbitNode
from tests.support.service import ServiceProcess, disk
from tests.support.waiting import wait_for

MOST_SECONDS = 180
FEW_SEEDS = (16, 53)
"""Chosen so that in few rounds nearly every fault strikes, alone or with another."""
IDLE_PATIENCE = 60
SOAK_SEEDS = [int(seed) for seed in os.environ.get("MIRROR_SEEDS", " ".join(map(str, range(1, 21)))).split()]
"""For `make soak`."""

pause = threading.Event().wait
"""What paces the people; nothing is waited for with it."""


@dataclass
class Run:
    """People, faults and a consumer around one service, for one seed."""

    seed: int
    database: str
    libraries: list[Path]
    service: ServiceProcess
    consumer: Consumer
    people: People
    chronicle: Chronicle
    injector: Injector
    dice: random.Random
    differences: dict[bytes, tuple[object, object]] = field(default_factory=dict)
    has_cameras: bool = False
    """Whether there are recordings, so that all is told only once it is idle."""
    needless_repeats: int | None = None
    """Messages that came twice before the first fault that may leave a confirm unknown, or unrecorded."""

    def live(self, rounds: int, acts: int) -> None:
        """In each round people act, a fault strikes, they go on, it ends. Stops at the first difference."""
        self.service.start()
        self.service.wait_until_ready()
        if self.has_cameras:
            self.people.record_until(self._has_seen_growth)
        for _ in range(rounds):
            self._act(acts)
            faults = self.injector.deal()
            struck = {fault.strikes for fault in faults}
            if any(fault.repeats for fault in faults) or struck >= {"service", "database"}:
                self._note_needless_repeats()
            for fault in faults:
                fault.begin()
                self._act(acts // 4)
            # What hangs is only noticed when it lasts.
            pause(self.dice.choice([0.0, 0.5, 2.0]))
            for fault in self.dice.sample(faults, len(faults)):
                fault.end()
                self._act(acts // 4)
            # After one fault alone, so that a later restart cannot make up for what it cost.
            if len(faults) == 1 and not self._has_converged():
                return
        self._note_needless_repeats()
        self._has_converged()

    def judge(self) -> None:
        """Nothing lost, nothing invented, nothing told twice without need, every chain unbroken."""
        print(self.line())
        events, mirror = self.consumer.events(), self.consumer.mirror
        assert self.differences == {}, "\n".join(map(self.story, list(self.differences)[:3]))
        assert mirror.problems == [], self._stories(mirror.problems)
        assert self.chronicle.causeless(events) == [], self._stories(self.chronicle.causeless(events))
        assert contradictions(events) == []
        if self.has_cameras:
            assert self._unidle() == [], "idle is told once, when nothing is written any more"
        assert self.needless_repeats == 0, "told twice although every confirm was known"
        assert len(events) > 50, "too little happened to prove anything"

    def line(self) -> str:
        """The run in figures."""
        figures = {
            "seed": self.seed,
            "database": self.database,
            "operations": self.people.done.total(),
            "kills": self.injector.kills,
            "outages": self.injector.outages,
            "messages": len(self.consumer.messages),
            "redeliveries": self.consumer.mirror.duplicates,
            "differences": len(self.differences),
        }
        faults = ", ".join(fault.name for fault in self.injector.struck)
        return "mirror: " + " ".join(f"{name}={value}" for name, value in figures.items()) + f" ({faults})"

    def story(self, path: bytes) -> str:
        """All that is known of a path, for whoever has to find out why it went wrong."""
        told = [
            f"{message.body['timestamp']} {message.kind} {path_of(message.body, 'old_path')!r} -> "
            f"{path_of(message.body, 'file_path')!r} v{message.body['version']} "
            f"{(message.body['sha256_hash'] or '-')[:8]} {message.body['file_id']}"
            for message in self.consumer.events()
            if path in (path_of(message.body, "file_path"), path_of(message.body, "old_path"))
        ]
        name = os.fsdecode(path)
        logged = [line for line in self.service.log.read_text(errors="replace").splitlines() if name in line]
        state = f"(consumer, disk) = {self.differences.get(path)}"
        return "\n  ".join(
            [name, state, "on the disk:", *self.chronicle.of_path(path), "told:", *told, "log:", *logged[-5:]]
        )

    def _stories(self, findings: list[str]) -> str:
        """The stories of the paths that the first findings name."""
        paths = {path for _, _, path, _ in self.chronicle.story}
        named = [path for path in paths if any(repr(path) in finding for finding in findings[:2])]
        return "\n".join([*findings[:5], *map(self.story, named)])

    def _has_converged(self) -> bool:
        """Whether the consumer has the disk once all is written and told."""
        self.people.finish()
        self.service.wait_until_ready()
        self.service.sync(MOST_SECONDS)
        if self.has_cameras:
            with suppress(AssertionError):  # then it shows below what is still to be told
                wait_for(
                    lambda: not self._unidle() and not self._compare(), "all to be idle", IDLE_PATIENCE, 0.3
                )
        self.consumer.drain()
        self.differences = self._compare()
        return not self.differences

    def record(self) -> None:
        """Begin with people who record, and a service that tells when a file is idle."""
        self.has_cameras = True
        self.people.own_cameras()
        self.service.environment |= {"FILE_WATCH_IDLE_TIMEOUT": "1s", "FILE_WATCH_MAX_WAIT": "1s"}

    def _has_seen_growth(self) -> bool:
        self.consumer.drain()
        return any(event.body["growing"] for event in self.consumer.events())

    def _unidle(self) -> list[str]:
        """The files that were not told as idle exactly once since the last message of other content."""
        self.consumer.drain()
        idle: dict[str, int] = {}
        seen: set[str] = set()
        for message in self.consumer.events():
            body = message.body
            if body["event_id"] in seen:
                continue
            seen.add(body["event_id"])
            # Other tags under another name are told as a change, but nothing was written.
            if body["event_type"] == "created" or "content" in (body["changed"] or ()):
                idle[body["file_id"]] = 0
            elif body["event_type"] == "idle":
                idle[body["file_id"]] += 1
        there = {file_id for file_id, _ in self.consumer.mirror.identities.values()}
        return [file_id for file_id, times in idle.items() if file_id in there and times != 1]

    def _note_needless_repeats(self) -> None:
        if self.needless_repeats is None:
            self.consumer.drain()
            self.needless_repeats = self.consumer.mirror.duplicates

    def _act(self, times: int) -> None:
        for _ in range(times):
            self.people.act()
            pause(self.dice.choice([0, 0, 0, 0.01, 0.05]))

    def _compare(self) -> dict[bytes, tuple[object, object]]:
        suffixes = tuple(suffix.decode() for suffix in WATCHED)
        found = disk(*self.libraries, suffixes=suffixes)
        expected = {path: hashes for path, hashes in found.items() if is_wanted(path)}
        told = self.consumer.mirror.files
        return {
            path: (told.get(path), expected.get(path))
            for path in sorted(told.keys() | expected.keys())
            if told.get(path) != expected.get(path)
        }


@pytest.fixture
def cluster(request: pytest.FixtureRequest, database_url: str) -> PostgresCluster | None:
    """The server that holds the catalog; None for SQLite."""
    if database_url.startswith("sqlite"):
        return None
    server: PostgresCluster = request.getfixturevalue("postgres")
    return server


@pytest.fixture
def run(
    tmp_path: Path,
    encoded_tones: Path,
    private_rabbit: RabbitNode,
    exchange: str,
    database_url: str,
    cluster: PostgresCluster | None,
    seed: int,
) -> Iterator[Run]:
    """A run that has not begun: two libraries of one catalog, and a consumer that has subscribed."""
    libraries, outside = [tmp_path / "library", tmp_path / "second"], tmp_path / "outside"
    for folder in (*libraries, outside):
        folder.mkdir()
    consumer = Consumer(private_rabbit.url, exchange)
    consumer.subscribe()
    service = ServiceProcess(
        tmp_path, libraries, private_rabbit.url, exchange, database_url, FILE_WATCH_LOSS_GUARD="off"
    )
    chronicle = Chronicle(libraries)
    people = People(libraries, outside, encoded_tones / "tone.flac", seed, chronicle.record)
    sqlite = tmp_path / "state" / "catalog.db"
    surroundings = Surroundings(service, private_rabbit, cluster, sqlite, libraries, people)
    dice = random.Random(seed)
    injector = Injector(surroundings.faults(), dice)
    kind = database_url.partition(":")[0]
    try:
        yield Run(seed, kind, libraries, service, consumer, people, chronicle, injector, dice)
    finally:
        people.finish()
        service.kill()


def _live_and_judge(run: Run, rounds: int, acts: int) -> None:
    try:
        run.live(rounds, acts)
        run.judge()
    except BaseException:
        print(run.line())
        print(run.service.tail(60))
        raise


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("seed", "database_url"),
    [
        (FEW_SEEDS[0], "sqlite"),
        (FEW_SEEDS[1], "postgresql"),
        pytest.param(FEW_SEEDS[0], "postgresql", marks=pytest.mark.soak),
        pytest.param(FEW_SEEDS[1], "sqlite", marks=pytest.mark.soak),
    ],
    indirect=["database_url"],
)
def test_a_consumer_has_the_disk_after_random_operations_kills_and_outages(run: Run) -> None:
    _live_and_judge(run, rounds=3, acts=40)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", SOAK_SEEDS)
def test_a_consumer_has_the_disk_after_many_random_operations_kills_and_outages(run: Run) -> None:
    _live_and_judge(run, rounds=8, acts=80)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("seed", [FEW_SEEDS[0]])
def test_each_recording_is_told_as_idle_once_whatever_happens_around_it(run: Run) -> None:
    run.record()
    _live_and_judge(run, rounds=1, acts=80)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", SOAK_SEEDS)
def test_each_of_many_recordings_is_told_as_idle_once_whatever_happens_around_it(run: Run) -> None:
    run.record()
    _live_and_judge(run, rounds=8, acts=80)
