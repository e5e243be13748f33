"""What carries requests and answers: pipes, and where those cannot be waited for, sockets and two threads."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import mmap
from pathlib import Path
from typing import Any

import pytest

from file_watcher.processing.tags import pipes, process, wire
from file_watcher.processing.tags.pipes import DirectPipes, Pipes, RelayedPipes, pipes_to
from tests.support.crafted_media import id3, mpeg_frames, text_frame
from tests.support.tag_children import submit, tag_reader
from tests.support.waiting import wait_for

PATIENCE = 60.0
BOTH = pytest.mark.parametrize("kind", [DirectPipes, RelayedPipes])


@contextmanager
def running(
    kind: type[DirectPipes | RelayedPipes], *command: str
) -> Iterator[tuple[Pipes, subprocess.Popen[bytes]]]:
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as child:
        ends = kind(child)
        try:
            yield ends, child
        finally:
            child.kill()
            ends.close()


def received(ends: Pipes) -> bytes | None:
    """What is there, None while there is nothing yet."""
    try:
        return ends.receive(1 << 16)
    except BlockingIOError:
        return None


@BOTH
def test_what_is_sent_comes_back_and_the_end_is_seen(kind: type[DirectPipes | RelayedPipes]) -> None:
    with running(kind, "cat") as (ends, child):
        assert received(ends) is None
        assert ends.send(bytearray(b"request")) == 7
        assert wait_for(lambda: received(ends), "the answer") == b"request"
        child.kill()
        wait_for(lambda: received(ends) == b"", "the end")


@BOTH
def test_a_child_that_does_not_read_blocks_nobody(kind: type[DirectPipes | RelayedPipes]) -> None:
    with running(kind, "sleep", "60") as (ends, _child):

        def is_full() -> bool:
            try:
                ends.send(bytearray(1 << 16))
            except BlockingIOError:
                return True
            return False

        wait_for(is_full, "the pipe to be full")


@BOTH
def test_a_child_that_has_ended_takes_no_more(kind: type[DirectPipes | RelayedPipes]) -> None:
    with running(kind, "true") as (ends, child):
        child.wait()

        def is_broken() -> bool:
            try:
                ends.send(bytearray(1))
            except BrokenPipeError:
                return True
            return False

        wait_for(is_broken, "the broken pipe")


def test_windows_has_the_threads_and_others_have_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for system, kind in (("linux", DirectPipes), ("darwin", DirectPipes), ("win32", RelayedPipes)):
        with subprocess.Popen(["true"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as child:
            monkeypatch.setattr(sys, "platform", system)
            ends = pipes_to(child)
            monkeypatch.undo()
            child.wait()
            ends.close()
            assert type(ends) is kind


def test_children_read_tags_through_the_threads_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "pipes_to", RelayedPipes)
    song, broken = tmp_path / "song.mp3", tmp_path / "broken.mp3"
    song.write_bytes(id3(text_frame("TIT2", "Song")) + mpeg_frames())
    broken.write_bytes(b"no music")
    with tag_reader() as reader:
        futures = [submit(reader, each) for each in [song, broken] * 50]
        metadata = [future.result(PATIENCE) for future in futures]
    assert [each is not None and each["tags"].get("title") for each in metadata] == ["Song", None] * 50


def test_on_windows_the_page_has_a_name_that_both_know(monkeypatch: pytest.MonkeyPatch) -> None:
    pages: dict[str, mmap] = {}

    def named(descriptor: int, size: int, *, tagname: str) -> Any:
        return pages.setdefault(tagname, mmap(descriptor, size))

    monkeypatch.setattr(sys, "platform", "win32")
    for module in (pipes, wire):
        monkeypatch.setattr(module, "mmap", named)
    with pipes.shared_page() as page:
        assert page.inherited == ()
        assert wire.page_named(page.name) is page.memory
    with pipes.shared_page() as other:
        assert other.name != page.name
    for each in pages.values():
        each.close()
