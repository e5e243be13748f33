"""Replay: what is asked for, what is wrong with it, and what is said of the outcome."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from file_watcher.catalog.database import Database
from file_watcher.catalog.outbox import Outbox
from file_watcher.catalog.owner import OwnerLock
from file_watcher.catalog.requests import Request, Requests
from file_watcher.cli import replaying
from file_watcher.errors import BrokerUnavailable
from file_watcher.publishing import consume
from file_watcher.snapshots import Wish
from tests.support.catalog import message, opened
from tests.unit.cli.conftest import Invoke

SNAPSHOT: dict[str, Any] = {
    "snapshot": "0191",
    "library": "music",
    "files": 1200,
    "first": 1,
    "last": 2,
    "suspended": None,
}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/catalog.sqlite3"


@contextmanager
def service(
    url: str, answer: Callable[[Request], Mapping[str, Any]], asked: list[Request] | None = None
) -> Iterator[Database]:
    """Owns the catalog and answers requests until the end of the block."""
    stop = threading.Event()
    with opened(url) as database:
        requests, lock = Requests(database), OwnerLock(Path(url.removeprefix("sqlite:///")))

        def serve() -> None:
            while not stop.wait(0.01):
                for request in requests.take():
                    result = answer(request)
                    requests.finish(request.id, result, failed="error" in result)
                    if asked is not None:
                        asked.append(request)

        lock.acquire()
        thread = threading.Thread(target=serve, name="service")
        thread.start()
        try:
            yield database
        finally:
            stop.set()
            thread.join(5)
            lock.release()


def enqueued(**changes: Any) -> Callable[[Request], Mapping[str, Any]]:
    return lambda _request: {"snapshots": [SNAPSHOT | changes], "seconds": 0.25}


# asking


def test_what_is_asked_for_reaches_the_service(invoke: Invoke, url: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    asked: list[Request] = []
    with service(url, enqueued(), asked):
        result = invoke(
            "replay", "music", "--path", tmp_path / "link" / "a", "--since", "1h", "--database-url", url
        )
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "Snapshot 0191 of library music: 1,200 files enqueued",
        "Enqueued in 0.2 s",
    ]
    (request,) = asked
    wish = Wish.of(request.arguments)
    assert (wish.library, wish.queue) == ("music", None)
    assert wish.folders == (str(tmp_path / "link/a").encode(), str(tmp_path.resolve() / "real/a").encode())
    assert wish.since_ns is not None


def test_a_suspended_library_is_told_with_a_warning(invoke: Invoke, url: str) -> None:
    with service(url, enqueued(suspended="the disk is away", files=1)):
        result = invoke("replay", "--database-url", url)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[:2] == [
        "Snapshot 0191 of library music: 1 file enqueued",
        "  ! The library is suspended: this is what it held before (the disk is away)",
    ]


def test_the_answer_comes_as_json_too(invoke: Invoke, url: str) -> None:
    with service(url, enqueued()):
        result = invoke("replay", "--json", "--database-url", url)
    assert json.loads(result.stdout) == {
        "snapshots": [SNAPSHOT],
        "seconds": 0.25,
        "confirmed": False,
        "unrouted": None,
    }


@pytest.mark.parametrize(("misuse", "code"), [(True, 2), (False, 1)])
def test_what_the_service_refuses_is_told_in_its_words(
    invoke: Invoke, url: str, misuse: bool, code: int
) -> None:
    with service(url, lambda _: {"error": "No watched library is named musik", "misuse": misuse}):
        result = invoke("replay", "musik", "--database-url", url)
    assert result.exit_code == code
    assert "No watched library is named musik" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--since", "soon"], "--since 'soon' is neither a time nor a duration"),
        (["--path", ""], "--path '' is no path"),
        (["--queue", ""], "--queue takes a name of 1 to 255 bytes"),
        (["--queue", "ü" * 128], "--queue takes a name of 1 to 255 bytes"),
    ],
)
def test_wrong_use_is_refused_before_anybody_is_asked(
    invoke: Invoke, url: str, options: list[str], words: str
) -> None:
    result = invoke("replay", *options, "--database-url", url)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"file_watcher: {words}")
    assert result.stderr.count("\n") == 1


def test_without_a_service_nothing_is_enqueued(invoke: Invoke, url: str) -> None:
    with opened(url):
        result = invoke("replay", "--database-url", url)
    assert result.exit_code == 1
    assert result.stderr.startswith("file_watcher: No service runs with the catalog")


# the queue


def test_a_queue_that_is_not_there_is_refused(
    invoke: Invoke, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consume, "has_queue", lambda _config, queue: queue == "there")
    with service(url, enqueued()):
        missing = invoke("replay", "--queue", "elsewhere", "--database-url", url)
        there = invoke("replay", "--queue", "there", "--database-url", url)
    assert missing.exit_code == 2
    assert "has no queue 'elsewhere': create it first" in missing.stderr
    assert there.exit_code == 0


def test_a_broker_that_is_away_keeps_nothing_from_being_enqueued(
    invoke: Invoke, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_config: object, _queue: str) -> bool:
        raise BrokerUnavailable("RabbitMQ does not answer")

    monkeypatch.setattr(consume, "has_queue", away)
    with service(url, enqueued()):
        result = invoke("replay", "--queue", "late", "--database-url", url)
    assert result.exit_code == 0
    assert "Whether there is a queue late could not be seen: RabbitMQ does not answer" in result.stderr


# waiting


def test_the_wait_ends_when_all_of_it_is_confirmed(
    invoke: Invoke, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "_LOOK_SECONDS", 0.01)
    with service(url, enqueued()) as database:
        outbox = Outbox(database, [1])
        outbox.record([message(), message(), message()])  # the third is none of the snapshot's
        publisher = threading.Timer(0.3, outbox.mark_published, [[1, 2]])
        publisher.start()
        try:
            result = invoke("replay", "--wait", "--database-url", url)
        finally:
            publisher.join()
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith("All of it is confirmed.\n")


def test_messages_that_reached_no_queue_are_told(invoke: Invoke, url: str) -> None:
    with service(url, enqueued()) as database:
        outbox = Outbox(database, [1])
        outbox.record([message(), message()])
        outbox.mark_unrouted([1, 2])
        result = invoke("replay", "--wait", "--json", "--database-url", url)
    assert result.exit_code == 1
    assert json.loads(result.stdout)["unrouted"] == 2
    assert "2 of the messages reached no queue: none is bound to the exchange" in result.stderr


def test_a_wait_that_takes_too_long_says_what_is_left(invoke: Invoke, url: str) -> None:
    with service(url, enqueued()) as database:
        Outbox(database, [1]).record([message(), message()])
        result = invoke("replay", "--wait", "--timeout", "0.5", "--database-url", url)
    assert result.exit_code == 1
    assert "2 messages were not confirmed after 0.5 s; they stay enqueued" in result.stderr


def test_a_service_that_ends_meanwhile_is_noticed(
    invoke: Invoke, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("file_watcher.cli.catalogs.is_running", lambda *_: False)
    with service(url, enqueued()) as database:
        Outbox(database, [1]).record([message(), message()])
        monkeypatch.setattr(replaying, "ask", lambda *_: {"snapshots": [SNAPSHOT], "seconds": 0.1})
        result = invoke("replay", "--wait", "--database-url", url)
    assert result.exit_code == 1
    assert "2 messages stay enqueued, and are sent when it runs again" in result.stderr
