"""Faults at random: what may happen to the service, the broker, the database, the disks and the kernel's queue.

A fault has a beginning and an end, and people go on between them. Two faults may be in force at once, as long
as they do not strike the same thing. Everything is real: signals, servers that stop, roots that go away.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.people import People
from tests.support.postgresql import PostgresCluster
from tests.support.rabbitmq import RabbitNode
from tests.support.service import ServiceProcess

_QUEUE_SIZE = Path("/proc/sys/fs/inotify/max_queued_events")


def overflow_queue(folder: Path) -> None:
    """Give the kernel more hints than it keeps for one reader, while that reader is frozen.

    They are of a file that nobody wants; hints of whatever comes after it are dropped.
    """
    noise = folder / "noise.tmp"
    for _ in range(int(_QUEUE_SIZE.read_text()) // 2):
        noise.write_bytes(b"")
        noise.unlink()


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: `strikes` what (two faults never strike the same), how it begins and how it ends."""

    name: str
    strikes: str
    begin: Callable[[], None]
    end: Callable[[], None]
    kills: bool = False
    """Ends a process with SIGKILL (an outage or a freeze otherwise)."""
    repeats: bool = False
    """Leaves confirms unknown, so that messages may come twice."""


@dataclass
class Surroundings:
    """All that can fail; `cluster` is None where the catalog is the SQLite file `sqlite`."""

    service: ServiceProcess
    node: RabbitNode
    cluster: PostgresCluster | None
    sqlite: Path
    libraries: list[Path]
    people: People

    def faults(self) -> list[Fault]:
        """Every fault that can strike here."""
        service, node = self.service, self.node
        return [
            Fault("service killed", "service", service.kill, service.start, kills=True, repeats=True),
            Fault("service stopped", "service", self._stop_service, service.start),
            Fault("service frozen, queue overflown", "service", self._freeze, self._thaw),
            Fault("broker killed", "broker", node.kill9, node.start, kills=True, repeats=True),
            Fault("broker stopped", "broker", node.stop_app, node.start_app, repeats=True),
            Fault("broker frozen", "broker", node.suspend, node.resume, repeats=True),
            Fault("root away", "root", self._take_away, self._bring_back),
            *(self._of_postgresql(self.cluster) if self.cluster else [self._of_sqlite()]),
        ]

    def _stop_service(self) -> None:
        assert self.service.stop() == 0, self.service.tail()

    def _freeze(self) -> None:
        self.service.suspend()
        overflow_queue(next(library for library in self.libraries if library.is_dir()))

    def _thaw(self) -> None:
        self.service.resume()

    def _take_away(self) -> None:
        library = self.libraries[0]
        self.people.away(library)
        library.rename(library.with_suffix(".away"))

    def _bring_back(self) -> None:
        library = self.libraries[0]
        library.with_suffix(".away").rename(library)
        self.people.back(library)

    def _of_postgresql(self, cluster: PostgresCluster) -> list[Fault]:
        return [
            Fault("database stopped", "database", cluster.stop, cluster.start),
            Fault("database crashed", "database", cluster.kill9, cluster.start, kills=True),
            Fault("database frozen", "database", cluster.suspend, cluster.resume),
            Fault(
                "connections ended", "database", cluster.terminate_connections, cluster.terminate_connections
            ),
        ]

    def _of_sqlite(self) -> Fault:
        holder: list[sqlite3.Connection] = []

        def lock() -> None:
            connection = sqlite3.connect(self.sqlite, isolation_level=None, timeout=60)
            connection.execute("BEGIN IMMEDIATE")
            holder.append(connection)

        def unlock() -> None:
            connection = holder.pop()
            connection.rollback()
            connection.close()

        return Fault("database locked", "database", lock, unlock)


class Injector:
    """Deals faults from a shuffled deck, so that every kind comes before one comes again."""

    def __init__(self, faults: list[Fault], dice: random.Random) -> None:
        self._faults = faults
        self._dice = dice
        self._deck: list[Fault] = []
        self.struck: list[Fault] = []

    def deal(self) -> list[Fault]:
        """One fault, or two that are in force at the same time."""
        first = self._draw(lambda fault: True)
        chosen = [first]
        if self._dice.random() < 0.4:
            chosen.append(self._draw(lambda fault: fault.strikes != first.strikes))
        self.struck.extend(chosen)
        return chosen

    @property
    def kills(self) -> int:
        """How many processes were killed."""
        return sum(fault.kills for fault in self.struck)

    @property
    def outages(self) -> int:
        """How many faults were no kills."""
        return len(self.struck) - self.kills

    def _draw(self, fits: Callable[[Fault], bool]) -> Fault:
        if not any(fits(fault) for fault in self._deck):
            self._deck.extend(self._dice.sample(self._faults, len(self._faults)))
        fault = next(fault for fault in self._deck if fits(fault))
        self._deck.remove(fault)
        return fault
