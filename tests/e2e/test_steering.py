"""What is watched, and how, is changed in the database while the service runs: nothing is lost or invented."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from file_watcher.catalog.change_triggers import remove
from tests.support.catalog import opened
from tests.support.consumer import Consumer, Message, Mirror
from tests.support.operator import Operator
from tests.support.rabbitmq import RabbitNode
from tests.support.service import ServiceProcess, disk, running
from tests.support.waiting import wait_for


class Listener:
    """A consumer that waits for single messages, in any order."""

    def __init__(self, url: str, exchange: str) -> None:
        self.consumer = Consumer(url, exchange)
        self.consumer.subscribe()
        self._unclaimed: list[Message] = []

    @property
    def mirror(self) -> Mirror:
        """What the messages taken so far say of the disk."""
        return self.consumer.mirror

    def hear(self) -> None:
        """Take what has come since."""
        self._unclaimed += self.consumer.drain()

    def wait_for(self, kind: str, path: Path | None = None, library: str | None = None) -> Message:
        """The first message of this kind, about this file or library, that was not asked for before."""

        def found() -> Message | None:
            self.hear()
            for message in self._unclaimed:
                is_meant = message.kind == kind and (path is None or message.body["file_path"] == str(path))
                if is_meant and (library is None or message.body["library"]["name"] == library):
                    self._unclaimed.remove(message)
                    return message
            return None

        message = wait_for(found, f"{kind} of {path or library}", 30, every=0.05)
        assert message is not None
        return message


@pytest.fixture
def listener(rabbit: RabbitNode, exchange: str) -> Listener:
    """Subscribed before anything is published."""
    return Listener(rabbit.url, exchange)


@pytest.fixture
def service(
    tmp_path: Path, library: Path, rabbit: RabbitNode, exchange: str, database_url: str, listener: Listener
) -> Iterator[ServiceProcess]:
    """The service over one folder that its environment names, ready; once with each database."""
    with running(ServiceProcess(tmp_path, library, rabbit.url, exchange, database_url)) as service:
        yield service


@pytest.fixture
def operator(service: ServiceProcess, database_url: str) -> Operator:
    """Somebody at the database."""
    return Operator(database_url)


def song(folder: Path, name: str) -> Path:
    """A file like no other, in a folder that is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(f"the song of {name}".encode())
    return path


def test_libraries_and_settings_are_changed_while_it_runs(
    tmp_path: Path, library: Path, service: ServiceProcess, operator: Operator, listener: Listener
) -> None:
    other, name_prefix = tmp_path / "lib", tmp_path / "lib2"
    first = song(other, "first.mp3")
    number = operator.add_library("other", other, debounce_time="100ms")
    listener.wait_for("created", first)

    # its own rules, and only its own
    text = song(other, "notes.txt")
    operator.rule(number, "patterns", "*.mp3,*.txt")
    listener.wait_for("created", text)
    operator.rule(number, "patterns", "*.txt")
    assert listener.wait_for("deleted", first).body["reason"] == "unmatched"
    operator.rule(number, "patterns", "*")
    listener.wait_for("created", first)

    # a folder whose name only begins alike is none below it; one below it is refused
    sibling = song(name_prefix, "100%_sure.mp3")
    operator.add_library("sibling", name_prefix)
    listener.wait_for("created", sibling)
    inside = operator.add_library("inside", song(other / "inside", "b.mp3").parent)
    refused = wait_for(lambda: refusals(service), "the refusal of a library inside another one")
    assert "'inside'" in refused[0]
    assert "'other'" in refused[0]
    operator.watch(inside, is_watched=False)

    # a row that cannot be used leaves what held before
    operator.rule(number, "debounce_time", "soon")
    wait_for(lambda: any("'soon'" in line for line in refusals(service)), "the refusal of a rule")
    listener.wait_for("created", song(other, "after.mp3"))

    # unwatched: a notice, and silence; watched again: what changed meanwhile
    operator.watch(number, is_watched=False)
    listener.wait_for("library.unwatched", library="other")
    first.unlink()
    unseen = song(other, "unseen.mp3")
    listener.wait_for("created", song(library, "elsewhere.mp3"))
    service.sync()
    listener.hear()
    assert os.fsencode(first) in listener.mirror.files
    assert os.fsencode(unseen) not in listener.mirror.files
    operator.watch(number, is_watched=True)
    listener.wait_for("deleted", first)
    listener.wait_for("created", unseen)

    # workers, bounds and rates, while files change
    for turn, settings in enumerate(TURNS):
        operator.settings(**settings)
        for number in range(20):
            song(other, f"{number}.mp3").write_bytes(f"turn {turn} of {number}".encode())
    assert_converged(service, listener, library, other, name_prefix)
    assert wait_for(lambda: steering(service)["from_next_start"], "what waits for a restart") == [
        "tag_timeout"
    ]


