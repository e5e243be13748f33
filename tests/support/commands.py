"""The commands as processes, on pipes or on a terminal of their own, and what they complain of."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

PYTHON = (sys.executable, "-m", "file_watcher")
POWERLESS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--") if os.geteuid() == 0 else ()
"""Without root's right to read and write everything: the capabilities are dropped, the files stay ours."""


def cli(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return ended([*PYTHON, *arguments], environment)


def powerless(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The same, as somebody who may not read and write everything."""
    return ended([*POWERLESS, *PYTHON, *arguments], {})


def ended(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run any command line to its end, with these variables besides our own."""
    return subprocess.run(
        command,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def refused(result: subprocess.CompletedProcess[str], code: int = 2) -> str:
    """The one line that a command complained with."""
    assert result.returncode == code, result
    assert "Traceback" not in result.stderr
    (line,) = result.stderr.splitlines()
    assert line.startswith("file_watcher: ")
    return line.removeprefix("file_watcher: ")


@contextmanager
def started(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A command that goes on; killed at the end where it still runs."""
    with subprocess.Popen(
        [*PYTHON, *arguments],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


class Screen:
    """What a process wrote to its terminal so far."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._text = b""

    def __call__(self) -> str:
        try:
            while chunk := os.read(self._descriptor, 65_536):
                self._text += chunk
        except OSError:  # nothing more for now, or the process has closed the terminal
            pass
        return self._text.decode(errors="replace")


@contextmanager
def on_terminal(*arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[bytes], Screen]]:
    """A command on a terminal of its own."""
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    process = subprocess.Popen(
        [*PYTHON, *arguments],
        env={**os.environ, "TERM": "xterm", **environment},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        yield process, Screen(ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
