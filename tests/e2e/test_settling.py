"""A file is told when it has settled: real writers of all kinds, and a real service that may not fall for them."""

from __future__ import annotations

import hashlib
import mmap
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from tests.support.consumer import Consumer
from tests.support.inside import InsideService, serving
from tests.support.rabbitmq import RabbitNode
from tests.support.service import ServiceProcess, disk, running
from tests.support.waiting import wait_for

WINDOW = 0.2
"""Seconds of the debounce, in `QUICK`."""
STALL = 5 * WINDOW
CHUNK = b"music" * 20_000

pause = threading.Event().wait
"""What paces the writers; nothing is waited for with it."""


class Listener(Consumer):
    """A consumer that can be asked what was told of one file."""

    def told(self, path: Path) -> list[dict[str, Any]]:
        """The events about the file so far, in order."""
        self.drain()
        return [event.body for event in self.events() if event.body["file_path"] == str(path)]

    def wait_until_told(self, path: Path) -> None:
        """Wait for the first event about the file."""
        wait_for(lambda: bool(self.told(path)), f"{path.name} to be told")

    def wait_for_growth(self, path: Path) -> None:
        """Wait until the file is told as growing."""
        wait_for(lambda: any(event["growing"] for event in self.told(path)), f"{path.name} to be growing")


@pytest.fixture
def listener(rabbit: RabbitNode, exchange: str) -> Listener:
    listener = Listener(rabbit.url, exchange)
    listener.subscribe()
    return listener


@pytest.fixture
def service(tmp_path: Path, library: Path, rabbit: RabbitNode, exchange: str) -> ServiceProcess:
    return ServiceProcess(tmp_path, library, rabbit.url, exchange)


@contextmanager
def appending(path: Path) -> Iterator[None]:
    """Somebody who keeps the file open and goes on writing, with pauses shorter than the window."""
    enough = threading.Event()

    def write() -> None:
        with path.open("ab", buffering=0) as file:
            while not enough.wait(WINDOW / 4):
                file.write(CHUNK)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        enough.set()
        writer.join()


def begun(path: Path, at: ExitStack) -> BinaryIO:
    """A file that is open for writing and has its first part."""
    file: BinaryIO = at.enter_context(path.open("wb", buffering=0))
    file.write(CHUNK)
    return file


