"""Reads audio metadata in a few child processes, off this process's interpreter lock and killable; small files as
a whole, with their hashes.

Owns one thread, `fw-tags`: it starts the children, hands them files in batches, resolves the futures and
ends a child that takes too long. mutagen itself is never imported here.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections import deque
from concurrent.futures import Future
from typing import Any, Final

from file_watcher.lifecycle import Deadline, FailureReport, join_all, spawn
from file_watcher.model import FileStat, Metadata
from file_watcher.processing.tags.crew import Crew
from file_watcher.processing.tags.errors import TagReaderClosed
from file_watcher.processing.tags.process import ChildConfig, Job
from file_watcher.processing.tags.whole import WholeFuture
from file_watcher.pulse import Progress, Pulse
from file_watcher.telemetry import Telemetry

_GATHER_SECONDS: Final = 0.008
"""How long files and answers are gathered while they come one after the other: children have enough to do for
longer (`process.WINDOW`), and each waking of the thread costs as much as handing over a file."""
_BUSY_SECONDS: Final = 0.012


class TagReader:
    """A pool of up to `processes` children. Each starts when it is first needed.

    A child may use `memory_limit` bytes of address space and `timeout_seconds` for one file. A file that
    exceeds one of them twice is answered with unknown values and an `error`.
    """

    def __init__(
        self,
        processes: int,
        memory_limit: int,
        timeout_seconds: float,
        *,
        on_failure: FailureReport,
        telemetry: Telemetry | None = None,
        niceness: int = 0,
        follow_symlinks: bool = False,
    ) -> None:
        config = ChildConfig(memory_limit, timeout_seconds, niceness, follow_symlinks)
        self._crew = Crew(processes, config, telemetry or Telemetry())
        self._on_failure = on_failure
        self._lock = threading.Lock()
        self._arrived: deque[Job] = deque()
        self._closing = False
        self._running = False
        self._signalled = False
        self._selector: selectors.BaseSelector
        self._wake_read: socket.socket
        self._wake_write: socket.socket
        self._threads: list[threading.Thread] = []
        self._slept_until = 0.0
        self._pulse = Pulse("fw-tags")

    def resize(self, processes: int) -> None:
        """Read with so many children at most from now on. Never blocks."""
        self._crew.resize(processes)

    def start(self) -> None:
        """Start the thread; children start with the first file. Called once."""
        self._selector = selectors.DefaultSelector()
        # Windows can wait for sockets only.
        self._wake_read, self._wake_write = socket.socketpair()
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._running = True
        self._threads.append(spawn("fw-tags", self._run, self._on_failure))

    def submit(self, path: bytes, stat: FileStat) -> Future[Metadata | None]:
        """Read the metadata of the file at `path`, as long as it is the one of that `stat`. Never blocks.

        The future gives the metadata (see `reader.read_metadata`) or None for no medium. It fails with
        `FileChanged`, `TagsUnavailable` or `TagReaderClosed` (before the start too), and never hangs. Its
        callbacks run on the pool's thread and must be short. How many files wait is for the caller to bound.
        """
        return self._submit(Job(path, stat))

    def submit_whole(self, path: bytes, stat: FileStat) -> WholeFuture:
        """The same with both hashes, for a file that is soon read: its reading counts towards `timeout_seconds`.

        Where no child can read it, its `reading` is None.
        """
        return self._submit(Job(path, stat, whole=True))

    def _submit(self, job: Job) -> Future[Any]:
        with self._lock:
            if self._running:
                self._arrived.append(job)
                self._wake()
                return job.future
        job.future.set_exception(TagReaderClosed())
        return job.future

    def close(self) -> None:
        """Ask for the end: what is unfinished fails with `TagReaderClosed`, the children are killed."""
        with self._lock:
            self._closing = True
            if self._running:
                self._wake()

    def join(self, deadline: Deadline) -> bool:
        """Wait for the end; False where the thread was still running at the deadline."""
        return join_all(self._threads, deadline)

    def progress(self) -> Progress:
        """How far the thread is. While a child reads it looks after it, so that a child that hangs is ended."""
        return self._pulse.look()

    def _wake(self) -> None:
        """Wake the thread once for all that came since it last looked. The lock is held; never blocks."""
        if not self._signalled:
            self._signalled = True
            self._wake_write.send(b"\0")

    def _run(self) -> None:
        try:
            while not self._closing:
                self._pulse.at("looks after the processes that read tags")
                self._crew.step(self._take_arrived(), self._selector)
                if (seconds := self._crew.seconds_to_wait()) is None:
                    self._pulse.rest()
                if self._crew.load > 1 and time.monotonic() - self._slept_until < _BUSY_SECONDS:
                    time.sleep(_GATHER_SECONDS)
                ready = self._selector.select(seconds)
                self._slept_until = time.monotonic()
                for key, _ in ready:
                    if key.fileobj is self._wake_read:
                        self._acknowledge()
                    else:
                        self._crew.attend(key.data, self._selector)
        finally:
            self._end()

    def _acknowledge(self) -> None:
        self._wake_read.recv(64)
        self._signalled = False

    def _take_arrived(self) -> list[Job]:
        with self._lock:
            jobs = list(self._arrived)
            self._arrived.clear()
        return jobs

    def _end(self) -> None:
        with self._lock:
            self._running = False
            self._wake_read.close()
            self._wake_write.close()
        self._crew.dismiss(self._take_arrived())
        self._selector.close()
