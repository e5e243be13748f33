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
from pika.adapters.blocking_connection import BlockingChannel

from tests.support.rabbitmq import RabbitNode

T = TypeVar("T")


class Bench:
    """One run of benchmarks. Everything that it makes lies in a folder that ends with it."""

    def __init__(self, folder: Path, scale: float = 1.0) -> None:
        """`scale`: how much of the real size is measured. Below 1 only the benchmarks themselves are tried."""
        self._folder = folder
        self.scale = scale
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

    def count(self, full: int, least: int = 1) -> int:
        """So many at the scale of this run, at least `least`."""
        return max(round(full * self.scale), least)

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
def running_bench(scale: float = 1.0) -> Iterator[Bench]:
    """A bench in the system's temporary folder."""
    folder = Path(tempfile.mkdtemp(prefix="file-watcher-benchmarks-"))
    bench = Bench(folder, scale)
    try:
        yield bench
    finally:
        bench.stop()
        shutil.rmtree(folder)


@contextmanager
def counted_queue(
    url: str, exchange: str, key: str = "#", keep: int | None = None
) -> Iterator[Callable[[], int]]:
    """A durable queue that keeps what is published under `key`; yields how to ask how much that is.

    Nobody consumes, so that measuring takes nothing from the two cores that broker and service share.
    `keep`: the broker drops all but the newest so many, so that its memory does not grow with the run.
    """
    limits = None if keep is None else {"x-max-length": keep}
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        channel = connection.channel()
        queue = f"{exchange}.counted"
        channel.exchange_declare(exchange, "topic", durable=True)
        channel.queue_declare(queue, durable=True, arguments=limits)
        channel.queue_bind(queue, exchange, key)
        _keep_notices(channel, exchange)
        yield lambda: int(channel.queue_declare(queue, passive=True).method.message_count)
        for name in (queue, _notices_of(exchange)):
            channel.queue_delete(name)
        channel.exchange_delete(exchange)
    finally:
        connection.close()


def _keep_notices(channel: BlockingChannel, exchange: str) -> None:
    """A queue for what is not counted: a message that no queue wants makes the service complain."""
    channel.queue_declare(_notices_of(exchange), durable=True, arguments={"x-max-length": 10})
    for key in ("library.#", "snapshot.#"):
        channel.queue_bind(_notices_of(exchange), exchange, key)


def _notices_of(exchange: str) -> str:
    return f"{exchange}.notices"


def settle_disk() -> None:
    """Let what was written before reach the disk, so that it is not written while we measure. Takes seconds."""
    subprocess.run(["sync"], check=True)


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """How many seconds the work took, and what it gave."""
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result
