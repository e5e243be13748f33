"""What an operator would try first, with figures: a frozen process, a disk that goes away, large moves.

The figures are printed (`make soak` shows them), the large sizes run only there; nothing here is a timed test.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.chronicle import contradictions
from tests.support.consumer import Consumer, Message
from tests.support.faults import overflow_queue
from tests.support.service import ServiceProcess, disk, running
from tests.support.waiting import wait_for

PATIENCE = 240


@dataclass
class Stage:
    """Two libraries of one catalog on one filesystem, the service over them and a consumer."""

    first: Path
    second: Path
    service: ServiceProcess
    consumer: Consumer

    def told(self) -> list[Message]:
        """The file events since the last call, once everything that happened is confirmed."""
        self.service.sync(PATIENCE)
        return [message for message in self.consumer.drain() if message.routing_key.startswith("file.")]

    @contextmanager
    def down(self) -> Iterator[None]:
        """What is done inside is done while the service is stopped."""
        assert self.service.stop() == 0
        yield
        self.service.start()
        self.service.wait_until_ready()

    def read_bytes(self) -> int:
        """All bytes that the service and the children it still has read from anything at all."""
        assert self.service.process is not None
        lines = Path(f"/proc/{self.service.process.pid}/io").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("rchar:")))

    def hashed_bytes(self) -> int:
        """All bytes that were read to be hashed."""
        return int(self.service.metric("watcher_hashed_bytes_total"))

    def converged(self) -> None:
        """The consumer has the disk, and no message contradicts an earlier one."""
        assert self.consumer.mirror.files == disk(self.first, self.second)
        assert self.consumer.mirror.problems == []
        assert self.consumer.mirror.duplicates == 0
        assert contradictions(self.consumer.events()) == []


@pytest.fixture
def stage(tmp_path: Path, broker_url: str, exchange: str) -> Stage:
    """A stage whose service does not run yet. The loss guard is as by default."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    consumer = Consumer(broker_url, exchange)
    consumer.subscribe()
    service = ServiceProcess(tmp_path, [first, second], broker_url, exchange)
    return Stage(first, second, service, consumer)


def fill(folder: Path, count: int, size: int = 100) -> None:
    """So many files of different content."""
    folder.mkdir(parents=True, exist_ok=True)
    filling = os.urandom(size)
    for number in range(count):
        (folder / f"{number:05d}.mp3").write_bytes(b"%08d" % number + filling[8:])


def kinds(messages: list[Message]) -> list[str]:
    return [message.kind for message in messages]


def places(message: Message) -> tuple[str, str | None, str]:
    """(kind, name before, name now)."""
    old = message.body["old_path"]
    return message.kind, old and Path(old).name, Path(message.body["file_path"]).name


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [500, pytest.param(30_000, marks=pytest.mark.soak)])
def test_files_that_came_while_the_process_was_frozen_past_the_kernels_queue_are_all_told(
    stage: Stage, count: int
) -> None:
    folder = stage.first / "watched before"
    folder.mkdir()
    with running(stage.service):
        stage.told()
        stage.service.suspend()
        if count < 10_000:
            overflow_queue(folder)
        fill(folder, count)
        stage.service.resume()
        since = time.monotonic()
        stage.service.sync(PATIENCE)
        print(f"frozen: {count} files were told and confirmed {time.monotonic() - since:.1f} s after SIGCONT")
        told = stage.told()
        assert Counter(kinds(told)) == {"created": count}
        stage.converged()
    assert "overflow" in stage.service.log.read_text(), "the queue did not overflow: nothing was proved"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.soak)])
def test_a_root_that_is_renamed_away_and_back_loses_no_file(stage: Stage, count: int) -> None:
    fill(stage.first / "album", count)
    away = stage.first.with_name("away")
    with running(stage.service):
        assert len(stage.told()) == count
        hashed = stage.hashed_bytes()
        stage.first.rename(away)
        wait_for(lambda: _drained(stage, "library.suspended"), "the library to be suspended", 60)
        away.rename(stage.first)
        wait_for(lambda: _drained(stage, "library.resumed"), "the library to be resumed", 60)
        assert stage.told() == []
        assert len(stage.consumer.events()) == count, "something was told of files that never changed"
        assert stage.hashed_bytes() == hashed
        stage.converged()
        print(f"root away and back: {count} files, no deletion, no byte read again")


