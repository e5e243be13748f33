"""Streams: what is told of files that are written for minutes, by a real service and real writers."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.consumer import Consumer
from tests.support.rabbitmq import RabbitNode
from tests.support.service import ServiceProcess, running
from tests.support.waiting import wait_for

IDLE = 1.5
"""Seconds of the idle timeout; the debounce is 0.2 s, growth is told at most each second."""
MAX_WAIT = 1.0
CHUNK = b"music" * 20_000
STREAM = {"FILE_WATCH_IDLE_TIMEOUT": f"{IDLE}s", "FILE_WATCH_MAX_WAIT": f"{MAX_WAIT}s"}

pause = threading.Event().wait
"""What paces the writers; nothing is waited for with it."""

Events = list[dict[str, Any]]


class Listener(Consumer):
    """A consumer that can be asked what was told of one file."""

    def told(self, path: Path) -> Events:
        """The events about the file so far, in order."""
        self.drain()
        return [event.body for event in self.events() if event.body["file_path"] == str(path)]

    def kinds(self, path: Path) -> list[str]:
        """Their types."""
        return [event["event_type"] for event in self.told(path)]

    def wait_for_more(self, path: Path) -> None:
        """Wait until more was told of the file than that it is there."""
        wait_for(lambda: len(self.told(path)) > 1, f"the change of {path.name}", 60)

    def wait_for_idle(self, path: Path, times: int = 1, seconds: float = 60) -> Events:
        """Wait until the file was told as idle so often."""
        wait_for(lambda: self.kinds(path).count("idle") >= times, f"{path.name} to be idle", seconds)
        return self.told(path)


@pytest.fixture
def listener(rabbit: RabbitNode, exchange: str) -> Listener:
    listener = Listener(rabbit.url, exchange)
    listener.subscribe()
    return listener


@pytest.fixture
def service(tmp_path: Path, library: Path, rabbit: RabbitNode, exchange: str) -> ServiceProcess:
    return ServiceProcess(tmp_path, library, rabbit.url, exchange, **STREAM)


@contextmanager
def writing(path: Path, *, keeps_open: bool) -> Iterator[None]:
    """Somebody who goes on appending, ten times a second."""
    enough = threading.Event()

    def write() -> None:
        file = path.open("ab", buffering=0)
        while not enough.wait(0.1):
            file.write(CHUNK)
            if not keeps_open:
                file.close()
                file = path.open("ab", buffering=0)
        file.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        enough.set()
        writer.join()


def check_recording(events: Events, path: Path) -> None:
    """Created, then growing without hashes, then idle once with the hash of what the file holds now."""
    *growth, last = events
    assert [event["event_type"] for event in growth] == ["created"] + ["modified"] * (len(growth) - 1)
    assert all(event["growing"] and event["sha256_hash"] is None for event in growth)
    assert last["event_type"] == "idle"
    assert (last["growing"], last["size"]) == (False, path.stat().st_size)
    assert last["sha256_hash"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [event["version"] for event in events] == [*range(1, len(events) + 1)]


def test_recordings_are_told_while_they_grow_and_once_when_they_are_idle(
    library: Path, listener: Listener, service: ServiceProcess
) -> None:
    held, cycled, moved = library / "held.mp4", library / "cycled.mp4", library / "moved.mp4"
    place = library / "place.mp4"
    with running(service):
        with (
            writing(held, keeps_open=True),
            writing(cycled, keeps_open=False),
            writing(moved, keeps_open=True),
        ):
            wait_for(lambda: len(listener.told(held)) >= 3, "three messages of growth")
            wait_for(lambda: len(listener.told(cycled)) >= 1, "the other one's")
            wait_for(lambda: len(listener.told(moved)) >= 1, "and the one's that is moved")
            moved.rename(place)
            wait_for(lambda: bool(listener.told(place)), "the move")
            assert service.metric("watcher_hashed_bytes_total") <= 3 * 10 * len(CHUNK)
        recordings = {path: listener.wait_for_idle(path) for path in (held, cycled, place)}
        read = service.metric("watcher_hashed_bytes_total")
        service.sync()
    check_recording(recordings[held], held)
    assert recordings[cycled][-1]["sha256_hash"] == hashlib.sha256(cycled.read_bytes()).hexdigest()
    assert "renamed" in listener.kinds(place)
    sizes = sum(path.stat().st_size for path in (held, cycled, place))
    assert sizes <= read <= 1.2 * sizes
    for path in (held, cycled, place):
        assert listener.kinds(path).count("idle") == 1
    assert listener.mirror.problems == []


def test_what_is_complete_when_it_comes_is_told_with_its_hashes_and_read_once(
    library: Path, listener: Listener, service: ServiceProcess
) -> None:
    old, fresh, gone, held = (library / f"{name}.mp4" for name in ("old", "fresh", "gone", "held"))
    old.write_bytes(CHUNK)
    pause(IDLE)
    with running(service), held.open("wb", buffering=0) as held_open:
        held_open.write(CHUNK)
        listener.wait_for_idle(old)
        fresh.write_bytes(CHUNK)
        with gone.open("wb") as file:
            file.write(CHUNK)
            file.flush()
            wait_for(lambda: bool(listener.told(gone)), "the open file")
            gone.unlink()
        listener.wait_for_idle(fresh)
        listener.wait_for_idle(held)
        held_open.write(CHUNK)
        with fresh.open("ab") as file:
            file.write(CHUNK)
        again = listener.wait_for_idle(fresh, times=2)
        listener.wait_for_idle(held, times=2)
        fresh.open("ab").close()
        wait_for(lambda: "deleted" in listener.kinds(gone), "the deletion")
        pause(IDLE + MAX_WAIT)
        read = service.metric("watcher_hashed_bytes_total")
        service.sync()
        assert listener.kinds(old) == ["created", "idle"]
        with old.open("ab", buffering=0) as reopened:
            reopened.write(CHUNK)
            wait_for(lambda: listener.kinds(old)[-1] == "modified", "the growth, though it is not closed")
    assert listener.kinds(fresh) == ["created", "idle", "modified", "idle"], "to close is not to write"
    assert [event["growing"] for event in again] == [False, False, True, False]
    assert again[0]["sha256_hash"] == again[1]["sha256_hash"] == hashlib.sha256(CHUNK).hexdigest()
    assert listener.kinds(gone) == ["created", "deleted"], "what is deleted is never idle"
    assert listener.kinds(held) == ["created", "idle", "modified", "idle"], "also while it stays open"
    assert listener.told(held)[-1]["sha256_hash"] == hashlib.sha256(CHUNK * 2).hexdigest()
    assert read == (1 + 1 + 2 + 2 + 1 + 2) * len(CHUNK), "each content once, and once more after the close"
    assert listener.mirror.problems == []


def test_idle_that_falls_due_while_the_service_is_down_is_told_once(
    library: Path, listener: Listener, service: ServiceProcess
) -> None:
    grown, complete, told = library / "grown.mp4", library / "complete.mp4", library / "told.mp4"
    told.write_bytes(CHUNK)
    service.start()
    service.wait_until_ready()
    listener.wait_for_idle(told)
    with writing(grown, keeps_open=True):
        wait_for(lambda: bool(listener.told(grown)), "the recording")
        complete.write_bytes(CHUNK)
        wait_for(lambda: bool(listener.told(complete)), "the other file")
        service.kill()
    pause(IDLE)
    assert [listener.kinds(path)[-1] for path in (grown, complete)] != ["idle", "idle"]
    with running(service):
        for path in (grown, complete):
            listener.wait_for_idle(path)
        service.sync()
    with running(service):
        service.sync()
        pause(IDLE)
        read = service.metric("watcher_hashed_bytes_total")
    check_recording(listener.told(grown), grown)
    assert listener.kinds(complete) == ["created", "idle"]
    assert listener.kinds(told) == ["created", "idle"]
    assert read == 0, "a start reads nothing of what is known"
    assert listener.mirror.problems == []


def test_streams_on_a_polled_mount_are_told_alike(
    library: Path, listener: Listener, service: ServiceProcess
) -> None:
    service.environment |= {"FILE_WATCH_OBSERVER": "polling", "FILE_WATCH_POLL_INTERVAL": "500ms"}
    held, cycled = library / "held.mp4", library / "cycled.mp4"
    with running(service):
        with writing(held, keeps_open=True), writing(cycled, keeps_open=False):
            wait_for(lambda: len(listener.told(held)) >= 3, "three messages of growth")
        for path in (held, cycled):
            listener.wait_for_idle(path)
        service.sync()
    check_recording(listener.told(held), held)
    assert listener.kinds(cycled).count("idle") == 1
    assert listener.told(cycled)[-1]["sha256_hash"] == hashlib.sha256(cycled.read_bytes()).hexdigest()
    assert listener.mirror.problems == []


def test_a_change_of_mode_alone_is_told_unread_and_none_is_made_up_when_that_is_switched_on(
    library: Path, listener: Listener, service: ServiceProcess
) -> None:
    songs = [library / f"{number}.mp3" for number in range(5)]
    for song in songs:
        song.write_bytes(CHUNK)
    del service.environment["FILE_WATCH_IDLE_TIMEOUT"]
    with running(service):
        service.sync()
        songs[0].chmod(0o600)
    service.environment["FILE_WATCH_EMIT_CHMOD"] = "true"
    with running(service):
        service.sync()
        read = service.metric("watcher_hashed_bytes_total")
        assert [listener.kinds(song) for song in songs] == [["created"]] * 5
        songs[1].chmod(0o600)
        os.chown(songs[2], 1, 1)
        for song in songs[1:3]:
            listener.wait_for_more(song)
        service.sync()
        assert service.metric("watcher_hashed_bytes_total") == read
    songs[3].chmod(0o600)
    with running(service):
        listener.wait_for_more(songs[3])
        service.sync()
    assert [event["changed"] for song in songs for event in listener.told(song)[1:]] == [["attributes"]] * 3
    assert listener.kinds(songs[0]) == listener.kinds(songs[4]) == ["created"]
    digest = hashlib.sha256(CHUNK).hexdigest()
    assert {event["sha256_hash"] for song in songs for event in listener.told(song)} == {digest}


def test_a_missing_folder_is_made_only_the_first_time(
    tmp_path: Path, listener: Listener, service: ServiceProcess, library: Path
) -> None:
    library.rmdir()
    service.environment["FILE_WATCH_CREATE_MISSING"] = "true"
    with running(service):
        (library / "song.mp3").write_bytes(CHUNK)
        service.sync()
    shutil.move(library, tmp_path / "away")
    service.start()
    try:
        wait_for(lambda: "missing_folder_not_made" in service.log.read_text(), "the refusal", 60)
        wait_for(lambda: "library_suspended" in service.log.read_text(), "the suspension", 60)
    finally:
        assert service.stop() == 0
    assert not library.exists()
    assert listener.kinds(library / "song.mp3")[0] == "created"


CAMERA = ["ffmpeg", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc=size=640x360:rate=10"]
FORMAT = ["-c:v", "mpeg4", "-g", "5", "-movflags", "+frag_keyframe+empty_moov", "-flush_packets", "1"]
"""Fragments of half a second, each written when it is complete."""


@contextmanager
def recording(path: Path, seconds: float) -> Iterator[subprocess.Popen[bytes]]:
    """ffmpeg that records for so long, in real time, as a camera does."""
    process = subprocess.Popen(
        [*CAMERA, "-t", str(seconds), *FORMAT, str(path)],
        stdin=subprocess.DEVNULL,
    )
    try:
        yield process
        assert process.wait(seconds + 60) == 0
    finally:
        process.kill()
        process.wait()


def record(
    service: ServiceProcess, listener: Listener, path: Path, seconds: float, *, restarts: bool
) -> tuple[Events, float]:
    """What is told of a recording, and how many bytes were read in relation to its size."""
    read = 0.0
    with recording(path, seconds) as camera:
        with running(service):
            wait_for(lambda: len(listener.told(path)) >= 2, "growth", seconds)
            if not restarts:
                camera.wait()
                listener.wait_for_idle(path)
            read += service.metric("watcher_hashed_bytes_total")
        if restarts:
            with running(service):
                camera.wait()
                listener.wait_for_idle(path)
                read += service.metric("watcher_hashed_bytes_total")
    events = listener.told(path)
    for event in events:
        print(event["timestamp"], event["event_type"], event["growing"], event["size"], event["sha256_hash"])
    print(f"read {read:.0f} bytes of {path.stat().st_size}: {read / path.stat().st_size:.3f} passes")
    return events, read / path.stat().st_size


def test_a_recording_by_ffmpeg_is_read_once_also_across_a_restart(
    library: Path, listener: Listener, service: ServiceProcess
) -> None:
    path = library / "recording.mp4"
    events, passes = record(service, listener, path, 6, restarts=True)
    check_recording(events, path)
    assert events[-1]["metadata"] is not None
    assert passes == 1.0


@pytest.mark.soak
@pytest.mark.parametrize("restarts", [False, True])
def test_a_minute_of_recording_is_read_once(
    library: Path, listener: Listener, service: ServiceProcess, restarts: bool
) -> None:
    service.environment |= {
        "FILE_WATCH_IDLE_TIMEOUT": "3s",
        "FILE_WATCH_MAX_WAIT": "10s",
        "FILE_WATCH_DEBOUNCE_TIME": "1s",
    }
    path = library / "recording.mp4"
    events, passes = record(service, listener, path, 60, restarts=restarts)
    check_recording(events, path)
    assert 6 <= len(events) <= 9
    assert passes == 1.0
