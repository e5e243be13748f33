"""What the benchmarks share: a folder, a broker, and how long something takes.

Owns the RabbitMQ node, which starts when the first benchmark asks for it and ends with the run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TypeVar

import pika

from tests.support.rabbitmq import RabbitNode

T = TypeVar("T")


class Bench:
    """One run of benchmarks. Everything that it makes lies in a folder that ends with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._broker: RabbitNode | None = None
        self._numbers = count(1)
        self.cores = os.cpu_count() or 1

    @property
    def broker_url(self) -> str:
        """The address of a private broker; the first call starts it, which takes seconds."""
        if self._broker is None:
            self._broker = RabbitNode(self._folder / "rabbitmq")
            self._broker.start()
        return self._broker.url

    @contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        """A new empty folder, deleted afterwards."""
        folder = self._folder / f"{name}-{next(self._numbers)}"
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder)

    def stop(self) -> None:
        """End the broker."""
        if self._broker is not None:
            self._broker.stop()


@contextmanager
def running_bench() -> Iterator[Bench]:
    """A bench in the system's temporary folder."""
    folder = Path(tempfile.mkdtemp(prefix="file-watcher-benchmarks-"))
    bench = Bench(folder)
    try:
        yield bench
    finally:
        bench.stop()
        shutil.rmtree(folder)


@contextmanager
def counted_queue(url: str, exchange: str, key: str = "#") -> Iterator[Callable[[], int]]:
    """A durable queue that keeps what is published under `key`; yields how to ask how much that is.

    Nobody consumes, so that measuring takes nothing from the two cores that broker and service share.
    """
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        channel = connection.channel()
        queue = f"{exchange}.counted"
        channel.exchange_declare(exchange, "topic", durable=True)
        channel.queue_declare(queue, durable=True)
        channel.queue_bind(queue, exchange, key)
        yield lambda: int(channel.queue_declare(queue, passive=True).method.message_count)
        channel.queue_delete(queue)
        channel.exchange_delete(exchange)
    finally:
        connection.close()


def settle_disk() -> None:
    """Let what was written before reach the disk, so that it is not written while we measure. Takes seconds."""
    subprocess.run(["sync"], check=True)


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """How many seconds the work took, and what it gave."""
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result
