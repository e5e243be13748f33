"""The parent's end of one child process: its pipes, what it has to answer, and how it is ended.

Owns no thread; everything here is called by the one thread of `pool.TagReader`, which also has to outlive
the children: the kernel ends a child when the thread that started it ends.
"""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import time
from collections import deque
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import IO, Any, Final

import structlog

from file_watcher.model import FileStat, Metadata
from file_watcher.processing.fingerprint import Reading
from file_watcher.processing.tags.identity import Identity
from file_watcher.processing.tags.pipes import (
    HasDescriptor,
    SharedPage,
    anonymous_file,
    pipes_to,
    shared_page,
)
from file_watcher.processing.tags.processor import processor_use
from file_watcher.processing.tags.whole import WholeFile
from file_watcher.processing.tags.wire import (
    AnswerKind,
    Progress,
    encode_request,
    take_answers,
)

WINDOW: Final = 64
"""Requests that a child may have at once: enough to hide the hand-over, few enough to be sent again."""

log = structlog.get_logger(__name__)

_PROGRAM: Final = "file_watcher.processing.tags.child"
_READ_SIZE: Final = 1 << 16
_IDLE_LIMIT_SECONDS: Final = 30.0
"""A child with work that begins none of it for so long (a start from a dead disk, a stop signal) is given up."""
_BURNT: Final = 0.5
"""Of the time that a file may take, this share must be processor time of the child's: a machine that swaps, a
group of processes that was stopped, or one that others keep busy takes long for any file."""
_PATIENCE: Final = 6.0
"""So many times that time is enough in any case: the child waits for a disk that does not answer."""
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
    """One file to be read: as a `whole` for its hashes, too. `deaths` counts the children that ended while they
    read it. The future gives metadata, of a whole file a `WholeFile`."""

    path: bytes
    stat: FileStat
    whole: bool = False
    future: Future[Any] = field(default_factory=Future)
    deaths: int = 0

    def resolve(self, metadata: Metadata | None, reading: Reading | None = None) -> None:
        """It was read, or will never be."""
        self.future.set_result(WholeFile(metadata, reading) if self.whole else metadata)


