"""What a person sees of long work: a bar on a terminal's standard error, nothing elsewhere.

A bar that pulses has a thread of rich's own, which ends with the block.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from file_watcher.ops.log import is_terminal

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


@contextmanager
def showing_wait(doing: str) -> Iterator[Callable[[int], None]]:
    """A pulsing bar. Gives what shows how many messages wait."""
    if not is_terminal(sys.stderr):
        yield lambda _waiting: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(20),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(doing, total=None, left="")
        yield lambda count: progress.update(task, left=f"{count} to send" if count else "")


class ByteBar:
    """Shows how far it came; this one, for where there is no terminal, shows nothing."""

    def show(self, done: int) -> None:
        """So many bytes are done. Cheap enough to be told of every block."""

    def give_way(self) -> None:
        """Make room for a line of output: call it before printing one."""


class _TerminalBar(ByteBar):
    """Draws on the caller's thread, so that nothing draws while a line is printed."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task
        self._drawn_at = 0.0

    def show(self, done: int) -> None:
        self._progress.update(self._task, completed=done)
        if (now := time.monotonic()) - self._drawn_at >= _DRAW_SECONDS:
            self._drawn_at = now
            self._progress.refresh()

    def give_way(self) -> None:
        sys.stderr.write("\r\x1b[2K")  # erase in line (ECMA-48, section 8.3.41)
        sys.stderr.flush()
        self._drawn_at = 0.0


_DRAW_SECONDS: Final = 0.1


@contextmanager
def showing_bytes(doing: str, total: int, done: int) -> Iterator[ByteBar]:
    """A bar with rate and time left."""
    if not is_terminal(sys.stderr):
        yield ByteBar()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(None),
        TextColumn("{task.percentage:>3.0f}%"),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(
        *columns,
        console=Console(stderr=True),
        transient=True,
        expand=True,
        auto_refresh=False,
        redirect_stdout=False,  # what is printed may go to a file, and must not come here instead
        redirect_stderr=False,
    ) as progress:
        yield _TerminalBar(progress, progress.add_task(doing, total=max(total, 1), completed=done))
