"""The parent's end of one child process: its pipes, what it has to answer, and how it is ended.

Owns no thread; everything here is called by the one thread of `pool.TagReader`, which also has to outlive
the children: the kernel ends a child when the thread that started it ends.
"""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import IO, Any, Final

import structlog

from file_watcher.model import FileStat, Metadata
from file_watcher.processing.tags.identity import Identity
from file_watcher.processing.tags.wire import (
    PROGRESS_SIZE,
    AnswerKind,
    Progress,
    encode_request,
    take_answers,
)

WINDOW: Final = 32
"""Requests that a child may have at once: enough to hide the hand-over, few enough to be sent again."""

log = structlog.get_logger(__name__)

_PROGRAM: Final = "file_watcher.processing.tags.child"
_READ_SIZE: Final = 1 << 16
_IDLE_LIMIT_SECONDS: Final = 30.0
"""A child with work that begins none of it for so long (a start from a dead disk, a stop signal) is given up."""
_COMPLAINT_SIZE: Final = 2000
_NEEDED: Final = frozenset({"PATH", "LD_LIBRARY_PATH", "LANG", "TZ", "TMPDIR", "SYSTEMROOT"})
_NEEDED_PREFIXES: Final = ("PYTHON", "LC_", "COVERAGE_", "COV_CORE_")
"""What an interpreter may need to start, and coverage.py to measure it."""


@dataclass(frozen=True, slots=True)
class ChildConfig:
    """What bounds one child. Sizes in bytes, times in seconds."""

    memory_limit: int
    timeout_seconds: float
    niceness: int = 0
    follow_symlinks: bool = False


@dataclass(slots=True, eq=False)
class Job:
    """One file to be read. `deaths` counts the children that ended while they read it."""

    path: bytes
    stat: FileStat
    future: Future[Metadata | None] = field(default_factory=Future)
    deaths: int = 0


class ChildProcess:
    """One running child; `start_child` makes it."""

    def __init__(
        self, config: ChildConfig, process: subprocess.Popen[bytes], page: mmap.mmap, complaints: IO[bytes]
    ) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._config = config
        self._process = process
        self._stdin, self._stdout = process.stdin, process.stdout
        self._page = page
        self._progress = Progress(page)
        self._complaints = complaints
        self._jobs: deque[Job] = deque()
        self._outgoing = bytearray()
        self._incoming = bytearray()
        self._last_sign = time.monotonic()
        self.answered = 0

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def requests_fd(self) -> int:
        """Where requests are written."""
        return self._stdin.fileno()

    @property
    def answers_fd(self) -> int:
        """Where answers arrive; readable at the child's end too."""
        return self._stdout.fileno()

    @property
    def load(self) -> int:
        """How many files it has yet to answer."""
        return len(self._jobs)

    @property
    def has_unsent(self) -> bool:
        """Whether requests wait for room in the pipe."""
        return bool(self._outgoing)

    @property
    def is_alone_with_suspect(self) -> bool:
        """Whether it reads a file that has ended a child before, and must get no other."""
        return bool(self._jobs) and self._jobs[0].deaths > 0

    def is_quick(self, now: float, seconds: float) -> bool:
        """Whether it has answered within so many seconds, or had nothing to answer."""
        return now - self._last_sign < seconds

    def give(self, job: Job) -> None:
        """Add a file to what it has to read; `flush` sends it."""
        if not self._jobs:
            self._last_sign = time.monotonic()
        self._jobs.append(job)
        self._outgoing += encode_request(job.path, Identity(*job.stat))

    def flush(self) -> None:
        """Send as much as the pipe takes now. A dead child is noticed by its answers' end instead."""
        try:
            while self._outgoing:
                del self._outgoing[: os.write(self.requests_fd, self._outgoing)]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self._outgoing.clear()

    def receive(self) -> tuple[list[tuple[Job, AnswerKind, Any]], bool]:
        """What it has answered, in the order of the requests, and whether it lives. Never blocks."""
        alive = self._read_all()
        try:
            contents = take_answers(self._incoming)
        except ValueError:
            # Not what a child of ours says: it is as good as dead.
            log.exception("tag_child_talks_nonsense", pid=self.pid)
            return [], False
        answers = [(self._jobs.popleft(), kind, content) for kind, content in contents]
        if answers:
            self.answered += len(answers)
            self._last_sign = time.monotonic()
        return answers, alive

    def _read_all(self) -> bool:
        """Read what is in the pipe; False at its end."""
        size = _READ_SIZE
        while size == _READ_SIZE:
            try:
                data = os.read(self.answers_fd, _READ_SIZE)
            except BlockingIOError:
                return True
            self._incoming += data
            size = len(data)
        return size > 0

    def seconds_left(self, now: float) -> float | None:
        """Until it has to be ended, by the monotonic time `now`; None while it has nothing to do."""
        if not self._jobs:
            return None
        number, since = self._progress.now()
        if not number:
            return self._last_sign + _IDLE_LIMIT_SECONDS - now
        return since + self._config.timeout_seconds - now

    def take_jobs(self) -> tuple[Job | None, list[Job]]:
        """The file that it was reading, where it was reading one, and the others; it has none afterwards."""
        jobs = list(self._jobs)
        self._jobs.clear()
        number, _ = self._progress.now()
        at = number - self.answered - 1
        guilty = jobs.pop(at) if 0 <= at < len(jobs) else None
        return guilty, jobs

    def kill(self) -> None:
        """End it at once. A child that hangs in the kernel stays until the kernel lets it go."""
        self._process.kill()

    def reap(self, timeout_seconds: float = 0.0) -> bool:
        """Take its exit; False where it has not ended within the time."""
        try:
            self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def release(self) -> str:
        """Close what belongs to it here, and return the end of what it wrote to its standard error."""
        self._stdin.close()
        self._stdout.close()
        self._page.close()
        with self._complaints as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _COMPLAINT_SIZE))
            return file.read().decode("utf-8", "replace").strip()


def start_child(config: ChildConfig) -> ChildProcess:
    """Start a child, which takes a millisecond or two here. Raises OSError where that cannot be done."""
    with ExitStack() as failing, _anonymous_file("fw-tags-progress") as page_file:
        complaints = failing.enter_context(_anonymous_file("fw-tags-stderr"))
        page_file.truncate(PROGRESS_SIZE)
        page = failing.enter_context(mmap.mmap(page_file.fileno(), PROGRESS_SIZE))
        process = _start_program(config, page_file.fileno(), complaints)
        failing.pop_all()
    child = ChildProcess(config, process, page, complaints)
    os.set_blocking(child.requests_fd, False)
    os.set_blocking(child.answers_fd, False)
    return child


def _start_program(config: ChildConfig, page_fd: int, complaints: IO[bytes]) -> subprocess.Popen[bytes]:
    arguments = (os.getpid(), config.memory_limit, config.niceness, page_fd, int(config.follow_symlinks))
    # The child finds the same modules as this process, but never those of the working folder (-P).
    search_path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    return subprocess.Popen(
        [sys.executable, "-P", "-m", _PROGRAM, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=complaints,
        bufsize=0,
        close_fds=True,
        pass_fds=(page_fd,),
        env={**_environment(), "PYTHONPATH": search_path},
    )


def _environment() -> dict[str, str]:
    """Without the addresses and passwords that this process was given: a crafted file may take a child over."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _NEEDED or name.startswith(_NEEDED_PREFIXES)
    }


def _anonymous_file(name: str) -> IO[bytes]:
    """A file without a path, in memory where the system has that."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create(name), "w+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)