class ChildProcess:
    """One running child; `start_child` makes it."""

    def __init__(
        self, config: ChildConfig, process: subprocess.Popen[bytes], page: mmap.mmap, complaints: IO[bytes]
    ) -> None:
        self._config = config
        self._process = process
        self._pipes = pipes_to(process)
        self._page = page
        self._progress = Progress(page)
        self._complaints = complaints
        self._jobs: deque[Job | None] = deque()
        """What it has yet to answer, in order; None for what was taken back."""
        self._outgoing = bytearray()
        self._incoming = bytearray()
        self._last_sign = time.monotonic()
        self.answered = 0

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def requests(self) -> HasDescriptor:
        """Where requests are written."""
        return self._pipes.requests

    @property
    def answers(self) -> HasDescriptor:
        """Where answers arrive; readable at the child's end too."""
        return self._pipes.answers

    @property
    def load(self) -> int:
        """How many answers it owes."""
        return len(self._jobs)

    @property
    def has_unsent(self) -> bool:
        """Whether requests wait for room in the pipe."""
        return bool(self._outgoing)

    @property
    def is_alone_with_suspect(self) -> bool:
        """Whether it reads a file that has ended a child before, and must get no other."""
        return any(job is not None and job.deaths for job in self._jobs)

    def is_slow(self, now: float, seconds: float) -> bool:
        """Whether it has been at one file for so many seconds: what waits behind that is better off elsewhere."""
        number, since = self._progress.now()
        return number > 0 and now - since >= seconds

    def idle_for(self, now: float) -> float | None:
        """Seconds since its last answer; None while it owes one."""
        return None if self._jobs else now - self._last_sign

    def is_quick(self, now: float, seconds: float) -> bool:
        """Whether it has answered within so many seconds, or had nothing to answer."""
        return now - self._last_sign < seconds

    def give(self, job: Job) -> None:
        """Add a file to what it has to read; `flush` sends it."""
        if not self._jobs:
            self._last_sign = time.monotonic()
        self._jobs.append(job)
        self._outgoing += encode_request(job.path, Identity(*job.stat), whole=job.whole)

    def flush(self) -> None:
        """Send as much as the pipe takes now. A dead child is noticed by its answers' end instead."""
        try:
            while self._outgoing:
                del self._outgoing[: self._pipes.send(self._outgoing)]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self._outgoing.clear()

    def withdraw(self) -> list[Job]:
        """Take back all files but the one that it is at. Of those that it has read, it has told nothing yet."""
        number, _ = self._progress.now()
        at = number - self.answered - 1
        withdrawn = [job for index, job in enumerate(self._jobs) if job is not None and index != at]
        if withdrawn:
            self._jobs = deque(job if index == at else None for index, job in enumerate(self._jobs))
            self._progress.withdraw(self.answered + len(self._jobs))
        return withdrawn

    def receive(self) -> tuple[list[tuple[Job, AnswerKind, Any]], bool]:
        """What it has answered, in the order of the requests, and whether it lives. Never blocks."""
        alive = self._read_all()
        try:
            contents = take_answers(self._incoming)
        except ValueError:
            # Not what a child of ours says: it is as good as dead.
            log.exception("tag_child_talks_nonsense", pid=self.pid)
            return [], False
        if contents:
            self.answered += len(contents)
            self._last_sign = time.monotonic()
        answers = [(self._jobs.popleft(), kind, content) for kind, content in contents]
        return [(job, kind, content) for job, kind, content in answers if job is not None], alive

    def _read_all(self) -> bool:
        """Read what is in the pipe; False at its end."""
        size = _READ_SIZE
        while size == _READ_SIZE:
            try:
                data = self._pipes.receive(_READ_SIZE)
            except BlockingIOError:
                return True
            self._incoming += data
            size = len(data)
        return size > 0

    def seconds_left(self, now: float) -> float | None:
        """Until its time is over, by the monotonic time `now`; None while it has nothing to do."""
        if not self._jobs:
            return None
        number, since = self._progress.now()
        if not number:
            return self._last_sign + _IDLE_LIMIT_SECONDS - now
        return since + self._config.timeout_seconds - now

    def is_overdue(self, now: float) -> bool:
        """Whether it has to be ended: its time is over, and it was given that time (`_BURNT`, `_PATIENCE`)."""
        left = self.seconds_left(now)
        if left is None or left > 0:
            return False
        allowed = self._config.timeout_seconds
        if not self._progress.now()[0] or -left >= (_PATIENCE - 1) * allowed:
            return True
        use = processor_use(self.pid)
        if use is None or use.is_stopped:
            return True
        return use.seconds - self._progress.processor_before() >= _BURNT * allowed

    def take_jobs(self) -> tuple[Job | None, list[Job]]:
        """The file that it was reading, where it was reading one, and the others; it has none afterwards."""
        jobs = list(self._jobs)
        self._jobs.clear()
        number, _ = self._progress.now()
        at = number - self.answered - 1
        guilty = jobs.pop(at) if 0 <= at < len(jobs) else None
        return guilty, [job for job in jobs if job is not None]

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
        self._pipes.close()
        self._page.close()
        with self._complaints as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _COMPLAINT_SIZE))
            return file.read().decode("utf-8", "replace").strip()


def start_child(config: ChildConfig) -> ChildProcess:
    """Start a child, which takes a millisecond or two here. Raises OSError where that cannot be done."""
    with ExitStack() as failing, shared_page() as page:
        failing.enter_context(page.memory)
        complaints = failing.enter_context(anonymous_file("fw-tags-stderr"))
        process = _start_program(config, page, complaints)
        failing.pop_all()
    return ChildProcess(config, process, page.memory, complaints)


def _start_program(config: ChildConfig, page: SharedPage, complaints: IO[bytes]) -> subprocess.Popen[bytes]:
    numbers = (os.getpid(), config.memory_limit, config.niceness, int(config.follow_symlinks))
    # The child finds the same modules as this process, but never those of the working folder (-P).
    search_path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    return subprocess.Popen(
        [sys.executable, "-P", "-m", _PROGRAM, *map(str, numbers), page.name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=complaints,
        bufsize=0,
        close_fds=True,
        pass_fds=page.inherited,
        env={**_environment(), "PYTHONPATH": search_path},
    )


def _environment() -> dict[str, str]:
    """Without the addresses and passwords that this process was given: a crafted file may take a child over."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _NEEDED or name.startswith(_NEEDED_PREFIXES)
    }
