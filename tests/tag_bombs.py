"""What crafted files cost the service: `python -m tests.tag_bombs` prints a table in Markdown.

Every file goes through the product's own tag reader with its default limits, each with a child of its own, so
that the peak of memory is the file's.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

from file_watcher.settings.schema import FileWatchSettings
from tests.support.bombs import BOMBS
from tests.support.tag_children import PROGRAM, submit, tag_reader


class Cost(NamedTuple):
    """What one file cost and gave."""

    file_size: int
    seconds: float
    peak_bytes: int
    children: int
    metadata: dict[str, Any] | None


class PeakMemory:
    """Asks the kernel for the highest resident size that any child of ours has had, while it lives."""

    def __init__(self) -> None:
        self.highest = 0
        self.pids: set[int] = set()
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._enough.wait(0.01):
            for pid in _children():
                if peak := _peak(pid):
                    self.pids.add(pid)
                    self.highest = max(self.highest, peak)


def _children() -> list[int]:
    """Of any thread of this process; one look must cost little, as it is taken all the time."""
    found: list[int] = []
    for listed in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):
            found.extend(map(int, listed.read_text().split()))
    return found


def _peak(pid: int) -> int:
    """In bytes; 0 for a process that ends, or that is not yet one that reads tags."""
    try:
        if PROGRAM.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes():
            return 0
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    lines = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(lines[0].split()[1]) * 1024 if lines else 0


def cost(path: Path, memory: int, timeout: float) -> Cost:
    """Read the file in a fresh child."""
    with tag_reader(memory=memory, timeout=timeout) as reader, PeakMemory() as peak:
        begin = time.monotonic()
        metadata = submit(reader, path).result(timeout * 6)
        seconds = time.monotonic() - begin
    found = None if metadata is None else dict(metadata)
    return Cost(path.stat().st_size, seconds, peak.highest, len(peak.pids), found)


def main() -> int:
    """Print a line for each bomb as it is done."""
    defaults = FileWatchSettings()
    print(
        "| file | its size | seconds | peak memory of a child | children | told |\n| --- | --: | --: | --: | --: | --- |"
    )
    with tempfile.TemporaryDirectory(prefix="fw-bombs-") as folder:
        for name, (extension, make) in BOMBS.items():
            path = Path(folder) / f"bomb.{extension}"
            path.write_bytes(make())
            paid = cost(path, defaults.tag_memory_limit, defaults.tag_timeout)
            size, peak = paid.file_size / 1e6, paid.peak_bytes / 1e6
            told = _shortened(paid.metadata)
            print(
                f"| {name} | {size:.1f} MB | {paid.seconds:.2f} | {peak:.0f} MB | {paid.children} | {told} |",
                flush=True,
            )
    return 0


def _shortened(metadata: dict[str, Any] | None) -> str:
    known = {key: value for key, value in (metadata or {}).items() if value not in (None, {})}
    text = json.dumps(known, ensure_ascii=False)
    return "`" + (text if len(text) < 230 else text[:230] + "…") + "`"


if __name__ == "__main__":
    sys.exit(main())
