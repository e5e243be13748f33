"""How the parent's one thread speaks with a child: without ever blocking, and told when there is something to do.

On POSIX that is what pipes do. On Windows select(2) knows sockets only and a pipe always blocks, so two threads
(`fw-tags-send`, `fw-tags-receive`) carry between the child's pipes and sockets; they end when the child does, or when
`close` is called. What a child is at stands in a page of memory that both share (`wire.Progress`).
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from mmap import mmap
from typing import IO, Final, Protocol

from file_watcher.lifecycle import Deadline, join_all, spawn
from file_watcher.processing.tags.wire import PROGRESS_SIZE

_SIZE: Final = 1 << 16
_JOIN_SECONDS: Final = 1.0


class HasDescriptor(Protocol):
    """What a selector takes."""

    def fileno(self) -> int: ...


class Pipes(Protocol):
    """The parent's ends."""

    @property
    def requests(self) -> HasDescriptor:
        """What can be waited for until it takes more."""

    @property
    def answers(self) -> HasDescriptor:
        """What can be waited for until it has some."""

    def send(self, data: bytearray) -> int:
        """Write what it takes, and say how much. Raises BlockingIOError, and BrokenPipeError where the child ended."""

    def receive(self, size: int) -> bytes:
        """Read what is there; nothing at the end. Raises BlockingIOError where there is nothing yet."""

    def close(self) -> None:
        """Close both; waits a second at most."""


def pipes_to(process: subprocess.Popen[bytes]) -> Pipes:
    """The ends of a child that was started with pipes for standard input and output, and without buffers."""
    return RelayedPipes(process) if sys.platform == "win32" else DirectPipes(process)


class DirectPipes:
    """The pipes themselves."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.requests, self.answers = _ends(process)
        os.set_blocking(self.requests.fileno(), False)
        os.set_blocking(self.answers.fileno(), False)

    def send(self, data: bytearray) -> int:
        """See `Pipes`."""
        return os.write(self.requests.fileno(), data)

    def receive(self, size: int) -> bytes:
        """See `Pipes`."""
        return os.read(self.answers.fileno(), size)

    def close(self) -> None:
        """See `Pipes`."""
        self.requests.close()
        self.answers.close()


class RelayedPipes:
    """Sockets, and a thread between each of them and its pipe."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        stdin, stdout = _ends(process)
        self.requests, requests = socket.socketpair()
        self.answers, answers = socket.socketpair()
        self.requests.settimeout(0)
        self.answers.settimeout(0)
        self._threads = [
            spawn("fw-tags-send", lambda: _carry_requests(requests, stdin), _end_is_seen),
            spawn("fw-tags-receive", lambda: _carry_answers(stdout, answers), _end_is_seen),
        ]

    def send(self, data: bytearray) -> int:
        """See `Pipes`."""
        try:
            return self.requests.send(data)
        except ConnectionError as exc:
            raise BrokenPipeError(*exc.args) from exc

    def receive(self, size: int) -> bytes:
        """See `Pipes`."""
        try:
            return self.answers.recv(size)
        except ConnectionError:  # so Windows may call the end
            return b""

    def close(self) -> None:
        """See `Pipes`."""
        self.requests.close()
        self.answers.close()
        join_all(self._threads, Deadline(_JOIN_SECONDS))


def _ends(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def _carry_requests(source: socket.socket, pipe: IO[bytes]) -> None:
    # An OSError is an end: the child's, or of what the parent has closed.
    with source, suppress(OSError), pipe:
        while data := source.recv(_SIZE):
            while data:
                data = data[pipe.write(data) :]


def _carry_answers(pipe: IO[bytes], target: socket.socket) -> None:
    with target, suppress(OSError), pipe:
        while data := pipe.read(_SIZE):
            target.sendall(data)


def _end_is_seen(_thread: str, _error: BaseException) -> None:
    """The thread has logged it; its socket is closed by then, so that the child counts as dead."""


@dataclass(frozen=True, slots=True)
class SharedPage:
    """The page, what a child has to be told to find it (`wire.page_named`), and what it has to inherit."""

    memory: mmap
    name: str
    inherited: tuple[int, ...]


@contextmanager
def shared_page() -> Iterator[SharedPage]:
    """A new page. Its memory is the caller's to close; the rest is there until the child was started."""
    if sys.platform == "win32":
        name = f"fw-tags-{uuid.uuid4()}"
        yield SharedPage(mmap(-1, PROGRESS_SIZE, tagname=name), name, ())
        return
    with anonymous_file("fw-tags-progress") as file:
        file.truncate(PROGRESS_SIZE)
        number = file.fileno()
        yield SharedPage(mmap(number, PROGRESS_SIZE), str(number), (number,))


def anonymous_file(name: str) -> IO[bytes]:
    """A file without a path, in memory where the system has that."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create(name), "w+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)
