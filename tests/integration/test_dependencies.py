"""A database or a broker that is away, hangs or crashes: seen at once, left alone, trusted again when it lasts."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from file_watcher import service as service_module
from file_watcher.catalog import engines
from file_watcher.processing import deciding
from file_watcher.processing.decider import Decider
from file_watcher.publishing.dispatch import Dispatch
from file_watcher.publishing.rabbitmq import Publisher
from file_watcher.senses import WorkersSenses
from tests.support.catalog import another_process_writes
from tests.support.consumer import Consumer
from tests.support.inside import InsideService, serving
from tests.support.postgresql import PostgresCluster
from tests.support.service import ServiceProcess, disk, running
from tests.support.waiting import wait_for


def page(service: InsideService, path: str) -> tuple[int, dict[str, Any]]:
    """Status and document of one of its JSON pages."""
    http = service.service._http
    assert http is not None
    host, port = http.address
    try:
        with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def metrics(service: InsideService) -> str:
    http = service.service._http
    assert http is not None
    host, port = http.address
    with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=5) as answer:
        text: str = answer.read().decode()
    return text


def reasons(service: InsideService) -> list[str]:
    """Why it is not ready."""
    _, document = page(service, "/readyz")
    found: list[str] = document["reasons"]
    return found


class Scenery:
    """A library and a consumer that is subscribed to all."""

    def __init__(self, folder: Path, broker_url: str, exchange: str) -> None:
        self.library = folder / "library"
        self.library.mkdir()
        self.consumer = Consumer(broker_url, exchange)
        self.consumer.subscribe()
        self.address = (broker_url, exchange)

    def service(self, database_url: str, **watch: Any) -> InsideService:
        return InsideService(self.library, *self.address, database_url, **watch)

    def files(self, prefix: str, count: int) -> None:
        for number in range(count):
            (self.library / f"{prefix}-{number}.mp3").write_bytes(os.urandom(100))

    def is_mirrored(self) -> bool:
        """Whether the consumer has what is on the disk."""
        files: bool = self.consumer.mirror.files == disk(self.library, suffixes=(".mp3",))
        return files

    def check_mirror(self, service: InsideService) -> None:
        """Everything that happened was told, and told rightly."""
        service.sync()
        self.consumer.drain()
        assert self.consumer.mirror.problems == []
        assert self.consumer.mirror.files == disk(self.library, suffixes=(".mp3",))


@pytest.fixture
def at(tmp_path: Path, broker_url: str, exchange: str) -> Scenery:
    return Scenery(tmp_path, broker_url, exchange)


def test_a_database_that_hangs_is_seen_by_readyz_holds_nobody_up_and_costs_no_change(
    at: Scenery, postgres: PostgresCluster, postgres_url: str
) -> None:
    with serving(at.service(f"{postgres_url}?connect_timeout=2")) as service:
        service.sync()
        postgres.suspend()
        try:
            at.files("while-it-hangs", 300)
            wait_for(lambda: page(service, "/readyz")[0] == 503, "the hang to be seen", 15)
            wait_for(lambda: "does not answer" in reasons(service)[0], "the reason", 15)
            status, document = page(service, "/healthz")
            assert status == 200, "a restart would not mend it"
            assert document["components"]["database"]["reads"]["state"] in {"open", "half_open"}
            assert document["components"]["database"]["reads"]["failures"] >= 1
            assert 'watcher_circuit_state{dependency="database_reads",state="closed"} 0.0' in metrics(service)
        finally:
            postgres.resume()
        service.wait_until_ready()
        at.check_mirror(service)
        assert 'watcher_circuit_state{dependency="database_reads",state="closed"} 1.0' in metrics(service)


def test_a_catalog_that_another_process_locks_costs_no_change(
    at: Scenery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "BUSY_SECONDS", 0.3)
    path = tmp_path / "state" / "catalog.db"
    with serving(at.service(f"sqlite:///{path}")) as service:
        service.sync()
        with another_process_writes(path):
            at.files("while-locked", 100)
            wait_for(lambda: page(service, "/readyz")[0] == 503, "the lock to be seen")
            wait_for(lambda: "takes no changes" in reasons(service)[0], "the circuit to open", 20)
            assert "write lock" in reasons(service)[0]
            reads = page(service, "/healthz")[1]["components"]["database"]["reads"]
            assert reads["state"] == "closed", "it can still be read"
        service.wait_until_ready()
        at.check_mirror(service)


class OnASmallDisk(ServiceProcess):
    """A service whose state lies on a disk of its own, of 16 MB, that nobody else sees."""

    def command_line(self) -> list[str]:
        (self.folder / "state").mkdir(exist_ok=True)
        mount = f'mount -t tmpfs -o size=16m tmpfs {self.folder / "state"} && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", mount, "sh", *super().command_line()]

    def inside(self, *command: str) -> subprocess.CompletedProcess[bytes]:
        """Run a command where that disk is seen."""
        assert self.process is not None
        enter = ["nsenter", f"--target={self.process.pid}", "--mount"]
        return subprocess.run([*enter, *command], check=False, capture_output=True, timeout=30)


def test_a_full_disk_under_the_catalog_costs_no_change(at: Scenery, tmp_path: Path) -> None:
    filler = str(tmp_path / "state" / "filler")
    service = OnASmallDisk(tmp_path, at.library, *at.address, LOG_LEVEL="WARNING")
    with running(service):
        at.files("before", 10)
        service.inside("dd", "if=/dev/zero", f"of={filler}", "bs=4096")
        at.files("while-full", 1000)
        wait_for(lambda: service.ask("/readyz")[0] == 503, "the full disk to be seen", 30)
        wait_for(lambda: "is full" in service.ask("/readyz")[1]["reasons"][0], "the reason", 30)
        assert service.ask("/healthz")[0] == 200
        assert service.inside("rm", filler).returncode == 0
        service.wait_until_ready()

        wait_for(lambda: at.consumer.drain() is None or at.is_mirrored(), "all of it to be told", 30)
        assert at.consumer.mirror.problems == []


def test_a_broker_that_was_lost_counts_as_back_once_that_lasts_though_messages_flow_at_once(
    at: Scenery, tmp_path: Path
) -> None:
    with serving(at.service(f"sqlite:///{tmp_path / 'state' / 'catalog.db'}")) as service:
        service.sync()
        at.consumer.drain()
        publisher = service.parts.publisher
        assert isinstance(publisher, Publisher)
        session = publisher._session
        assert session is not None
        session._loop.add_callback_threadsafe(lambda: session.cut(ConnectionResetError("cut by the test")))
        wait_for(lambda: not service.healths()["broker"].ok, "the loss to be seen")
        facts = service.healths()["broker"].facts["circuit"]
        assert facts["state"] in {"open", "half_open"}
        assert facts["failures"] >= 1
        at.files("later", 1)
        wait_for(lambda: "created" in [each.kind for each in at.consumer.drain()], "the message")
        assert not service.healths()["broker"].ok, "it has still to last"
        service.wait_for_health("broker", "again, and publishing")
        service.wait_until_ready()
        assert 'watcher_circuit_state{dependency="broker",state="closed"} 1.0' in metrics(service)


class Hang:
    """Makes a method hang in whatever thread calls it, until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: type, method: str, when: bytes = b"") -> None:
        original = getattr(owner, method)
        self.is_on = threading.Event()
        self.is_over = threading.Event()

        def hang(this: Any, *arguments: Any, **options: Any) -> Any:
            if self.is_on.is_set() and when in b"".join(
                each for each in arguments if isinstance(each, bytes)
            ):
                self.is_over.wait(60)
            return original(this, *arguments, **options)

        monkeypatch.setattr(owner, method, hang)


