"""Every fault of the database that the contract names, against the real service: nothing lost, nothing invented."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.support.postgresql import PostgresCluster
from tests.support.service import ServiceProcess
from tests.support.trial import Trial, trial
from tests.support.waiting import wait_for

Outage = Callable[[PostgresCluster], ExitStack]
"""Begins an outage; closing what it returns ends it."""


@pytest.fixture
def cluster(postgres: PostgresCluster) -> Iterator[PostgresCluster]:
    """The session's cluster, which is up and writable again afterwards."""
    postgres.ensure_running()
    yield postgres
    postgres.ensure_running()
    _read_only(postgres, "off")


@pytest.fixture
def setting(
    tmp_path: Path, broker_url: str, exchange: str, cluster: PostgresCluster, postgres_url: str
) -> Trial:
    """A service that keeps its catalog in that cluster."""
    setting = Trial(tmp_path, broker_url, exchange, postgres_url)
    setting.consumer.subscribe()
    return setting


@pytest.fixture
def local(tmp_path: Path, broker_url: str, exchange: str) -> Trial:
    """A service that keeps its catalog in a SQLite file."""
    setting = Trial(tmp_path, broker_url, exchange, f"sqlite:///{tmp_path / 'state' / 'catalog.sqlite3'}")
    setting.consumer.subscribe()
    return setting


def _administer(cluster: PostgresCluster, statement: str) -> None:
    with psycopg.connect(cluster.url("postgres"), autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(statement.encode())


def _read_only(cluster: PostgresCluster, state: str) -> None:
    _administer(cluster, f"ALTER SYSTEM SET default_transaction_read_only = {state}")
    _administer(cluster, "SELECT pg_reload_conf()")


def stopped(cluster: PostgresCluster) -> ExitStack:
    """An orderly stop ("fast") and a start."""
    cluster.stop()
    end = ExitStack()
    end.callback(cluster.start)
    return end


def crashed(cluster: PostgresCluster) -> ExitStack:
    """SIGQUIT ("immediate"), as an impatient administrator or a failing host does it, and a start."""
    (pid,) = cluster.pids
    server = psutil.Process(pid)
    server.send_signal(signal.SIGQUIT)
    wait_for(lambda: not _is_alive(server), "the end of the server")
    end = ExitStack()
    end.callback(cluster.ensure_running)
    return end


def restarted_twice(cluster: PostgresCluster) -> ExitStack:
    """Two restarts in a row, the second one before anybody has settled after the first."""
    end = stopped(cluster)
    end.callback(cluster.stop)
    end.callback(cluster.start)
    return end


def read_only(cluster: PostgresCluster) -> ExitStack:
    """Every session writes nothing any more, as on a server that became a standby."""
    _read_only(cluster, "on")
    end = ExitStack()
    end.callback(_read_only, cluster, "off")
    return end


def read_only_sessions(cluster: PostgresCluster) -> ExitStack:
    """Sessions that begin meanwhile stay read-only for as long as they live, also when the rest is well again."""
    _administer(cluster, "ALTER ROLE watcher SET default_transaction_read_only = on")
    cluster.terminate_connections()
    end = ExitStack()
    end.callback(_administer, cluster, "ALTER ROLE watcher RESET default_transaction_read_only")
    return end


def crowded(cluster: PostgresCluster) -> ExitStack:
    """Others take every connection that the server allows, ours too."""
    end = ExitStack()
    hog = end.enter_context(psycopg.connect(cluster.url("postgres"), autocommit=True))
    mine = [hog.info.backend_pid]

    def take_all() -> bool:
        """Whether there is none left, and none of them is the service's."""
        hog.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND NOT pid = ANY(%s)",
            [mine],
        )
        try:
            while True:
                mine.append(end.enter_context(psycopg.connect(cluster.url("postgres"))).info.backend_pid)
        except psycopg.OperationalError:
            others = hog.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND NOT pid = ANY(%s)",
                [mine],
            ).fetchone()
            return others == (0,)

    wait_for(take_all, "all connections to be taken")
    return end


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


OUTAGES: dict[str, tuple[Outage, str]] = {
    "stopped": (stopped, "does not answer"),
    "crashed": (crashed, "does not answer"),
    "restarted twice": (restarted_twice, "does not answer"),
    "read-only": (read_only, "read-only transaction"),
    "read-only sessions": (read_only_sessions, "read-only transaction"),
    "crowded": (crowded, "too many clients"),
}
TELLING = ("stopped", "crowded")
"""One that is gone and one that lets nobody in. `make soak` goes through all of them."""


@pytest.mark.parametrize(
    "name", [name if name in TELLING else pytest.param(name, marks=pytest.mark.soak) for name in OUTAGES]
)
def test_an_outage_of_postgresql_in_the_middle_of_an_import_costs_nothing(
    setting: Trial, cluster: PostgresCluster, name: str
) -> None:
    begin, words = OUTAGES[name]
    with trial(setting) as running:
        running.converge()
        running.add()
        with begin(cluster):
            running.change()
            running.wait_for_complaint("database", words)
            running.change()
        running.change()
        running.converge()
        # Each part that waits says so once: decider, relay, desk, scans, owner; not each attempt of each.
        complaints = running.complaints()
        assert complaints.keys() & {"database_unavailable", "outbox_unavailable", "desk_waits_for_database"}
        assert max(complaints.values()) <= 4, complaints


