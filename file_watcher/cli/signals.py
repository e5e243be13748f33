"""Turns signals into calls on a thread of its own, so that they work whatever the main thread does.

Owns the thread `fw-signals`. Python runs signal handlers on the main thread, between two bytecodes: never
while it hangs in a system call on a dead disk, and possibly inside of the very lock that the handler then
wants. The interpreter's wakeup descriptor is written to at once by the kernel's own handler instead
(signal.set_wakeup_fd), and read here.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Final, Self

import structlog

from file_watcher.lifecycle import Deadline, join_all, spawn
from file_watcher.system import HANGUP

log = structlog.get_logger(__name__)

_ENDING: Final = (signal.SIGINT, signal.SIGTERM)
_LEAVE: Final = b"\0"
"""No signal has the number 0."""


class Signals:
    """While it is entered: the first SIGINT or SIGTERM calls `on_stop`, the second ends the process at once.

    SIGHUP calls `on_hangup`, where there is one. Both are called on `fw-signals`. Enter and leave it on the
    main thread; raises ValueError elsewhere.
    """

    def __init__(self, on_stop: Callable[[], None], on_hangup: Callable[[], None] | None = None) -> None:
        self._on_stop = on_stop
        self._on_hangup = on_hangup
        self._stopping = False
        self._before: dict[int, Any] = {}
        self._wakeup_before = -1
        self._ends: tuple[socket.socket, socket.socket] | None = None
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        reader, writer = self._ends = socket.socketpair()
        writer.settimeout(0)
        self._wakeup_before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        handled = (*_ENDING, HANGUP) if self._on_hangup and HANGUP else _ENDING
        self._before = {number: signal.signal(number, _heard_elsewhere) for number in handled}
        self._threads.append(spawn("fw-signals", lambda: self._listen(reader), lambda _name, _error: None))
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        assert self._ends is not None
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        reader, writer = self._ends
        writer.settimeout(None)
        writer.send(_LEAVE)
        join_all(self._threads, Deadline(1.0))
        reader.close()
        writer.close()

    def _listen(self, reader: socket.socket) -> None:
        while (heard := reader.recv(1)) != _LEAVE:
            try:
                self._obey(heard[0])
            except Exception:
                # The next signal must still be heard: it may be the one that ends us.
                log.exception("signal_not_obeyed", signal=heard[0])

    def _obey(self, number: int) -> None:
        if number in _ENDING:
            self._end(number)
        elif number == HANGUP and self._on_hangup is not None:
            self._on_hangup()

    def _end(self, number: int) -> None:
        if self._stopping:
            os._exit(128 + number)
        self._stopping = True
        self._on_stop()


def _heard_elsewhere(_number: int, _frame: FrameType | None) -> None:
    """The signal is handled on `fw-signals`; without a handler it would have its default effect."""
