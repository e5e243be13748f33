"""From a change to its confirmed message, beyond the debounce window, at light load.

The clock starts when close(2) of the written file has returned. It ends when the service has recorded the
broker's confirm (`published_ns`), which is after the confirm itself, so that what is told is an upper bound;
the facts tell when a real consumer received the message, too. The debounce window is taken off both.

The writer is the calling thread; the consumer has a thread of its own.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

import pika

from tests.benchmarks.arithmetic import percentile
from tests.benchmarks.bench import Bench
from tests.benchmarks.corpus import media_library
from tests.benchmarks.figure import Figure, Trial
from tests.benchmarks.processes import Usage
from tests.benchmarks.subject import subject
from tests.benchmarks.trust import Untrue, require
from tests.support.waiting import wait_for

_CHANGES: Final = 600
_FILE_BYTES: Final = 64_000
_EVERY_SECONDS: Final = 0.05
_WINDOW_SECONDS: Final = 1.0
_PATIENCE_SECONDS: Final = 60.0
_CONFIRMS: Final = "SELECT path_text, event_type, published_ns FROM fw_events WHERE event_type NOT LIKE '%.%'"

Change = tuple[str, str]
"""Path and type of event."""


def measure(bench: Bench, runs: int) -> list[Figure]:
    """20 changes a second to tagged files of 64 kB: half are new, half written over in place."""
    changes = bench.count(_CHANGES, least=20) // 2 * 2
    recorded: list[list[float]] = []
    received: list[list[float]] = []
    for _ in range(runs):
        with bench.folder("latency") as folder:
            confirms, deliveries = _run(bench, folder, changes)
        recorded.append(confirms)
        received.append(deliveries)
    trials = tuple(Trial(percentile(run, 99)) for run in recorded)
    rate = round(1 / _EVERY_SECONDS)
    what = f"p99 of {changes} changes, {rate}/s, from close(2) to the recorded confirm, less debounce"
    facts = {
        "p50_ms": median(percentile(run, 50) for run in recorded),
        "max_ms": max(map(max, recorded)),
        "p50_ms_at_a_consumer": median(percentile(run, 50) for run in received),
        "p99_ms_at_a_consumer": median(percentile(run, 99) for run in received),
    }
    return [Figure("latency", what, "ms", 50, "at most", trials, facts=facts)]


def _run(bench: Bench, folder: Path, changes: int) -> tuple[list[float], list[float]]:
    """Milliseconds of each change: to its recorded confirm, and to its receipt."""
    contents = [path.read_bytes() for path in media_library(folder / "contents", changes, _FILE_BYTES)]
    root = folder / "library"
    root.mkdir()
    with subject(bench, root, {"FILE_WATCH_DEBOUNCE_TIME": f"{_WINDOW_SECONDS:g}s"}) as tried:
        tried.start_ready()
        Usage(tried.pid).settle()
        written: dict[Change, int] = {}
        with _consuming(bench.broker_url, tried.exchange) as received:
            for kind, half in (("created", contents[::2]), ("modified", contents[1::2])):
                now = _write(root, half, kind)
                wait_for(partial(_all_told, now, received), "the messages", _PATIENCE_SECONDS)
                written |= now
            wait_for(lambda: tried.confirmed() >= changes, "their confirms")
        confirmed = _confirmed(tried.ask(_CONFIRMS))
    return _delays(written, confirmed), _delays(written, received)


def _all_told(written: Mapping[Change, int], received: Mapping[Change, int]) -> bool:
    return received.keys() >= written.keys()


def _confirmed(rows: Sequence[tuple[Any, ...]]) -> dict[Change, int]:
    told = {(path, kind): published_ns for path, kind, published_ns in rows}
    require(len(told) == len(rows), "a change was told twice")
    return told


def _delays(written: Mapping[Change, int], told: Mapping[Change, int]) -> list[float]:
    """Milliseconds beyond the debounce window. Raises `Untrue` where a change was not told, or told early."""
    require(
        written.keys() == told.keys(), f"{len(written)} changes, {len(written.keys() & told.keys())} told"
    )
    delays = [(told[change] - at_ns) / 1e6 - _WINDOW_SECONDS * 1000 for change, at_ns in written.items()]
    require(min(delays) > 0, f"a change was told {-min(delays):.1f} ms before its window was over")
    return delays


def _write(root: Path, contents: Sequence[bytes], kind: str) -> dict[Change, int]:
    """Write the contents as numbered files, evenly in time; when each was closed (ns)."""
    written: dict[Change, int] = {}
    pace, due = threading.Event(), time.monotonic()
    for number, content in enumerate(contents):
        path = root / f"{number:05d}.mp3"
        path.write_bytes(content)
        written[str(path), kind] = time.time_ns()
        due += _EVERY_SECONDS
        pace.wait(max(due - time.monotonic(), 0))
    return written


@contextmanager
def _consuming(url: str, exchange: str) -> Iterator[dict[Change, int]]:
    """When each message about a file was received (ns); filled by a thread while the block runs."""
    received: dict[Change, int] = {}
    failures: list[BaseException] = []
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, exchange, "file.#")

    def take(_channel: Any, _method: Any, _properties: Any, body: bytes) -> None:
        now_ns = time.time_ns()
        message = json.loads(body)
        received[message["file_path"], message["event_type"]] = now_ns

    def consume() -> None:
        try:
            channel.basic_consume(queue, take, auto_ack=True)
            channel.start_consuming()
        except Exception as exc:  # the thread's top: the measuring thread tells it
            failures.append(exc)

    thread = threading.Thread(target=consume, name="bench-consumer")
    thread.start()
    try:
        yield received
    finally:
        if connection.is_open:
            connection.add_callback_threadsafe(channel.stop_consuming)
        thread.join()
        if connection.is_open:
            connection.close()
    if failures:
        raise Untrue("the consumer failed") from failures[0]
