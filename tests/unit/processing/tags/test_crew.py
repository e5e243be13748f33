"""Files that end the children which read them, through the real children."""

from __future__ import annotations

import errno
import selectors
import time
from collections.abc import MutableMapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from structlog.testing import capture_logs

from file_watcher.model import FileStat, Metadata
from file_watcher.processing.tags import crew, process
from file_watcher.processing.tags.crew import Crew
from file_watcher.processing.tags.errors import TagsUnavailable
from file_watcher.processing.tags.process import ChildConfig, ChildProcess, Job
from file_watcher.processing.tags.processor import ProcessorUse
from file_watcher.processing.tags.whole import WholeFile
from file_watcher.telemetry import Telemetry
from tests.support.crafted_media import greedy_flac, id3, mpeg_frames, slow_mp3, text_frame
from tests.support.tag_children import submit, tag_children, tag_reader
from tests.support.waiting import wait_for

PATIENCE = 60.0


def test_a_file_that_ended_two_children_is_not_tried_again_until_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "slow.mp3"
    path.write_bytes(slow_mp3(300_000))
    with tag_reader(timeout=0.3) as reader, capture_logs() as logs:
        first = submit(reader, path).result(PATIENCE)
        assert first is not None
        assert "took longer than 0.3 s" in first["error"]
        deaths = ended(logs)
        assert len(deaths) == 2
        assert submit(reader, path).result(PATIENCE) == first
        assert ended(logs) == deaths, "it was tried again"
        path.write_bytes(id3(text_frame("TIT2", "mended")) + mpeg_frames())
        mended = submit(reader, path).result(PATIENCE)
    assert mended is not None
    assert mended["tags"] == {"title": "mended"}


def test_a_file_that_needs_too_much_memory_is_tried_once_more_in_another_child(tmp_path: Path) -> None:
    """The files before it may have left the first one little."""
    path = tmp_path / "greedy.flac"
    path.write_bytes(greedy_flac())
    with tag_reader(memory=200_000_000) as reader, capture_logs() as logs:
        metadata = submit(reader, path).result(PATIENCE)
        assert metadata is not None
        assert "more memory than the 200 MB" in metadata["error"]
        wait_for(lambda: len(ended(logs)) == 2, "the end of the second child, too")
    told = [each for each in logs if each["event"] == "tags_unreadable"]
    assert len(told) == 1


def ended(logs: Sequence[MutableMapping[str, Any]]) -> list[MutableMapping[str, Any]]:
    return [each for each in logs if each["event"] == "tag_child_ended"]


def titled(folder: Path, title: str) -> Path:
    path = folder / f"{title}.mp3"
    path.write_bytes(id3(text_frame("TIT2", title)) + mpeg_frames())
    return path


def title(future: Future[Metadata | None]) -> str:
    metadata = future.result(PATIENCE)
    assert metadata is not None
    found: str = metadata["tags"]["title"]
    return found


def suspended(path: Path) -> psutil.Process:
    """The child that has the file open, stopped."""

    def look() -> psutil.Process | None:
        for child in tag_children():
            if str(path) in {file.path for file in child.open_files()}:
                return child
        return None

    found = wait_for(look, f"a child at {path.name}")
    assert found is not None
    found.suspend()
    return found


@pytest.mark.parametrize("hanging", [1, 2])
def test_nobody_waits_for_files_that_hang_however_many_children_they_keep_busy(
    tmp_path: Path, hanging: int
) -> None:
    """Those before a slow file in its batch are read, but not told yet; those behind it are not begun."""
    slow = [tmp_path / f"slow {number}.mp3" for number in range(hanging)]
    for path in slow:
        path.write_bytes(slow_mp3(60_000))
    with tag_reader(processes=hanging) as reader, capture_logs() as logs:
        before = [submit(reader, titled(tmp_path, f"before {number}")) for number in range(5)]
        hung = [submit(reader, path) for path in slow]
        stopped = [suspended(path) for path in slow]
        behind = [submit(reader, titled(tmp_path, f"behind {number}")) for number in range(60)]
        assert [title(future) for future in before] == [f"before {number}" for number in range(5)]
        assert [title(future) for future in behind] == [f"behind {number}" for number in range(60)]
        assert len(tag_children()) == hanging + 1, "a spare one has read them"
        assert not any(future.done() for future in hung)
        for child in stopped:
            child.resume()
        assert [title(future) for future in hung] == ["a"] * hanging
        again = [submit(reader, titled(tmp_path, f"again {number}")) for number in range(10)]
        assert [title(future) for future in again] == [f"again {number}" for number in range(10)]
    assert ended(logs) == []


def test_the_spare_child_goes_when_it_has_nothing_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "_SPARE_SECONDS", 0.1)
    slow = tmp_path / "slow.mp3"
    slow.write_bytes(slow_mp3(60_000))
    with tag_reader() as reader, capture_logs() as logs:
        future = submit(reader, slow)
        child = suspended(slow)
        assert title(submit(reader, titled(tmp_path, "song"))) == "song"
        child.resume()
        assert title(future) == "a"
        wait_for(lambda: [each["event"] for each in logs] == ["tag_child_retired"], "the end of one child")
        wait_for(lambda: len(tag_children()) == 1, "nothing to be left of it")