def _drained(stage: Stage, key: str) -> bool:
    stage.consumer.drain()
    return any(message.routing_key == key for message in stage.consumer.messages)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [500, pytest.param(5_000, marks=pytest.mark.soak)])
@pytest.mark.parametrize(
    "elsewhere",
    [
        "in the library",
        pytest.param("in another library", marks=pytest.mark.soak),
        pytest.param("while it is down", marks=pytest.mark.soak),
        "in another library while it is down",
    ],
)
def test_a_moved_folder_is_told_file_by_file_without_reading_one_byte(
    stage: Stage, count: int, elsewhere: str
) -> None:
    size = 100_000
    fill(stage.first / "album", count, size)
    parent = stage.second if elsewhere.startswith("in another library") else stage.first
    with running(stage.service):
        assert len(stage.told()) == count
        assert stage.hashed_bytes() == count * size
        if elsewhere.endswith("while it is down"):
            with stage.down():
                read_before, hashed_before = 0, 0
                subprocess.run(["mv", stage.first / "album", parent / "moved"], check=True)
        else:
            read_before, hashed_before = stage.read_bytes(), stage.hashed_bytes()
            subprocess.run(["mv", stage.first / "album", parent / "moved"], check=True)
        since = time.monotonic()
        stage.service.sync(PATIENCE)
        seconds, read = time.monotonic() - since, stage.read_bytes() - read_before
        told = stage.told()
        assert Counter(kinds(told)) == {"moved": count}
        evidence = {message.body["evidence"] for message in told}
        assert evidence == {"cookie" if elsewhere == "in the library" else "inode"}
        assert stage.service.command("scan").returncode == 0
        assert stage.told() == []
        assert stage.hashed_bytes() == hashed_before, "read again later"
        assert read < count * size, "so many bytes were read that the files may have been among them"
        print(
            f"mv of a folder {elsewhere}: {count} moved in {seconds:.1f} s, 0 of {count * size:,} bytes hashed; "
            f"read from anywhere meanwhile (catalog, sockets, own code): {read:,}"
        )
        stage.converged()


@pytest.mark.parametrize("is_down", [False, True], ids=["live", "across a restart"])
def test_connected_moves_are_told_in_an_order_that_can_be_applied(stage: Stage, is_down: bool) -> None:
    for number, name in enumerate(
        ("a", "chain1", "chain2", "chain3", "left", "right", "over", "under", "alone")
    ):
        (stage.first / f"{name}.mp3").write_bytes(b"%d" % number * 1000)
    # More that stays, so that what is gone is no loss that the guard would ask about.
    fill(stage.second / "stays", 100)

    def rename(*names: str) -> None:
        for source, target in pairwise(names):
            (stage.first / f"{source}.mp3").rename(stage.first / f"{target}.mp3")

    with running(stage.service):
        ids = {Path(each.body["file_path"]).stem: each.body["file_id"] for each in stage.told()}

        @contextmanager
        def meanwhile() -> Iterator[None]:
            if is_down:
                with stage.down():
                    yield
            else:
                yield

        with meanwhile():
            rename("a", "b", "c")
            for number in (3, 2, 1):
                rename(f"chain{number}", f"chain{number + 1}")
            rename("left", "spare")
            rename("right", "left")
            rename("spare", "right")
            rename("over", "under")
            shutil.move(stage.first / "alone.mp3", stage.second / "alone.mp3")
        told = stage.told()
        stage.converged()

    told_places = [places(message) for message in told]
    by_kind = Counter(kinds(told))
    assert by_kind == {"renamed": 5, "modified": 2, "deleted": 1, "moved": 1}, told_places
    assert ("renamed", "a.mp3", "c.mp3") in told_places, "a chain of one file is one rename"
    chain = [place for place in told_places if place[1] and place[1].startswith("chain")]
    assert [old for _, old, _ in chain] == ["chain3.mp3", "chain2.mp3", "chain1.mp3"]
    overwritten = told_places.index(("deleted", None, "under.mp3"))
    assert overwritten < told_places.index(("renamed", "over.mp3", "under.mp3"))
    moved = next(message.body for message in told if message.kind == "moved")
    assert moved["library"]["name"] == "second"
    assert moved["file_id"] == ids["alone"], "it stays the same file in another library"
