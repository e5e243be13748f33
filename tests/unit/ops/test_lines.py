"""Lines to streams that are whole, closed, broken, or read by nobody."""

from __future__ import annotations

import io
import os
import pty
import threading
from collections.abc import Iterator
from typing import TextIO

import pytest

from file_watcher.ops.lines import LineWriter


class Pipe:
    """A pipe whose writing end is a text stream, as standard error of a service is."""

    def __init__(self) -> None:
        self.reader, writer = os.pipe()
        self.stream: TextIO = os.fdopen(writer, "w", encoding="utf-8")

    def fill(self) -> None:
        """Write until it takes no more."""
        descriptor = self.stream.fileno()
        os.set_blocking(descriptor, False)
        try:
            while True:
                os.write(descriptor, b"x" * 1000)
        except BlockingIOError:
            os.set_blocking(descriptor, True)

    def drain(self) -> bytes:
        return os.read(self.reader, 1 << 20)

    def close_reader(self) -> None:
        if self.reader >= 0:
            os.close(self.reader)
            self.reader = -1


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close_reader()
    made.stream.close()


def test_a_line_arrives_whole_with_its_line_break(pipe: Pipe) -> None:
    assert LineWriter(pipe.stream).write("grün")
    assert pipe.drain() == "grün\n".encode()


def test_a_line_longer_than_the_pipe_arrives_while_somebody_reads(pipe: Pipe) -> None:
    received = bytearray()
    line = "x" * 300_000

    def read() -> None:
        while not received.endswith(b"\n"):
            received.extend(pipe.drain())

    reading = threading.Thread(target=read)
    reading.start()
    assert LineWriter(pipe.stream).write(line)
    reading.join(10)
    assert received.decode() == f"{line}\n"


def test_a_stream_without_a_descriptor_is_written_to_as_well() -> None:
    stream = io.StringIO()
    assert LineWriter(stream).write("line")
    assert stream.getvalue() == "line\n"


def test_what_the_encoding_cannot_write_is_escaped(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("lines") / "log"
    with path.open("w", encoding="ascii") as stream:
        assert LineWriter(stream).write("grün")
    assert path.read_bytes() == b"gr\\xfcn\n"


def test_a_closed_stream_loses_the_line_and_raises_nothing() -> None:
    stream = io.StringIO()
    stream.close()
    assert not LineWriter(stream).write("line")


def test_a_pipe_whose_reader_is_gone_loses_the_line_and_raises_nothing(pipe: Pipe) -> None:
    pipe.close_reader()
    assert not LineWriter(pipe.stream).write("line")


def test_a_reader_that_does_not_read_holds_up_one_line_for_the_patience_and_the_next_not_at_all(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    poller = _CountingPoller(waits)
    monkeypatch.setattr("file_watcher.ops.lines.select.poll", lambda: poller)
    writer = LineWriter(pipe.stream, patience_seconds=0.25)
    assert not writer.write("first")
    assert not writer.write("second")
    assert waits == [250.0, 0]


class _CountingPoller:
    """A poll that never finds the stream ready, and tells how long it was to wait."""

    def __init__(self, waits: list[float]) -> None:
        self._waits = waits

    def register(self, descriptor: int, events: int) -> None:
        assert descriptor >= 0

    def poll(self, milliseconds: float) -> list[tuple[int, int]]:
        self._waits.append(milliseconds)
        return []


def test_a_full_pipe_gives_the_line_up_and_takes_the_next_once_somebody_reads(pipe: Pipe) -> None:
    pipe.fill()
    writer = LineWriter(pipe.stream, patience_seconds=0.05)
    assert not writer.write("lost")
    assert not writer.write("lost too")
    pipe.drain()
    assert writer.write("back")
    assert pipe.drain() == b"back\n"


def test_a_line_that_was_cut_off_does_not_run_into_the_next(pipe: Pipe) -> None:
    writer = LineWriter(pipe.stream, patience_seconds=0.05)
    assert not writer.write("y" * 1_000_000)
    assert set(pipe.drain()) == {ord("y")}
    assert writer.write("next")
    assert pipe.drain() == b"\nnext\n"


def test_a_terminal_gets_its_line() -> None:
    master, slave = pty.openpty()
    with os.fdopen(slave, "w", encoding="utf-8") as stream:
        assert LineWriter(stream).write("line")
        assert os.read(master, 100) == b"line\r\n"
    os.close(master)
