"""The tag reader and its child processes, as tests need them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import psutil

from file_watcher.lifecycle import Deadline
from file_watcher.model import FileStat, Metadata
from file_watcher.processing.tags.pool import TagReader

PROGRAM = "file_watcher.processing.tags.child"


@contextmanager
def tag_reader(
    processes: int = 1, memory: int = 512 << 20, timeout: float = 60.0, **more: object
) -> Iterator[TagReader]:
    """A started reader; its children are gone afterwards."""
    failures: list[BaseException] = []
    reader = TagReader(processes, memory, timeout, on_failure=lambda _, exc: failures.append(exc), **more)  # type: ignore[arg-type]
    reader.start()
    try:
        yield reader
    finally:
        reader.close()
        assert reader.join(Deadline(10))
    assert failures == []


def submit(reader: TagReader, path: Path) -> Future[Metadata | None]:
    """Hand in the file as it is now."""
    return reader.submit(bytes(path), FileStat.of(path.stat()))


def tag_children() -> list[psutil.Process]:
    """The children that run now."""
    found = []
    for child in psutil.Process().children():
        try:
            if PROGRAM in child.cmdline():
                found.append(child)
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found
