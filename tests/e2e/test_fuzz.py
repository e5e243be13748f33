"""Mutants of real media files through the whole service: every one is told once and truly, and nothing else happens.

`FUZZ_SEED` and `FUZZ_COUNT` choose what `make soak` runs; the figures are printed.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from file_watcher.lifecycle import Deadline
from file_watcher.model import FileStat
from file_watcher.processing.tags.errors import TagsUnavailable
from file_watcher.processing.tags.pool import TagReader
from tests.support.consumer import Consumer, Message
from tests.support.crafted_media import greedy_flac
from tests.support.mutants import Mutant, mutants
from tests.support.rabbitmq import RabbitNode
from tests.support.service import ServiceProcess, disk, running

SEED = int(os.environ.get("FUZZ_SEED", "1"))
COUNT = int(os.environ.get("FUZZ_COUNT", "5000"))
BATCH = 500
KILL_EVERY = 100
"""Among so many mutants, one file that ends the two children which read it: no mutation alone does so often."""
MEGABYTE = 1 << 20
CHILD_LIMIT = 512 * MEGABYTE
"""`tag_memory_limit`, which bounds their address space."""
SERVICE_LIMIT = 256 * MEGABYTE
"""Far above what it needs (about 90 MB) and far below what one bomb would take."""


@dataclass
class MemoryWatch:
    """The most memory that a process and each of its children held, as far as one saw it."""

    process: psutil.Process
    service: int = 0
    child: int = 0

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look several times a second while the body runs."""
        enough = threading.Event()

        def look() -> None:
            while not enough.wait(0.1):
                self._look()

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            yield
        finally:
            enough.set()
            watcher.join()

    def _look(self) -> None:
        self.service = max(self.service, _peak(self.process.pid))
        for child in self.process.children(recursive=True):
            self.child = max(self.child, _peak(child.pid))


def _peak(pid: int) -> int:
    """The most resident memory that the process had until now; 0 where it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    lines = (line.split() for line in status.splitlines())
    return next((int(words[1]) * 1024 for words in lines if words[0] == "VmHWM:"), 0)


def outcome(event: Message) -> str:
    """What was told of the medium."""
    metadata = event.body["metadata"]
    if metadata is None:
        return "no medium"
    if "error" in metadata:
        return "unreadable"
    return "tags" if metadata["tags"] else "no tags"


def slowest(library: Path, stories: dict[str, str]) -> tuple[float, str]:
    """The longest time that a child took for one file (s), and what file that was."""
    reader = TagReader(1, CHILD_LIMIT, 10.0, on_failure=lambda *_: None)
    reader.start()
    longest = (0.0, "")
    try:
        for path in sorted(library.iterdir()):
            began = time.perf_counter()
            future = reader.submit(bytes(path), FileStat.of(path.lstat()))
            with suppress(TagsUnavailable):  # it exceeded a limit, which is an outcome as well
                future.result(60)
            longest = max(longest, (time.perf_counter() - began, f"{path.name} ({stories[path.name]})"))
    finally:
        reader.close()
        assert reader.join(Deadline(10))
    return longest


def complaints(service: ServiceProcess) -> list[dict[str, object]]:
    """Lines of the log that nobody should ever see."""
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    return [line for line in lines if line["level"] in ("error", "critical") or "exception" in line]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("count", [500, pytest.param(COUNT, marks=pytest.mark.soak)])
def test_every_mutant_is_told_once_and_truly(
    tagged_library: Path, tmp_path: Path, rabbit: RabbitNode, exchange: str, count: int
) -> None:
    originals = sorted(path for path in tagged_library.rglob("*") if path.is_file())
    library = tmp_path / "mutants"
    library.mkdir()
    stories: dict[str, str] = {}
    consumer = Consumer(rabbit.url, exchange)
    consumer.subscribe()
    service = ServiceProcess(tmp_path, library, rabbit.url, exchange)
    with running(service):
        assert service.process is not None
        memory = MemoryWatch(psutil.Process(service.process.pid))
        began = time.monotonic()
        with memory.looking():
            for number, mutant in enumerate(mutants(originals, SEED, count), start=1):
                stories[mutant.name] = mutant.story
                write(library, mutant)
                if number % KILL_EVERY == 0:
                    killer = Mutant(f"{number:06d} killer.flac", greedy_flac(), "a picture that claims 4 GB")
                    stories[killer.name] = killer.story
                    write(library, killer)
                if number % BATCH == 0:
                    service.sync(300)
            service.sync(300)
        seconds = time.monotonic() - began
        consumer.drain()
        assert [service.ask(page)[0] for page in ("/healthz", "/readyz")] == [200, 200]
    events = consumer.events()
    assert Counter(event.kind for event in events) == {"created": count + count // KILL_EVERY}
    assert consumer.mirror.files == disk(library)
    assert consumer.mirror.problems == []
    assert complaints(service) == []
    assert memory.child < CHILD_LIMIT
    assert memory.service < SERVICE_LIMIT
    longest, of = slowest(library, stories)
    text = service.log.read_text()
    assert text.count("tag_child_ended") >= 2 * (count // KILL_EVERY) > 0
    assert text.count("tags_unreadable") >= count // KILL_EVERY
    print(
        f"\n{count} mutants (seed {SEED}) in {seconds:.0f} s: {dict(Counter(map(outcome, events)))}; "
        f"{text.count('tag_child_ended')} tag processes ended, {text.count('tags_unreadable')} files given up; "
        f"most memory {memory.service / MEGABYTE:.0f} MB and {memory.child / MEGABYTE:.0f} MB in a child; "
        f"longest {longest * 1000:.0f} ms: {of}"
    )


def write(library: Path, mutant: Mutant) -> None:
    """As a careful program would: under another name first."""
    hidden = library / ".new"
    hidden.write_bytes(mutant.content)
    hidden.rename(library / mutant.name)