TURNS = (
    {"scan_workers": "1", "buffer_size": "4"},
    {"rate_limit": "50", "batch_size": "2"},
    {"scan_workers": "6", "buffer_size": "512", "debounce_time": "50ms"},
    {"rate_limit": "off", "read_rate_limit": "100", "tag_timeout": "5s"},
)


@pytest.mark.soak
def test_nothing_is_lost_while_everything_is_changed_under_load(
    library: Path, service: ServiceProcess, operator: Operator, listener: Listener, tmp_path: Path
) -> None:
    other = tmp_path / "lib"
    song(other, "first.mp3")
    number = operator.add_library("other", other, debounce_time="100ms")
    listener.wait_for("created", other / "first.mp3")
    writer = threading.Thread(target=lambda: [song(other / str(n % 7), f"{n}.mp3") for n in range(3_000)])
    writer.start()
    try:
        for turn in itertools.count():
            operator.settings(**TURNS[turn % len(TURNS)])
            operator.rule(number, "patterns", "*.txt" if turn % 2 else "*")
            operator.watch(number, is_watched=turn % 5 != 3)
            listener.hear()
            if not writer.is_alive():
                break
    finally:
        writer.join()
    operator.watch(number, is_watched=True)
    operator.rule(number, "patterns", "*")
    operator.rule(number, "loss_guard", "off")
    operator.settings(rate_limit="off")
    listener.wait_for("created", song(other, "last.mp3"))
    assert_converged(service, listener, library, other)


@pytest.mark.soak
def test_without_triggers_changes_are_found_by_looking(
    tmp_path: Path, library: Path, rabbit: RabbitNode, exchange: str, postgres_url: str, listener: Listener
) -> None:
    with opened(postgres_url) as database, database.writing() as connection:
        remove(connection)
    other = tmp_path / "lib"
    first = song(other, "first.mp3")
    with running(ServiceProcess(tmp_path, library, rabbit.url, exchange, postgres_url)) as service:
        operator = Operator(postgres_url)
        number = operator.add_library("other", other)
        listener.wait_for("created", first)
        operator.rule(number, "patterns", "*.txt")
        assert listener.wait_for("deleted", first).body["reason"] == "unmatched"
        operator.watch(number, is_watched=False)
        listener.wait_for("library.unwatched", library="other")
        assert service.stop() == 0
        service.start()
        service.wait_until_ready()
        operator.watch(number, is_watched=True)
        operator.rule(number, "patterns", "*")
        listener.wait_for("created", first)
        assert_converged(service, listener, library, other)


def assert_converged(service: ServiceProcess, listener: Listener, *folders: Path) -> None:
    """The mirror equals the disk, and no message contradicted another."""
    service.sync()
    listener.hear()
    assert listener.mirror.files == disk(*folders)
    assert (listener.mirror.problems, listener.mirror.duplicates) == ([], 0)


def refusals(service: ServiceProcess) -> list[str]:
    """What the health says is refused."""
    refused: list[str] = steering(service)["refused"]
    return refused


def steering(service: ServiceProcess) -> dict[str, Any]:
    """What the health says of steering."""
    found: dict[str, Any] = service.ask("/healthz")[1]["components"]["steering"]
    return found
