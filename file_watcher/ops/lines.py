"""Lines to a stream that may be closed, broken, or read by nobody.

Logs and the event lines of the terminal are written on the threads that do the work. A supervisor that
stopped reading our standard error would otherwise hold up the whole pipeline for ever. This module owns
no thread.
"""

from __future__ import annotations

import io
import os
import select
import sys
from typing import Final, TextIO

PATIENCE_SECONDS: Final = 1.0
"""How long one line waits for a reader that does not read."""


class LineWriter:
    """Writes whole lines to a stream and never raises when that cannot be done.

    One caller at a time. A line whose stream takes nothing for `patience_seconds` is given up, and the
    lines after it wait no more until the stream takes something again. Streams without a file descriptor
    are written to the ordinary way.
    """

    def __init__(self, stream: TextIO, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self.stream = stream
        self._patience_ms = patience_seconds * 1000
        self._stalled = False
        self._torn = False

    def write(self, line: str) -> bool:
        """Write the line and a line break; False where it, or a part of it, is lost."""
        try:
            return self._put(f"{line}\n")
        except (OSError, ValueError):
            # ValueError is what a closed stream raises. There is no other place to say it: the caller
            # counts what was lost and tells once the stream is back.
            return False

    def _put(self, text: str) -> bool:
        descriptor = _descriptor(self.stream)
        if descriptor is None:
            self.stream.write(text)
            self.stream.flush()
            return True
        if self._torn:
            text = f"\n{text}"
        return self._put_bytes(descriptor, text.encode(self.stream.encoding or "utf-8", "backslashreplace"))

    def _put_bytes(self, descriptor: int, data: bytes) -> bool:
        poller = select.poll()
        poller.register(descriptor, select.POLLOUT)
        while data:
            if not poller.poll(0 if self._stalled else self._patience_ms):
                self._stalled = True
                return False
            # A pipe that polls as writable takes PIPE_BUF bytes without blocking (pipe(7)).
            data = data[os.write(descriptor, data[: select.PIPE_BUF]) :]
            self._stalled = False
            self._torn = bool(data)
        return True


def _descriptor(stream: TextIO) -> int | None:
    if (
        sys.platform == "win32"
    ):  # no pipe tells there whether it takes any, and a console takes text, no bytes
        return None
    try:
        return stream.fileno()
    except (AttributeError, io.UnsupportedOperation):
        return None