def check_told_once(events: list[dict[str, Any]], path: Path) -> None:
    """One message, with the hash of what the file holds now."""
    assert [event["event_type"] for event in events] == ["created"]
    assert events[0]["sha256_hash"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not events[0]["growing"]


def test_writers_that_stall_for_longer_than_the_window_give_one_message_each(
    library: Path, listener: Listener, service: ServiceProcess
) -> None:
    copied, reserved, mapped = (library / f"{name}.mp3" for name in ("copied", "reserved", "mapped"))
    other = library / "other.mp3"
    with running(service), ExitStack() as at:
        copy = begun(copied, at)
        download: BinaryIO = at.enter_context(reserved.open("wb", buffering=0))
        os.posix_fallocate(download.fileno(), 0, 3 * len(CHUNK))
        with mapped.open("w+b") as file:
            file.truncate(2 * len(CHUNK))
            pages = mmap.mmap(file.fileno(), 0)
        pages[: len(CHUNK)] = CHUNK
        for _ in range(3):
            download.write(CHUNK)
            pause(STALL)
        other.write_bytes(CHUNK)
        listener.wait_until_told(other)
        assert [listener.told(path) for path in (copied, reserved, mapped)] == [[], [], []]

        copy.write(CHUNK)
        pages[len(CHUNK) :] = CHUNK
        pages.close()
        at.close()
        service.sync()
        for path in (copied, reserved, mapped):
            check_told_once(listener.told(path), path)


def test_a_file_that_stays_open_is_told_after_the_longest_wait_and_growth_without_hashes(
    library: Path, listener: Listener, service: ServiceProcess
) -> None:
    still, growing = library / "still.mp3", library / "growing.mp3"
    service.environment["FILE_WATCH_MAX_WAIT"] = "1s"
    with running(service), ExitStack() as at:
        held = begun(still, at)
        with appending(growing):
            listener.wait_until_told(still)
            wait_for(lambda: len(listener.told(growing)) >= 3, "three messages of growth")
        check_told_once(listener.told(still), still)
        held.write(CHUNK)
        at.close()
        service.sync()

    assert [event["event_type"] for event in listener.told(still)] == ["created", "modified"]
    *growth, last = listener.told(growing)
    assert [event["event_type"] for event in growth] == ["created"] + ["modified"] * (len(growth) - 1)
    assert all(event["growing"] and event["sha256_hash"] is None for event in growth)
    times = [event["timestamp"] for event in growth]
    assert len({time[:19] for time in times}) == len(times), "at most one message in each second"
    assert (last["growing"], last["sha256_hash"]) == (False, hashlib.sha256(growing.read_bytes()).hexdigest())
    assert listener.mirror.problems == []


def test_what_is_being_written_when_the_service_starts_settles_too(
    library: Path, listener: Listener, service: ServiceProcess
) -> None:
    still, growing, other = (library / f"{name}.mp3" for name in ("still", "growing", "other"))
    other.write_bytes(CHUNK)
    with ExitStack() as at:
        held = begun(still, at)
        with appending(growing):
            service.start()
            try:
                listener.wait_until_told(other)
                pause(STALL)
                assert [listener.told(path) for path in (still, growing)] == [[], []]
                held.write(CHUNK)
                at.close()
                listener.wait_until_told(still)
                assert listener.told(growing) == []
            except BaseException:
                service.kill()
                raise
        try:
            service.wait_until_ready()
            service.sync()
        finally:
            code = service.stop()
    assert code == 0
    for path in (still, growing):
        check_told_once(listener.told(path), path)


class NoLeases:
    """Every filesystem is one of which it cannot be known who writes."""

    def learn(self, library: object) -> None:
        """Learn nothing."""

    def __call__(self, device: int) -> bool:
        """Trust none."""
        return False


def test_without_leases_a_file_is_told_when_it_holds_still(
    tmp_path: Path,
    library: Path,
    listener: Listener,
    rabbit: RabbitNode,
    exchange: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("file_watcher.assembly.examining.LeaseTrust", NoLeases)
    before, copied, growing, still = (
        library / f"{name}.mp3" for name in ("before", "copied", "growing", "still")
    )
    catalog = f"sqlite:///{tmp_path / 'catalog.db'}"
    inside = InsideService(library, rabbit.url, exchange, catalog, max_wait="1s")
    with ExitStack() as at, appending(before), serving(inside, until_ready=False):
        begun(still, at)
        listener.wait_until_told(still)
        with appending(growing):
            listener.wait_for_growth(growing)
        listener.wait_for_growth(before)
        for _ in range(3):
            with copied.open("ab") as file:
                file.write(CHUNK)
        inside.wait_until_ready()
        wait_for(lambda: bool(listener.told(copied)), "the copy")
        wait_for(lambda: listener.told(growing)[-1]["sha256_hash"] is not None, "the hash")
        inside.sync()
        check_told_once(listener.told(still), still)
        check_told_once(listener.told(copied), copied)
    assert listener.told(growing)[-1]["sha256_hash"] == hashlib.sha256(growing.read_bytes()).hexdigest()
    assert listener.mirror.problems == []


def test_a_write_under_a_name_that_is_not_watched_is_told_of_the_names_that_are(
    service: ServiceProcess, listener: Listener, library: Path
) -> None:
    songs = [library / "song.mp3", library / "folder" / "same song.mp3"]
    songs[1].parent.mkdir()
    songs[0].write_bytes(b"before")
    songs[1].hardlink_to(songs[0])
    unwatched = [library / "folder" / "notes.txt", library / ".hidden"]
    for name in unwatched:
        name.hardlink_to(songs[0])
    with running(service):
        service.sync()
        for name in unwatched:
            with name.open("ab") as file:
                file.write(b", after")
            service.sync()
    listener.drain()
    assert listener.mirror.files == disk(library, suffixes=(".mp3",))
    for song in songs:
        assert [event["event_type"] for event in listener.told(song)] == ["created", "modified", "modified"]


def test_a_write_under_an_unwatched_name_that_moves_at_once_is_not_missed(
    service: ServiceProcess, listener: Listener, library: Path
) -> None:
    song = library / "song.mp3"
    song.write_bytes(b"before")
    folder = library / "folder"
    folder.mkdir()
    notes = folder / "notes.txt"
    notes.hardlink_to(song)
    with running(service):
        service.sync()
        notes.write_bytes(b"after")
        notes = notes.rename(folder / "moved.txt")
        service.sync()
        notes.write_bytes(b"after all")
        folder.rename(library / "moved")
        service.sync()
    assert listener.told(song)[-1]["size"] == len(b"after all")
    assert [event["event_type"] for event in listener.told(song)] == ["created", "modified", "modified"]
