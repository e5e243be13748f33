from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, wait
from pathlib import Path

import psutil
import pytest

from file_watcher.lifecycle import Deadline
from file_watcher.model import FileStat, Metadata
from file_watcher.processing.tags import process
from file_watcher.processing.tags.crew import Crew
from file_watcher.processing.tags.errors import FileChanged, TagReaderClosed, TagsUnavailable
from file_watcher.processing.tags.pool import TagReader
from file_watcher.processing.tags.whole import WholeFuture
from file_watcher.telemetry import Telemetry
from tests.support.crafted_media import greedy_flac, id3, mpeg_frames, slow_mp3, text_frame
from tests.support.waiting import wait_for

ROOT = Path(__file__).parents[4]
MEMORY = 512 << 20
PATIENCE = 60.0
SLOW_FRAMES = 300_000
"""10 s of reading, and more on a busy machine."""

Make = Callable[..., TagReader]


class CountingTelemetry(Telemetry):
    def __init__(self) -> None:
        self.errors: list[str] = []

    def error(self, stage: str) -> None:
        self.errors.append(stage)


@pytest.fixture
def failures() -> list[BaseException]:
    return []


@pytest.fixture
def make(failures: list[BaseException]) -> Iterator[Make]:
    readers = []

    def make(
        processes: int = 1, memory: int = MEMORY, timeout: float = PATIENCE, **more: object
    ) -> TagReader:
        reader = TagReader(processes, memory, timeout, on_failure=lambda _, exc: failures.append(exc), **more)  # type: ignore[arg-type]
        readers.append(reader)
        reader.start()
        return reader

    yield make
    for reader in readers:
        reader.close()
    assert all(reader.join(Deadline(10)) for reader in readers)


def titled(folder: Path, title: str) -> Path:
    path = folder / f"{title}.mp3"
    path.write_bytes(id3(text_frame("TIT2", title)) + mpeg_frames())
    return path


def submit(reader: TagReader, path: Path) -> Future[Metadata | None]:
    return reader.submit(bytes(path), FileStat.of(path.stat()))


def whole(reader: TagReader, path: Path) -> WholeFuture:
    return reader.submit_whole(bytes(path), FileStat.of(path.stat()))


def title(future: Future[Metadata | None]) -> str:
    metadata = future.result(PATIENCE)
    assert metadata is not None
    assert "error" not in metadata
    found: str = metadata["tags"]["title"]
    return found


def error(future: Future[Metadata | None]) -> str:
    metadata = future.result(PATIENCE)
    assert metadata is not None
    json.dumps(metadata)
    assert metadata["duration"] is metadata["format"] is None
    assert metadata["tags"] == {}
    sentence: str = metadata["error"]
    return sentence


def children() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children()
        if "file_watcher.processing.tags.child" in child.cmdline()
    ]


def the_child_that_reads(path: Path) -> psutil.Process:
    def look() -> psutil.Process | None:
        for child in children():
            if str(path) in {file.path for file in child.open_files()}:
                return child
        return None

    found = wait_for(look, f"a child that reads {path.name}")
    assert found is not None
    return found


def test_nothing_is_started_before_the_first_file(make: Make) -> None:
    make()
    assert children() == []


def test_every_file_gets_its_own_metadata(make: Make, tmp_path: Path) -> None:
    names = [f"title {number}" for number in range(200)]
    reader = make(processes=2)
    futures = [submit(reader, titled(tmp_path, name)) for name in names]
    assert [title(future) for future in futures] == names
    assert 1 <= len(children()) <= 2


def test_a_whole_file_gets_its_hashes_too(make: Make, tmp_path: Path) -> None:
    paths = [titled(tmp_path, f"title {number}") for number in range(50)]
    reader = make()
    for path, future in [(path, whole(reader, path)) for path in paths]:
        found = future.result(PATIENCE)
        assert found.metadata is not None
        assert found.metadata["tags"] == {"title": path.stem}
        assert found.reading is not None
        assert found.reading.stat == FileStat.of(path.stat())
        assert found.reading.fingerprint.sha256 == hashlib.sha256(path.read_bytes()).digest()


