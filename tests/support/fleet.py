"""Several instances on one PostgreSQL and one broker, with libraries that the database names, and one consumer."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.support.consumer import Consumer
from tests.support.service import ServiceProcess, disk
from tests.support.waiting import wait_for


class FleetTrial:
    """Instances by their names; each has a folder of its own besides what the database gives it."""

    def __init__(self, folder: Path, broker_url: str, exchange: str, database_url: str) -> None:
        self.folder = folder
        self.database_url = database_url
        self._broker_url = broker_url
        self._exchange = exchange
        self.consumer = Consumer(broker_url.partition("?")[0], exchange)
        self.consumer.subscribe()
        self.services: dict[str, ServiceProcess] = {}
        self.roots: list[Path] = []

    def add_instance(self, name: str) -> ServiceProcess:
        """Make an instance; it is not started."""
        home = self.folder / name
        own = home / f"own-{name}"
        own.mkdir(parents=True)
        self.roots.append(own)
        service = ServiceProcess(
            home,
            own,
            self._broker_url,
            self._exchange,
            self.database_url,
            INSTANCE_ID=name,
            FILE_WATCH_LOSS_GUARD="off",
        )
        self.services[name] = service
        return service

    def start(self, *names: str) -> None:
        """Start them one after the other, and wait until all are ready."""
        for name in names:
            self.services[name].start()
        for name in names:
            self.services[name].wait_until_ready(120)

    def add_library(self, name: str, *, rules: dict[str, str] | None = None) -> tuple[int, Path]:
        """A row that any instance may watch; its number and its folder."""
        root = self.folder / "shared" / name
        root.mkdir(parents=True)
        self.roots.append(root)
        with psycopg.connect(self.database_url) as connection:
            row = connection.execute(
                "INSERT INTO libraries (name, path, type, is_watched) VALUES (%s, %s, 'production', true) "
                "RETURNING id",
                (name, str(root)),
            ).fetchone()
            assert row is not None
            for key, value in (rules or {}).items():
                connection.execute("INSERT INTO fw_library_rules VALUES (%s, %s, %s)", (row[0], key, value))
        return row[0], root

    def owner(self, library_id: int) -> str | None:
        """Whose the library is now, None for nobody's."""
        with psycopg.connect(self.database_url) as connection:
            row = connection.execute(
                "SELECT instance_id FROM fw_leases WHERE library_id = %s "
                "AND expires_ns > extract(epoch FROM clock_timestamp()) * 1e9",
                (library_id,),
            ).fetchone()
        return None if row is None else str(row[0])

    def wait_for_owner(self, library_id: int, *, not_: str | None = None, timeout: float = 60) -> str:
        """Wait until somebody owns it, other than `not_`; says who."""

        def found() -> str | None:
            owner = self.owner(library_id)
            return owner if owner != not_ else None

        return wait_for(found, f"another owner than {not_}", timeout, every=0.1) or ""

    def let_the_lease_pass(self, library_id: int) -> None:
        """As if ten seconds had passed, for a test that has no time."""
        with psycopg.connect(self.database_url) as connection:
            connection.execute(
                "UPDATE fw_leases SET expires_ns = renewed_ns WHERE library_id = %s", (library_id,)
            )

    def cut_off(self, pid: int) -> None:
        """End all connections of one process from the server's side, as a partition does in the end."""
        ports = _local_ports(pid)
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE client_port = ANY(%s)", (ports,)
            )

    def converge(self, library_id: int, timeout: float = 120) -> None:
        """Wait until the owner has confirmed everything; then the mirror must be the disk, told once."""

        def is_still() -> bool:
            with psycopg.connect(self.database_url) as connection:
                row = connection.execute(
                    "SELECT count(*) FROM fw_events WHERE published_ns IS NULL AND NOT unrouted"
                ).fetchone()
            return row == (0,)

        self.services[self.wait_for_owner(library_id)].sync(timeout)
        wait_for(is_still, "everything to be published", timeout, every=0.1)
        self.consumer.drain()
        self.compare()

    def compare(self) -> None:
        """Mirror and disk are one, no version chain is broken, and what was recorded was told, nothing else."""
        mirror = self.consumer.mirror
        assert mirror.problems == []
        expected = disk(*self.roots)
        assert mirror.files.keys() ^ expected.keys() == set()
        assert mirror.files == expected
        with psycopg.connect(self.database_url) as connection:
            recorded = {
                str(row[0]) for row in connection.execute("SELECT event_id FROM fw_events").fetchall()
            }
        assert mirror.seen == recorded
        created = [message.body["file_path"] for message in self._distinct("created")]
        assert len(created) == len(set(created)), "no file was told as new twice"

    def _distinct(self, kind: str) -> list:  # type: ignore[type-arg]
        return list({message.body["event_id"]: message for message in self.consumer.events(kind)}.values())

    def stop_all(self) -> None:
        """SIGTERM to all that still run; each ends with 0."""
        for service in self.services.values():
            if service.process is not None:
                assert service.stop() == 0, service.tail()

    def report(self) -> None:
        """What the instances logged, for whoever reads a failed test."""
        for name, service in self.services.items():
            if service.log.exists():
                print(f"---- {name}\n{service.tail(60)}")


@contextmanager
def fleet(trial: FleetTrial) -> Iterator[FleetTrial]:
    """All instances are ended behind it."""
    try:
        yield trial
        trial.stop_all()
    except BaseException:
        trial.report()
        for service in trial.services.values():
            if service.process is not None:
                service.resume()
                service.kill()
        raise


def logged(service: ServiceProcess, event: str) -> list[dict[str, object]]:
    """The lines of its log that say that event."""
    lines = service.log.read_text(errors="replace").splitlines()
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return [line for line in found if line.get("event") == event]


def write_files(root: Path, count: int, *, start: int = 0, pause: float = 0.0) -> None:
    """New files with contents of their own, twenty to a folder."""
    for number in range(start, start + count):
        path = root / f"album {number // 20}" / f"{number}.mp3"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(2000) + b"%d" % number)
        if pause:
            time.sleep(pause)  # the speed of an import, not a wait for anything


def _local_ports(pid: int) -> list[int]:
    import psutil

    return [each.laddr.port for each in psutil.Process(pid).net_connections("tcp") if each.laddr]