@contextmanager
def hanging(service: InsideService, hang: Hang, stage: str, words: str) -> Iterator[None]:
    """The stage hangs, which /healthz tells, does its work meanwhile, and is well again afterwards."""
    hang.is_on.set()
    try:
        yield
        wait_for(lambda: page(service, "/healthz")[0] == 503, f"the hang of {stage} to be seen", 20)
        stages = page(service, "/healthz")[1]["components"]["stages"]
        (stuck,) = stages["stuck_seconds"]
        assert stuck.startswith(stage)
        assert words in stages["detail"]
    finally:
        hang.is_on.clear()
        hang.is_over.set()
    wait_for(lambda: page(service, "/healthz")[0] == 200, f"{stage} to move again", 10)


def test_a_stage_that_hangs_fails_the_liveness_until_it_moves_again(
    at: Scenery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # More than the second in which every stage comes round that has nothing to do.
    monkeypatch.setattr(service_module, "STUCK_SECONDS", 2.4)
    monkeypatch.setattr(deciding, "_PATIENCE", 1.0)
    worker = Hang(monkeypatch, WorkersSenses, "in_hand", when=b"blocked")
    decider = Hang(monkeypatch, Decider, "step")
    relay = Hang(monkeypatch, Dispatch, "fill")
    with serving(at.service(f"sqlite:///{tmp_path / 'state' / 'catalog.db'}", scan_workers=2)) as service:
        service.sync()
        with hanging(service, worker, "fw-hash-", "examines " + str(at.library / "blocked-0.mp3")):
            at.files("blocked", 1)
            at.files("goes", 1)  # by the other worker
            wait_for(lambda: "created" in [each.kind for each in at.consumer.drain()], "the other file")
        with hanging(service, decider, "fw-decide", "decides on"):
            at.files("undecided", 1)
        with hanging(service, relay, "fw-relay", "the outbox"):
            at.files("unsent", 1)
        at.check_mirror(service)


def test_every_stage_is_watched_and_the_log_alone_is_not_vital(at: Scenery, tmp_path: Path) -> None:
    with serving(at.service(f"sqlite:///{tmp_path / 'state' / 'catalog.db'}")) as service:
        # Its parts are well before the service has started to watch over them.
        watchdog = wait_for(lambda: service.service._watchdog, "the watchdog")
        assert watchdog is not None
        watched = [source() for source in watchdog._stages]
        journal = page(service, "/readyz")[1]["components"]["journal"]
    names = {each.stage for each in watched}
    assert names >= {
        "fw-publish",
        "fw-relay",
        "fw-decide",
        "fw-debounce",
        "fw-keeper",
        "fw-scan",
        "fw-folders",
    }
    assert names >= {"fw-desk", "fw-house", "fw-jobs", "fw-lease", "fw-journal"}
    assert [each.stage for each in watched if not each.is_vital] == ["fw-journal"]
    assert journal["detail"] == "The database keeps the log."