def test_a_service_that_is_killed_during_an_outage_waits_for_the_database_and_stops_when_asked(
    setting: Trial, cluster: PostgresCluster
) -> None:
    with trial(setting) as running:
        running.converge()
        running.add()
        with stopped(cluster):
            running.change()
            running.wait_for_complaint("database", "does not answer")
            running.service.kill()
            running.change()
            running.service.start()
            running.wait_for_complaint("database", "does not answer")
            assert running.service.stop(timeout=5) == 0, "it waits for the database, not for the stop"
            running.service.start()
        running.change()
        running.converge()


def test_connections_that_are_ended_over_and_over_cost_nothing(
    setting: Trial, cluster: PostgresCluster
) -> None:
    with trial(setting) as running:
        running.converge()
        for _ in range(30):
            running.change()
            cluster.terminate_connections()
        running.change()
        running.converge()


@pytest.mark.soak  # SQLite itself waits for 10 s
def test_a_sqlite_catalog_that_another_process_has_locked_is_waited_for(local: Trial, tmp_path: Path) -> None:
    with trial(local) as running:
        running.converge()
        with closing(sqlite3.connect(tmp_path / "state" / "catalog.sqlite3", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            running.change()
            running.wait_for_complaint("database", "another process holds its write lock")
            running.service.kill()
            running.change()
            running.service.start()
            other.execute("ROLLBACK")
        running.change()
        running.converge()


@pytest.mark.parametrize("fate", ["removed", pytest.param("replaced", marks=pytest.mark.soak)])
def test_a_sqlite_catalog_that_goes_away_ends_the_service_with_a_reason(
    local: Trial, tmp_path: Path, fate: str
) -> None:
    catalog, aside = tmp_path / "state" / "catalog.sqlite3", tmp_path / "aside.sqlite3"
    local.add()
    local.service.start()
    try:
        local.converge()
        if fate == "replaced":
            shutil.copyfile(catalog, aside)
            os.replace(aside, catalog)
        else:
            catalog.rename(aside)
        process = local.service.process
        assert process is not None
        assert process.wait(20) == 1
        local.service.process = None
        assert "was removed or replaced while it was in use" in local.service.tail()
        if fate == "removed":
            aside.rename(catalog)
            local.change()
            local.service.start()
            local.converge()
    finally:
        local.service.kill()


class CrampedService(ServiceProcess):
    """The service in a mount namespace of its own, in which its state folder is a disk of a few megabytes."""

    def __init__(self, usual: ServiceProcess, state: Path) -> None:
        self.__dict__.update(usual.__dict__)
        self._state = state
        self._own_user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]

    @property
    def state(self) -> Path:
        """Its state folder, as seen from outside."""
        assert self.process is not None
        return Path(f"/proc/{self.process.pid}/root{self._state}")

    def start(self) -> None:
        """Start it; returns at once. No other process is made: the namespace is entered before the program."""
        self._state.mkdir(parents=True, exist_ok=True)
        script = 'mount -t tmpfs -o size=8m tmpfs "$0" && exec "$@"'
        command = ["unshare", *self._own_user, "--mount", "sh", "-c", script, str(self._state)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, sys.executable, "-m", "file_watcher", "run"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def sync(self, timeout: float = 60) -> None:
        """Wait until all that happened so far is confirmed."""
        result = self.command("sync", "--timeout", str(timeout), timeout=timeout + 30)
        assert result.returncode == 0, f"{result.stdout}{result.stderr}\n{self.tail()}"

    def command(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run one of our commands beside it, where it sees the same disk."""
        assert self.process is not None
        own_user = ["--user", "--preserve-credentials"] if self._own_user else []
        place = ["nsenter", "--target", str(self.process.pid), *own_user, "--mount", f"--wd={Path.cwd()}"]
        return subprocess.run(
            [*place, sys.executable, "-m", "file_watcher", *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )


def _fill(folder: Path) -> Path:
    """Leave not one free byte on the disk; returns the file to be deleted."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError as exc:
            if exc.errno != errno.ENOSPC:
                raise
    return filler


def test_a_full_disk_is_waited_for_and_costs_nothing(local: Trial, tmp_path: Path) -> None:
    cramped = CrampedService(local.service, tmp_path / "state")
    local.service = cramped
    with trial(local) as running:
        running.converge()
        filler = _fill(cramped.state)
        running.change()
        running.wait_for_complaint("database", "is full; free some space")
        running.change()
        assert cramped.process is not None
        assert cramped.process.poll() is None
        filler.unlink()
        running.change()
        running.converge()
        complaints = running.complaints()
        assert sum(complaints.values()) <= 6, complaints
