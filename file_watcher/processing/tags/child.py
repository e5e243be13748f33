"""The program of a child process: reads requests, answers them, and can be killed at any moment.

Run as `python -m file_watcher.processing.tags.child PARENT MEMORY NICENESS FOLLOW PAGE` by
`process.ChildProcess`. One thread. It ends when its parent closes the pipe or dies, and after it ran out
of memory, since what is left may not do for the next file.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

from file_watcher.processing.tags.reader import AnotherFile, DiskFailed, read_metadata, read_whole
from file_watcher.processing.tags.wire import (
    AnswerKind,
    Progress,
    Request,
    encode_answer,
    page_named,
    take_requests,
    whole_content,
)
from file_watcher.system import HANGUP, limit_memory, lower_priority

_READ_SIZE: Final = 1 << 16
_ANSWERS_AT_ONCE: Final = 8
"""Each write wakes the parent: a few answers share one. None waits while the child has nothing to do."""
_PR_SET_PDEATHSIG: Final = 1
"""prctl(2): the signal that the kernel sends when the thread that started this process ends."""


def main(arguments: list[str]) -> int:
    """Serve until there is nothing more to serve; the exit code is 0, or 1 after running out of memory."""
    parent, memory, niceness, follow = map(int, arguments[:4])
    _obey_the_parent_only(parent)
    limit_memory(memory)
    lower_priority(niceness)
    answers = os.dup(1)
    # Whatever a library prints must not get between the answers.
    os.dup2(2, 1)
    server = Server(0, answers, Progress(page_named(arguments[4])), follow_symlinks=bool(follow))
    return server.run()


def _obey_the_parent_only(parent: int) -> None:
    """Signals to the whole group (Ctrl-C, a stop of the service) are the parent's to decide upon."""
    for number in (signal.SIGINT, signal.SIGTERM, HANGUP):
        if number is not None:
            signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if sys.platform != "win32" and os.getppid() != parent:
        # It died before the kernel was told to watch it. On Windows a launcher may stand between, and a parent that
        # ends takes its end of the pipes along.
        raise SystemExit(0)


class Server:
    """Answers requests in their order."""

    def __init__(
        self, requests_fd: int, answers_fd: int, progress: Progress, *, follow_symlinks: bool = False
    ) -> None:
        self._requests_fd = requests_fd
        self._answers_fd = answers_fd
        self._progress = progress
        self._follow_symlinks = follow_symlinks
        self._unsent: list[bytes] = []
        self._number = 0

    def run(self) -> int:
        """Serve until the requests end, 0, or until memory ran out, 1."""
        buffer = bytearray()
        while data := os.read(self._requests_fd, _READ_SIZE):
            buffer += data
            for request in take_requests(buffer):
                self._number += 1
                if self._progress.is_withdrawn(self._number):
                    self._unsent.append(encode_answer(AnswerKind.WITHDRAWN, None))
                    continue
                self._progress.begin(self._number)
                if not self._serve(request):
                    self._send()
                    return 1
                if len(self._unsent) >= _ANSWERS_AT_ONCE:
                    self._send()
            self._send()
        return 0

    def _serve(self, request: Request) -> bool:
        """Answer one request; False where this was the last one that this process can be trusted with."""
        try:
            answer = self._answer(request)
        except AnotherFile:
            answer = encode_answer(AnswerKind.ANOTHER_FILE, None)
        except DiskFailed as exc:
            answer = encode_answer(AnswerKind.DISK_FAILED, str(exc))
        except MemoryError:
            self._unsent.append(encode_answer(AnswerKind.OUT_OF_MEMORY, None))
            return False
        self._unsent.append(answer)
        return True

    def _answer(self, request: Request) -> bytes:
        path, identity, follow = request.path, request.identity, self._follow_symlinks
        if request.whole:
            return encode_answer(
                AnswerKind.WHOLE, whole_content(*read_whole(path, identity, follow_symlinks=follow))
            )
        return encode_answer(AnswerKind.METADATA, read_metadata(path, identity, follow_symlinks=follow))

    def _send(self) -> None:
        self._progress.rest()
        data = b"".join(self._unsent)
        self._unsent.clear()
        while data:
            data = data[os.write(self._answers_fd, data) :]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