def test_many_whole_files_are_read_by_two_children_of_which_one_goes_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "_SPARE_SECONDS", 0.1)
    paths = [titled(tmp_path, f"{number}") for number in range(300)]
    with tag_reader(processes=2) as reader, capture_logs() as logs:
        few = [submit(reader, path) for path in paths]
        assert [title(future) for future in few] == [path.stem for path in paths]
        assert len(tag_children()) == 1, "tags alone are soon read"
        whole = [reader.submit_whole(bytes(path), FileStat.of(path.stat())) for path in paths]
        wait_for(lambda: len(tag_children()) == 2, "a second child")
        assert [stem(future.result(PATIENCE)) for future in whole] == [path.stem for path in paths]
        wait_for(lambda: len(tag_children()) == 1, "one of them to go")
        assert title(submit(reader, paths[0])) == "0"
    assert [each["event"] for each in logs] == ["tag_child_retired"]


def test_a_second_child_that_cannot_be_started_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [titled(tmp_path, f"{number}") for number in range(300)]
    real = process.start_child

    def start(config: ChildConfig) -> ChildProcess:
        if tag_children():
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        return real(config)

    monkeypatch.setattr(crew, "start_child", start)
    with tag_reader(processes=2) as reader, capture_logs() as logs:
        whole = [reader.submit_whole(bytes(path), FileStat.of(path.stat())) for path in paths]
        assert [stem(future.result(PATIENCE)) for future in whole] == [path.stem for path in paths]
    assert [each["event"] for each in logs] == ["tag_child_not_added"]


def test_a_start_that_takes_so_long_to_fail_that_the_only_child_hangs_meanwhile_gives_nothing_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "slow.mp3"
    slow.write_bytes(slow_mp3(60_000))
    paths = [titled(tmp_path, f"{number}") for number in range(20)]
    real = process.start_child
    children: list[ChildProcess] = []
    refused: list[float] = []

    def start(config: ChildConfig) -> ChildProcess:
        if len(refused) < 2 or children:
            if children:
                wait_for(lambda: children[0].is_slow(time.monotonic(), 2.0), "the child to hang")
            refused.append(time.monotonic())
            raise OSError(errno.ENOMEM, "Cannot allocate memory")
        children.append(real(config))
        return children[0]

    monkeypatch.setattr(crew, "start_child", start)
    monkeypatch.setattr(crew, "_SLOW_SECONDS", 2.0)
    with tag_reader(processes=2) as reader:
        hung = submit(reader, slow)
        child = suspended(slow)
        whole = [reader.submit_whole(bytes(path), FileStat.of(path.stat())) for path in paths]
        wait_for(lambda: len(refused) == 3, "the start that fails")
        child.resume()
        assert title(hung) == "a"
        assert [stem(future.result(PATIENCE)) for future in whole] == [path.stem for path in paths]


def test_where_none_can_be_started_beside_a_child_that_hangs_the_files_are_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "slow.mp3"
    slow.write_bytes(slow_mp3(60_000))
    real = process.start_child

    def start(config: ChildConfig) -> ChildProcess:
        if tag_children():
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        return real(config)

    monkeypatch.setattr(crew, "start_child", start)
    with tag_reader() as reader:
        hung = submit(reader, slow)
        child = suspended(slow)
        with pytest.raises(TagsUnavailable):
            submit(reader, titled(tmp_path, "song")).result(PATIENCE)
        assert not hung.done()
        child.resume()
        assert title(hung) == "a"


def test_more_or_fewer_children_read_once_that_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "_SPARE_SECONDS", 0.1)
    paths = [titled(tmp_path, f"{number}") for number in range(300)]
    with tag_reader(processes=1) as reader:

        def read_all() -> int:
            whole = [reader.submit_whole(bytes(path), FileStat.of(path.stat())) for path in paths]
            most = 0
            for future in whole:
                most = max(most, len(tag_children()))
                assert future.result(PATIENCE).reading is not None
            return most

        assert read_all() == 1
        reader.resize(2)
        assert read_all() == 2


def stem(found: WholeFile) -> str:
    assert found.metadata is not None
    title: str = found.metadata["tags"]["title"]
    return title


def test_a_file_is_not_given_up_while_its_child_gets_no_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine that swaps, or where others have all the processors."""
    monkeypatch.setattr(process, "processor_use", lambda _: ProcessorUse(0.0, is_stopped=False))
    monkeypatch.setattr(process, "_PATIENCE", 10_000.0)
    slow = tmp_path / "slow.mp3"
    slow.write_bytes(slow_mp3(20_000))
    with tag_reader(timeout=0.1) as reader, capture_logs() as logs:
        assert title(submit(reader, slow)) == "a"
    assert ended(logs) == []


def test_a_child_that_waits_for_a_disk_is_given_up_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "processor_use", lambda _: ProcessorUse(0.0, is_stopped=False))
    slow = tmp_path / "slow.mp3"
    slow.write_bytes(slow_mp3(300_000))
    with tag_reader(timeout=0.1) as reader:
        metadata = submit(reader, slow).result(PATIENCE)
    assert metadata is not None
    assert "took longer than 0.1 s" in metadata["error"]


def test_what_a_child_has_answered_while_the_service_was_held_up_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a stop signal to the service alone: it is late, the child is not."""
    config = ChildConfig(memory_limit=512 << 20, timeout_seconds=1.0)
    path = titled(tmp_path, "song")
    job = Job(bytes(path), FileStat.of(path.stat()))
    with selectors.DefaultSelector() as selector, capture_logs() as logs:
        readers = Crew(1, config, Telemetry())
        readers.step([job], selector)
        assert selector.select(PATIENCE), "its answer"
        late = time.monotonic() + 1_000
        monkeypatch.setattr(crew, "time", SimpleNamespace(monotonic=lambda: late))
        readers.step([], selector)
        monkeypatch.undo()
        assert title(job.future) == "song"
        assert ended(logs) == []
        readers.dismiss([])
