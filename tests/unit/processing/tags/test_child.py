from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from file_watcher.processing.tags import child
from file_watcher.processing.tags.child import Server
from file_watcher.processing.tags.identity import Identity
from file_watcher.processing.tags.reader import DiskFailed
from file_watcher.processing.tags.wire import (
    PROGRESS_SIZE,
    AnswerKind,
    Progress,
    encode_request,
    take_answers,
)
from tests.support.crafted_media import id3, mpeg_frames, text_frame


class Talk:
    """Both ends of a server's pipes, in this process."""

    def __init__(self) -> None:
        self.page = mmap.mmap(-1, PROGRESS_SIZE)
        self.progress = Progress(self.page)
        self.requests_read, self.requests_write = os.pipe()
        self.answers_read, self.answers_write = os.pipe()

    def run(self, *paths: Path, whole: bool = False) -> tuple[int, list[tuple[AnswerKind, Any]]]:
        for path in paths:
            stat = path.stat()
            identity = Identity(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_dev, stat.st_ino)
            os.write(self.requests_write, encode_request(bytes(path), identity, whole=whole))
        os.close(self.requests_write)
        exit_code = Server(self.requests_read, self.answers_write, self.progress).run()
        return exit_code, take_answers(bytearray(os.read(self.answers_read, 1 << 16)))

    def close(self) -> None:
        for descriptor in (self.requests_read, self.answers_read, self.answers_write):
            os.close(descriptor)
        self.page.close()


@pytest.fixture
def talk() -> Iterator[Talk]:
    talk = Talk()
    yield talk
    talk.close()


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.mp3" for number in range(20)]
    for path in paths:
        path.write_bytes(id3(text_frame("TIT2", path.stem)) + mpeg_frames())
    return paths


def titles(answers: list[tuple[AnswerKind, Any]]) -> list[str]:
    found = []
    for kind, metadata in answers:
        assert kind is AnswerKind.METADATA
        assert isinstance(metadata, dict)
        found.append(metadata["tags"]["title"])
    return found


def test_requests_are_answered_in_their_order_until_they_end(talk: Talk, paths: list[Path]) -> None:
    exit_code, answers = talk.run(*paths)
    assert exit_code == 0
    assert titles(answers) == [path.stem for path in paths]


def test_a_whole_file_is_answered_with_its_hashes_too(talk: Talk, paths: list[Path]) -> None:
    exit_code, answers = talk.run(*paths[:2], whole=True)
    assert exit_code == 0
    assert [kind for kind, _ in answers] == [AnswerKind.WHOLE] * 2
    for path, (_, content) in zip(paths, answers, strict=False):
        metadata, hashes = content
        assert metadata["tags"] == {"title": path.stem}
        assert hashes.sha256 == hashlib.sha256(path.read_bytes()).digest()


def test_the_shared_page_shows_what_is_read_and_nothing_afterwards(
    talk: Talk, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def look(*arguments: object, **more: object) -> None:
        seen.append(talk.progress.now()[0])

    monkeypatch.setattr(child, "read_metadata", look)
    talk.run(*paths[:3])
    assert seen == [1, 2, 3]
    assert talk.progress.now() == (0, 0.0)


def test_a_disk_that_fails_is_told_with_its_reason(
    talk: Talk, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **more: object) -> None:
        raise DiskFailed("Input/output error")

    monkeypatch.setattr(child, "read_metadata", fail)
    assert talk.run(paths[0]) == (0, [(AnswerKind.DISK_FAILED, "Input/output error")])


def test_after_running_out_of_memory_it_answers_what_it_has_and_ends(
    talk: Talk, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([None, MemoryError()])

    def read(*arguments: object, **more: object) -> None:
        answer = next(answers)
        if answer is not None:
            raise answer

    monkeypatch.setattr(child, "read_metadata", read)
    assert talk.run(*paths) == (1, [(AnswerKind.METADATA, None), (AnswerKind.OUT_OF_MEMORY, None)])


def test_a_file_that_is_another_by_now_is_told_so(talk: Talk, paths: list[Path]) -> None:
    os.write(talk.requests_write, encode_request(bytes(paths[0]), Identity(0, 0, 0, 0, 0)))
    exit_code, answers = talk.run(paths[1])
    assert exit_code == 0
    assert answers[0] == (AnswerKind.ANOTHER_FILE, None)
    assert titles(answers[1:]) == ["1"]
