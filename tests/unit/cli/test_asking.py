"""Asking the running service: found or not, answered or not. The service is a thread of the test."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from file_watcher.catalog.database import Database
from file_watcher.catalog.outbox import Outbox
from file_watcher.catalog.owner import OwnerLock
from file_watcher.catalog.requests import Instance, Instances, Request, Requests
from file_watcher.cli import asking, catalogs, waiting
from file_watcher.cli.catalogs import NoService, find_running, live_instances
from file_watcher.cli.options import Given
from file_watcher.errors import UsageError
from file_watcher.settings import Settings
from tests.support.catalog import message, opened
from tests.unit.cli.conftest import Invoke
from tests.unit.cli.test_pages import AWAY, serving, shown

Answer = Callable[[Request], Mapping[str, Any] | None]
"""What the service answers; None: nothing, for ever."""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/catalog.sqlite3"


@contextmanager
def service(url: str, answer: Answer, *, beats: bool = True) -> Iterator[Database]:
    """Owns the catalog and answers requests until the end of the block."""
    stop = threading.Event()
    with opened(url) as database:
        lock = OwnerLock(Path(url.removeprefix("sqlite:///")))
        lock.acquire()
        if beats:
            Instances(database, "1.0").beat("me", {"http": None})
        thread = threading.Thread(target=_serve, args=(Requests(database), answer, stop), name="service")
        thread.start()
        try:
            yield database
        finally:
            stop.set()
            thread.join(5)
            lock.release()


def _serve(requests: Requests, answer: Answer, stop: threading.Event) -> None:
    while not stop.wait(0.01):
        for request in requests.take():
            result = answer(request)
            if result is not None:
                requests.finish(request.id, result, failed="error" in result)


def settings(url: str, **options: str) -> Settings:
    return Given({"database_url": url, **options}, None).load().settings


# finding the service


def test_without_a_catalog_no_service_has_ever_run(invoke: Invoke, url: str, tmp_path: Path) -> None:
    result = invoke("sync", "--database-url", url)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"file_watcher: No catalog is at {tmp_path}/catalog.sqlite3")
    assert "python -m file_watcher run" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [["sync"], ["scan"], ["approve", "music"]])
def test_a_service_that_ended_is_not_asked(invoke: Invoke, url: str, command: list[str]) -> None:
    with opened(url) as database:
        Instances(database, "1.0").beat("me", {})  # it was killed: its heartbeat is fresh
    result = invoke(*command, "--database-url", url)
    assert result.exit_code == 1
    assert result.stderr.startswith("file_watcher: No service runs with the catalog")
    assert result.stderr.count("\n") == 1


def test_the_owner_is_asked_also_before_its_first_heartbeat(url: str) -> None:
    with service(url, lambda _request: {}, beats=False) as database:
        running = find_running(database, settings(url))
    assert running.instance is None
    assert running.name.startswith("process ")


def test_the_owner_of_a_sqlite_catalog_is_asked_whatever_it_is_called(url: str) -> None:
    with service(url, lambda _request: {}) as database:
        assert find_running(database, settings(url)).name == "me"
        assert find_running(database, settings(url, instance_id="other")).instance_id is None
        assert live_instances(database, settings(url, instance_id="other")) == []


def test_a_catalog_that_was_not_made_yet_has_no_service(url: str) -> None:
    database = Database(url)
    database.open()
    try:
        with pytest.raises(NoService, match="still empty"):
            find_running(database, settings(url))
    finally:
        database.close()


class Shared:
    """A database that services on several hosts share."""

    path = None
    shown = "the shared database"


def shared_by(monkeypatch: pytest.MonkeyPatch, *instances: tuple[str, str]) -> Any:
    monkeypatch.setattr(catalogs, "require_schema", lambda _database: None)
    monkeypatch.setattr(socket, "gethostname", lambda: "here")
    live = [Instance(name, 1, host, "1.0", 0, 0, {}) for name, host in instances]
    monkeypatch.setattr(Instances, "live", lambda *_arguments: live)
    return Shared()


def test_of_services_that_share_a_database_the_only_one_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    database = shared_by(monkeypatch, ("a", "elsewhere"))
    assert find_running(database, Settings()).instance_id == "a"


def test_of_several_the_one_on_this_host_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    database = shared_by(monkeypatch, ("a", "elsewhere"), ("b", "here"))
    assert find_running(database, Settings()).instance_id == "b"


def test_the_one_that_is_named_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    database = shared_by(monkeypatch, ("a", "here"), ("b", "here"))
    running = find_running(database, Settings(instance_id="a"))
    assert running.instance_id == "a"
    assert catalogs.is_running(database, Settings(), running)
    assert not catalogs.is_running(database, Settings(instance_id="c"), running)


def test_where_it_is_not_clear_who_is_meant_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    database = shared_by(monkeypatch, ("a", "here"), ("b", "here"))
    with pytest.raises(UsageError, match=r"--instance-id \(a, b\)"):
        find_running(database, Settings())


def test_where_nobody_lives_or_not_the_one_that_is_named_that_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    database = shared_by(monkeypatch, ("a", "here"))
    with pytest.raises(NoService, match="No service b runs"):
        find_running(database, Settings(instance_id="b"))


# answers


def test_sync_ends_when_the_service_says_so(invoke: Invoke, url: str) -> None:
    with service(url, lambda request: {"sequence": 7, "seconds": 0.25} if request.kind == "sync" else None):
        words = invoke("sync", "--database-url", url)
        document = invoke("sync", "--json", "--database-url", url)
    assert (words.exit_code, words.output) == (0, "All that happened before is confirmed (0.2 s).\n")
    assert json.loads(document.stdout) == {"confirmed": True, "sequence": 7, "seconds": 0.25}


def test_sync_does_not_vouch_for_a_suspended_library(invoke: Invoke, url: str) -> None:
    answer = {"sequence": 7, "seconds": 0.25, "suspended": {"speech": "/speech is not there"}}
    with service(url, lambda _request: answer):
        words = invoke("sync", "--database-url", url)
        document = invoke("sync", "--json", "--database-url", url)
    assert (words.exit_code, document.exit_code) == (1, 1)
    assert words.stdout == "All that happened before in all other libraries is confirmed (0.2 s).\n"
    assert "library speech is suspended, so what happened there is not told yet: /speech" in words.stderr
    assert json.loads(document.stdout)["confirmed"] is False


def test_sync_gives_up_after_its_time_and_says_what_is_left(invoke: Invoke, url: str) -> None:
    with service(url, lambda _request: None) as database:
        Outbox(database, [1]).record([message(), message()])
        began = time.monotonic()
        result = invoke("sync", "--timeout", "0.3", "--database-url", url)
    assert time.monotonic() - began < 5
    assert result.exit_code == 1
    assert result.stderr == (
        "file_watcher: sync was not done after 0.3 s, and goes on: 2 messages wait to be confirmed\n"
    )


def test_a_long_sync_says_once_what_it_waits_for(
    invoke: Invoke, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(waiting, "_LONG_SECONDS", 0.1)
    with serving(AWAY) as address, service(url, lambda _request: None) as database:
        Instances(database, "1.0").beat("me", {"http": shown(address)})
        synced = invoke("sync", "--timeout", "0.6", "--database-url", url)
        scanned = invoke("scan", "--timeout", "0.3", "--database-url", url)
    first, last = synced.stderr.splitlines()
    assert first == "file_watcher: sync waits: broker: nobody answers"
    assert last.startswith("file_watcher: sync was not done after 0.6 s")
    assert "waits:" not in scanned.stderr, "a scan does without a broker"


def test_a_wait_ends_when_the_service_does(invoke: Invoke, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_LOOK_SECONDS", 0.05)
    with opened(url):
        lock = OwnerLock(Path(url.removeprefix("sqlite:///")))
        lock.acquire()
        ended = threading.Timer(0.3, lock.release)
        ended.start()
        result = invoke("sync", "--timeout", "60", "--database-url", url)
        ended.join()
    assert result.exit_code == 1
    assert "ended before it answered" in result.stderr


def test_scan_tells_what_differed(invoke: Invoke, url: str) -> None:
    found = {"libraries": 1, "files": 9, "new": 1, "changed": 2, "missing": 3, "unlisted": 0, "seconds": 1.5}
    with service(url, lambda request: found if request.kind == "scan" else None):
        words = invoke("scan", "--database-url", url)
        document = invoke("scan", "--json", "--database-url", url)
    assert words.exit_code == 0
    assert words.output == "9 files in 1 library: 1 new, 2 changed, 3 missing (1.5 s).\n"
    assert json.loads(document.stdout) == found


def test_folders_that_could_not_be_listed_make_a_scan_fail(invoke: Invoke, url: str) -> None:
    found = {"libraries": 2, "files": 9, "new": 0, "changed": 0, "missing": 0, "unlisted": 3, "seconds": 1.5}
    with service(url, lambda _request: found):
        result = invoke("scan", "--database-url", url)
    assert result.exit_code == 1
    assert "in 2 libraries" in result.stdout
    assert "3 folders could not be listed" in result.stderr


def test_a_scan_that_left_out_a_suspended_library_names_it_and_fails(invoke: Invoke, url: str) -> None:
    found = {"libraries": 0, "files": 0, "unlisted": 0, "suspended": {"speech": "/speech is not there"}}
    with service(url, lambda _request: found):
        result = invoke("scan", "--database-url", url)
    assert result.exit_code == 1
    assert "library speech is suspended, so it was not compared: /speech is not there" in result.stderr


def test_approve_names_the_library(invoke: Invoke, url: str) -> None:
    asked: list[Mapping[str, Any]] = []

    def answer(request: Request) -> Mapping[str, Any]:
        asked.append({request.kind: request.arguments})
        return {"library": "music", "seconds": 0}

    with service(url, answer):
        result = invoke("approve", "music", "--database-url", url)
        document = invoke("approve", "music", "--json", "--database-url", url)
    assert result.exit_code == document.exit_code == 0
    assert asked == [{"approve": {"library": "music"}}] * 2
    assert json.loads(document.stdout) == {"approved": "music"}


def test_a_library_that_is_not_known_is_wrong_use(invoke: Invoke, url: str) -> None:
    with service(url, lambda _request: {"error": "no watched library is named x"}):
        result = invoke("approve", "x", "--database-url", url)
    assert result.exit_code == 2
    assert result.stderr == (
        "file_watcher: The service answered: no watched library is named x; `status` lists the libraries\n"
    )


def test_a_service_that_stops_while_it_is_asked_is_told(invoke: Invoke, url: str) -> None:
    with service(url, lambda _request: {"error": "the service stops"}):
        result = invoke("sync", "--database-url", url)
    assert (result.exit_code, result.stderr) == (1, "file_watcher: The service answered: the service stops\n")