def test_a_whole_file_that_changed_since_is_not_read(make: Make, tmp_path: Path) -> None:
    path = titled(tmp_path, "first")
    stat = FileStat.of(path.stat())
    path.write_bytes(b"another content")
    with pytest.raises(FileChanged):
        make().submit_whole(bytes(path), stat).result(PATIENCE)


def test_a_damaged_whole_file_has_hashes_and_an_error_and_is_counted_once(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "damaged.mp3"
    path.write_bytes(b"no music at all")
    telemetry = CountingTelemetry()
    found = whole(make(telemetry=telemetry), path).result(PATIENCE)
    assert found.reading is not None
    assert found.reading.fingerprint.sha256 == hashlib.sha256(b"no music at all").digest()
    assert found.metadata is not None
    assert "error" in found.metadata
    assert telemetry.errors == ["tags"]


def test_a_whole_file_that_costs_two_children_is_left_to_others(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "slow.mp3"
    path.write_bytes(slow_mp3(SLOW_FRAMES))
    reader = make(timeout=0.3)
    found = whole(reader, path).result(PATIENCE)
    assert found.reading is None
    assert found.metadata is not None
    assert "took longer than 0.3 s" in found.metadata["error"]
    assert submit(reader, path).result(PATIENCE) == found.metadata, "what it did to them is known"


def test_a_whole_file_that_the_system_refuses_is_left_to_others(make: Make, tmp_path: Path) -> None:
    stat = FileStat.of(titled(tmp_path, "song").stat())
    telemetry = CountingTelemetry()
    with pytest.raises(TagsUnavailable, match="File name too long"):
        make(telemetry=telemetry).submit_whole(b"/%s.mp3" % (b"a" * 5000), stat).result(PATIENCE)
    assert telemetry.errors == [], "who reads it then counts it"


def test_what_is_no_media_has_no_metadata(make: Make, tmp_path: Path) -> None:
    (tmp_path / "file.json").write_bytes(b"{}")
    assert submit(make(), tmp_path / "file.json").result(PATIENCE) is None


def test_a_damaged_file_is_answered_with_an_error_and_counted(make: Make, tmp_path: Path) -> None:
    (tmp_path / "file.mp3").write_bytes(b"no audio")
    telemetry = CountingTelemetry()
    assert "no media" in error(submit(make(telemetry=telemetry), tmp_path / "file.mp3"))
    assert telemetry.errors == ["tags"]


def test_a_file_that_changed_since_is_not_read(make: Make, tmp_path: Path) -> None:
    path = titled(tmp_path, "title")
    stat = FileStat.of(path.stat())
    path.chmod(0o600)
    with pytest.raises(FileChanged, match=r"title\.mp3 changed"):
        make().submit(bytes(path), stat).result(PATIENCE)


def test_a_fifo_in_the_place_of_a_file_does_not_hang(make: Make, tmp_path: Path) -> None:
    path = titled(tmp_path, "title")
    stat = FileStat.of(path.stat())
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(FileChanged):
        make().submit(bytes(path), stat).result(PATIENCE)


def test_names_that_are_no_utf_8_and_more_requests_than_a_pipe_holds_arrive(
    make: Make, tmp_path: Path
) -> None:
    reader = make()
    missing = bytes(tmp_path) + b"/" + b"\xff" * 250
    long = [missing + (b"/" + b"\xfe" * 250) * 14 for _ in range(300)]
    futures = [reader.submit(path, FileStat(0, 0, 0, 0, 0)) for path in long]
    assert {type(future.exception(PATIENCE)) for future in futures} == {FileChanged}


def test_a_file_that_takes_too_long_is_given_up_and_the_others_of_its_batch_are_not(
    make: Make, tmp_path: Path
) -> None:
    (tmp_path / "slow.mp3").write_bytes(slow_mp3(SLOW_FRAMES))
    telemetry = CountingTelemetry()
    reader = make(timeout=0.5, telemetry=telemetry)
    before = [submit(reader, titled(tmp_path, f"before {number}")) for number in range(3)]
    slow = submit(reader, tmp_path / "slow.mp3")
    after = [submit(reader, titled(tmp_path, f"after {number}")) for number in range(30)]
    assert error(slow) == "Reading the tags of this file took longer than 0.5 s."
    assert [title(future) for future in before] == [f"before {number}" for number in range(3)]
    assert [title(future) for future in after] == [f"after {number}" for number in range(30)]
    assert telemetry.errors == ["tags"]


def test_a_child_that_was_stopped_is_ended_and_its_files_are_read_by_another(
    make: Make, tmp_path: Path
) -> None:
    slow = tmp_path / "slow.mp3"
    slow.write_bytes(slow_mp3(20_000))
    reader = make(timeout=3)
    futures = [submit(reader, slow), *(submit(reader, titled(tmp_path, f"{number}")) for number in range(3))]
    the_child_that_reads(slow).suspend()
    assert title(futures[0]) == "a"
    assert [title(future) for future in futures[1:]] == [f"{number}" for number in range(3)]


def test_a_child_that_is_killed_while_it_reads_costs_no_file_its_metadata(make: Make, tmp_path: Path) -> None:
    slow = tmp_path / "slow.mp3"
    slow.write_bytes(slow_mp3(60_000))
    reader = make()
    futures = [submit(reader, slow), *(submit(reader, titled(tmp_path, f"{number}")) for number in range(10))]
    the_child_that_reads(slow).kill()
    assert title(futures[0]) == "a"
    assert [title(future) for future in futures[1:]] == [f"{number}" for number in range(10)]


def test_a_file_whose_reader_dies_twice_is_answered_with_an_error(make: Make, tmp_path: Path) -> None:
    slow = tmp_path / "slow.mp3"
    slow.write_bytes(slow_mp3(SLOW_FRAMES))
    reader = make()
    future = submit(reader, slow)
    first = the_child_that_reads(slow)
    first.kill()
    first.wait(10)
    second = the_child_that_reads(slow)
    assert second.pid != first.pid
    innocent = submit(reader, titled(tmp_path, "innocent"))
    second.kill()
    assert error(future) == "Reading the tags of this file ended the process that read it."
    assert title(innocent) == "innocent"


def test_a_child_that_dies_with_nothing_to_do_is_replaced(make: Make, tmp_path: Path) -> None:
    reader = make()
    path = titled(tmp_path, "title")
    submit(reader, path).result(PATIENCE)
    (child,) = children()
    child.kill()
    assert title(submit(reader, path)) == "title"
    assert [other.pid for other in children()] != [child.pid]


def test_a_bomb_is_answered_with_an_error_within_the_limit_of_memory(make: Make, tmp_path: Path) -> None:
    (tmp_path / "greedy.flac").write_bytes(greedy_flac())
    reader = make(memory=200_000_000)
    bomb = submit(reader, tmp_path / "greedy.flac")
    after = submit(reader, titled(tmp_path, "after"))
    assert error(bomb) == "Reading the tags of this file needs more memory than the 200 MB that are allowed."
    assert title(after) == "after"


def test_signals_to_the_whole_group_leave_the_children_alone(make: Make, tmp_path: Path) -> None:
    reader = make()
    path = titled(tmp_path, "title")
    submit(reader, path).result(PATIENCE)
    (child,) = children()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        child.send_signal(number)
    assert title(submit(reader, path)) == "title"
    assert [other.pid for other in children()] == [child.pid]


def test_a_child_runs_as_low_as_asked_and_within_its_memory(make: Make, tmp_path: Path) -> None:
    submit(make(niceness=5), titled(tmp_path, "title")).result(PATIENCE)
    (child,) = children()
    assert child.nice() == 5
    assert child.rlimit(psutil.RLIMIT_AS) == (MEMORY, MEMORY)


def test_the_end_fails_what_is_unfinished_and_kills_the_children(make: Make, tmp_path: Path) -> None:
    slow = tmp_path / "slow.mp3"
    slow.write_bytes(slow_mp3(SLOW_FRAMES))
    reader = make()
    futures = [submit(reader, slow), submit(reader, titled(tmp_path, "waits"))]
    the_child_that_reads(slow)
    reader.close()
    reader.close()
    assert reader.join(Deadline(5))
    assert {type(future.exception(0)) for future in futures} == {TagReaderClosed}
    assert children() == []
    with pytest.raises(TagReaderClosed):
        submit(reader, slow).result(0)


def test_a_reader_that_was_not_started_reads_nothing(tmp_path: Path) -> None:
    reader = TagReader(1, MEMORY, 1.0, on_failure=lambda *_: None)
    with pytest.raises(TagReaderClosed):
        submit(reader, titled(tmp_path, "title")).result(0)
    reader.close()
    assert reader.join(Deadline(0))


def test_a_future_that_was_cancelled_disturbs_nobody(make: Make, tmp_path: Path) -> None:
    reader = make()
    path = titled(tmp_path, "title")
    futures = [submit(reader, path) for _ in range(300)]
    cancelled = [future for future in reversed(futures) if future.cancel()]
    wait(futures, PATIENCE)
    for future in futures:
        if future in cancelled:
            with pytest.raises(CancelledError):
                future.result(0)
        else:
            assert title(future) == "title"
    assert title(submit(reader, path)) == "title"


def test_children_that_cannot_start_give_the_files_back(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no such module >&2\nexit 1\n")
    broken.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(broken))
        reader = make()
        with pytest.raises(TagsUnavailable, match="do not start"):
            submit(reader, titled(tmp_path, "title")).result(PATIENCE)
    assert title(submit(reader, titled(tmp_path, "title"))) == "title"


def test_a_program_that_is_missing_gives_the_files_back(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    with pytest.raises(TagsUnavailable):
        submit(make(), titled(tmp_path, "title")).result(PATIENCE)


def test_a_child_that_talks_nonsense_is_replaced(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    babbler = tmp_path / "python"
    begun = tmp_path / "begun"
    babbler.write_text(f"#!/bin/sh\n: > '{begun}'\nprintf '\\001\\000\\000\\000\\000{{'\nexec sleep 60\n")
    babbler.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(babbler))
        reader = make()
        future = submit(reader, titled(tmp_path, "title"))
        wait_for(begun.exists, "the babbling child")  # which may be gone again
    assert title(future) == "title"


def test_a_child_that_never_begins_is_given_up(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_IDLE_LIMIT_SECONDS", 0.2)
    sleeper = tmp_path / "python"
    sleeper.write_text("#!/bin/sh\nexec sleep 60\n")
    sleeper.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(sleeper))
    with pytest.raises(TagsUnavailable):
        submit(make(), titled(tmp_path, "title")).result(PATIENCE)


@pytest.mark.filterwarnings("error")
def test_an_error_in_the_pools_own_thread_is_reported_and_no_future_hangs(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: list[BaseException]
) -> None:
    def broken(*arguments: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(Crew, "attend", broken)
    reader = make()
    with pytest.raises(TagReaderClosed):
        submit(reader, titled(tmp_path, "title")).result(PATIENCE)
    wait_for(lambda: failures, "the report")
    assert str(failures[0]) == "broken"


def test_files_can_be_handed_in_from_many_threads(make: Make, tmp_path: Path) -> None:
    reader = make(processes=2)
    paths = [titled(tmp_path, f"{number}") for number in range(8)]
    found: list[str] = []

    def work(path: Path) -> None:
        found.extend(title(submit(reader, path)) for _ in range(25))

    threads = [threading.Thread(target=work, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(found) == sorted(path.stem for path in paths for _ in range(25))


def test_the_child_needs_little_to_start() -> None:
    program = (
        "import sys; before = {*sys.modules}; import file_watcher.processing.tags.child; "
        "print(*({*sys.modules} - before))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(result.stdout.split())
    heavy = {
        "structlog",
        "sqlalchemy",
        "pika",
        "asyncio",
        "logging",
        "uuid",
        "multiprocessing",
    }
    assert not loaded & heavy
    assert "file_watcher.model" not in loaded
